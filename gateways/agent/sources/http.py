"""A logger or gateway that answers JSON at an address: asked every so often, read by the rules of a mapping profile."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from coldchain.errors import RejectedPayload
from coldchain.readings import ReadingBatch
from gateways.agent.settings import HttpSource
from gateways.agent.sources import Taken
from gateways.decoders import mapping, payloads

_LAST = "last"


class Http:
    """Redirects are not followed, proxies of the environment not used; time and size of an answer are bounded."""

    def __init__(self, settings: HttpSource, memory: Mapping[str, str], clock_ms: Callable[[], int]) -> None:
        self.name, self.every_s = settings.name, settings.every_s
        self._settings, self._clock_ms = settings, clock_ms
        # What the last answer held [channel, instant, milli-degC]: a logger may tell its newest readings many times.
        self._known = {tuple(one) for one in json.loads(memory.get(_LAST, "[]"))}

    def take(self) -> Iterator[Taken]:
        """The readings of one answer that were not in the one before."""
        try:
            answer = self._ask()
            batches = self._read(answer, self._clock_ms())
        except (OSError, http.client.HTTPException, UnicodeDecodeError) as exc:
            yield Taken(problem=f"{self._where()}: {str(exc) or type(exc).__name__}")
            return
        except RejectedPayload as exc:
            yield Taken(problem=f"{self._where()}: the answer cannot be read: {exc}")
            return
        if self._settings.is_stamped:
            yield Taken(batches, is_stamped=True)
            return
        known = {(batch.channel, *pair) for batch in batches for pair in _pairs(batch)}
        fresh = tuple(
            batch.select(
                np.array([(batch.channel, *pair) not in self._known for pair in _pairs(batch)], dtype=np.bool_)
            )
            for batch in batches
        )
        if any(len(batch) for batch in fresh):
            yield Taken(fresh, memory={_LAST: json.dumps(sorted(known))})
        self._known = known
        yield Taken()

    def _where(self) -> str:
        return f"{self._settings.host}:{self._settings.port}{self._settings.target}"

    def _ask(self) -> bytes:
        settings = self._settings
        headers = {"Accept": "application/json", "Connection": "close"}
        if settings.authorization_file is not None:
            headers["Authorization"] = _authorization(settings.authorization_file)
        connection: http.client.HTTPConnection
        if settings.is_https:
            context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
            connection = http.client.HTTPSConnection(
                settings.host, settings.port, timeout=settings.timeout_s, context=context
            )
        else:
            connection = http.client.HTTPConnection(settings.host, settings.port, timeout=settings.timeout_s)
        connection.connect()
        # The timeout of a socket counts from byte to byte: who sends one a second would be listened to for ever.
        guard = threading.Timer(settings.timeout_s, _cut, [connection.sock])
        guard.start()
        try:
            connection.request("GET", settings.target, headers=headers)
            answer = connection.getresponse()
            if answer.status != 200:
                what = "redirects, which is not followed" if 300 <= answer.status < 400 else f"answers {answer.reason}"
                raise http.client.HTTPException(f"{what} ({answer.status})")
            body = answer.read(settings.max_bytes + 1)
            # How much was announced and did not come: a truncated list may be a valid one.
            if len(body) > settings.max_bytes:
                raise http.client.HTTPException(f"answers more than {settings.max_bytes} bytes")
            if answer.length:
                raise http.client.HTTPException(f"ends {answer.length} bytes too early, or takes too long")
        finally:
            guard.cancel()
            connection.close()
        return body

    def _read(self, answer: bytes, received_ms: int) -> tuple[ReadingBatch, ...]:
        if answer.lstrip()[:1] == b"[":
            answer = b'{"list":' + answer + b"}"
        document = payloads.json_object(answer)
        found = mapping.read(self._settings.mapping, f"poll/{self._settings.logger}", document, received_ms)
        for batch in found.batches:
            if "/" in batch.channel:
                raise RejectedPayload("bad_value", f"channel {batch.channel!r:.80} has a '/'")
        return tuple(replace(batch, received_ms=None) for batch in found.batches)


def _authorization(path: Path) -> str:
    """The first line of a file, which no error may show."""
    value = path.read_text(encoding="utf-8").partition("\n")[0].strip()
    if not value.isascii() or not value.isprintable():
        raise http.client.HTTPException(f"the first line of {path} cannot be the value of a header")
    return value


def _cut(connection: socket.socket) -> None:
    """End a connection at once: whoever reads from it sees its end."""
    with contextlib.suppress(OSError):  # it may have ended by itself
        connection.shutdown(socket.SHUT_RDWR)


def _pairs(batch: ReadingBatch) -> list[tuple[int, int]]:
    return list(zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True))
