"""One InfluxDB server over HTTP: the only place that knows influxdb-client's transport.

Writes are synchronous and every response is checked. The client's own batching returns None and raises nothing on any
4xx or 5xx, so it is not used; its WriteApi speaks `/api/v2/write` only, which 1.6 and 1.7 do not have, so requests go
through `ApiClient.call_api`, which both write paths and `/query` share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from influxdb_client import InfluxDBClient  # type: ignore[attr-defined]  # re-exported without saying so
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from coldchain.errors import EnvironmentFailed

LINES_PER_WRITE = 5000
MOST_PARKED = 100
"""In one write. More refused points than this are no poison but a mistake of the whole: nothing is parked then."""

TOO_OLD = "retention policy"
SPLIT_ON = (400, 413, 422)
"""Refusals of a part: a malformed point or another field type (400), too many bytes (413), a partial write (422)."""


class Refused(EnvironmentFailed):
    """The server answered, and it was no."""

    def __init__(self, part: str, status: int, text: str, retry_after_s: float | None) -> None:
        self.status, self.text, self.retry_after_s = status, text, retry_after_s
        super().__init__(part, f"answers {status}: {text}"[:500])


class Answer(NamedTuple):
    """What a server answered to a request that it accepted."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Server:
    """Requests to one server. `token`: a token, or `user:password` as 1.x knows them.

    `park` is given the points that the server refuses whatever we do: (bucket, line, error).
    """

    def __init__(self, url: str, org: str, token: str, timeout_s: float, park: Callable[[str, str, str], None]) -> None:
        self.part = f"time-series store {url}"
        self._org, self._park = org, park
        self._client = InfluxDBClient(
            url.rstrip("/"),
            token=token,
            org=org,
            timeout=round(timeout_s * 1000),
            auth_basic=":" in token,  # a user and a password, as 1.x knows them
        )
        self._version: str | None = None

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()  # type: ignore[no-untyped-call]

    @property
    def version(self) -> str:
        """What it calls itself, such as 1.6.7~rc0 or v2.7.12; empty if it does not say. Asked once."""
        if self._version is None:
            answer = self.call("GET", "/ping")
            named = {name.lower(): value for name, value in answer.headers.items()}.get("x-influxdb-version", "")
            self._version = named or _version_in(answer.body)
        return self._version

    @property
    def generation(self) -> tuple[int, int]:
        """(major, minor) of the version; (0, 0) if it does not say."""
        numbers = self.version.removeprefix("v").split(".")
        try:
            return int(numbers[0]), int(numbers[1])
        except (IndexError, ValueError):
            return 0, 0

    @property
    def has_old_write(self) -> bool:
        """Whether it is 1.6 or 1.7, which write by `/write` only."""
        return (1, 0) <= self.generation < (1, 8)

    def write(self, bucket: str, lines: Iterable[str]) -> None:
        """Write points, each chunk confirmed before the next. Raises EnvironmentFailed unless all are in or parked."""
        remaining = iter(lines)
        left = MOST_PARKED
        while chunk := list(islice(remaining, LINES_PER_WRITE)):
            poison = self._write(bucket, chunk, left)
            left -= len(poison)
            for line, error in poison:
                self._park(bucket, line, error)

    def _write(self, bucket: str, lines: list[str], left: int) -> list[tuple[str, str]]:
        """Write a chunk, halving what is refused; the lines that are refused alone, with the reason, `left` at most."""
        try:
            self._post(bucket, lines)
        except Refused as refused:
            if TOO_OLD in refused.text:
                hint = "the bucket must keep its points for ever; retention is ours, see docs/timeseries.md"
                raise EnvironmentFailed(self.part, f"drops points as too old: {hint}") from refused
            if refused.status not in SPLIT_ON:
                raise
            if len(lines) == 1:
                if left < 1:
                    raise
                return [(lines[0], refused.text)]
            half = len(lines) // 2
            poison = self._write(bucket, lines[:half], left)
            return poison + self._write(bucket, lines[half:], left - len(poison))
        return []

    def _post(self, bucket: str, lines: list[str]) -> None:
        path, query = "/api/v2/write", {"org": self._org, "bucket": bucket, "precision": "ns"}
        if self.generation[0] == 1:  # 1.8 takes a database and its retention policy for a bucket
            query["bucket"] = f"{bucket}/autogen"
        if self.has_old_write:
            path, query = "/write", {"db": bucket, "precision": "ns"}
        answer = self.call("POST", path, query, "\n".join(lines).encode(), "text/plain; charset=utf-8")
        if answer.status != 204:  # a proxy's friendly page is no confirmation
            raise Refused(self.part, answer.status, _text(answer.body) or "not the 204 of a write", None)

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/vnd.flux",
    ) -> Answer:
        """One request; Refused for any answer that is no success, EnvironmentFailed for none at all."""
        headers = {"Content-Type": content_type, "Accept": "application/json, application/csv"}
        with self._trouble():
            response, status, answered = self._client.api_client.call_api(  # type: ignore[no-untyped-call]
                path,
                method,
                query_params=[(name, value) for name, value in (query or {}).items() if value],
                header_params=headers,
                body=body or b"",  # without any, the client takes it for JSON
                _preload_content=False,
            )
            return Answer(status, answered, response.data)

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except ApiException as exc:
            raise Refused(self.part, int(exc.status or 0), _text(exc.body or b""), _retry_after_s(exc)) from exc
        except (HTTPError, OSError) as exc:
            raise EnvironmentFailed(self.part, " ".join(str(exc).split())[:300] or type(exc).__name__) from exc


def read_token(path: Path | None) -> str:
    """The token in a file; EnvironmentFailed if it cannot be read."""
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise EnvironmentFailed("time-series store", f"its token cannot be read: {exc}") from exc


def _retry_after_s(exc: ApiException) -> float | None:
    said = exc.headers.get("Retry-After") if exc.headers else None
    return float(said) if said and said.isdigit() else None


def _text(body: Any) -> str:
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return " ".join(text.split())[:400]
    if isinstance(document, dict):
        text = str(document.get("error") or document.get("message") or text)
    return " ".join(text.split())[:400]


def _version_in(body: bytes) -> str:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    return str(document.get("version", "")) if isinstance(document, dict) else ""
