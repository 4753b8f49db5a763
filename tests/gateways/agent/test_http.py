"""A logger that answers at an address: read by the rules of a mapping, bounded in time and size, never redirected."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateways.agent import settings_file
from gateways.agent.settings import HttpSource
from gateways.agent.sources.http import Http

NOW_MS = 1_760_000_000_000

HEAD = """
site = "basel"
gateway = "gw-1"
[mqtt]
host = "127.0.0.1"
[spool]
path = "spool.db"
[[source]]
kind = "http"
name = "poll"
logger = "lg-1"
timeout_s = 0.5
max_bytes = 4096
"""


class Device:
    """A device on a port of its own; `answer` is what it says: status, headers, body, and pause between bytes [s]."""

    def __init__(self) -> None:
        self.answer: tuple[int, dict[str, str], bytes, float] = (200, {}, b"{}", 0.0)
        self.asked: list[tuple[str, str | None]] = []
        device = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                device.asked.append((self.path, self.headers.get("Authorization")))
                status, headers, body, pause_s = device.answer
                self.send_response(status)
                for key, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(key, value)
                self.end_headers()
                try:
                    for i in range(len(body) if pause_s else 0):
                        self.wfile.write(body[i : i + 1])
                        self.wfile.flush()
                        time.sleep(pause_s)
                    if not pause_s:
                        self.wfile.write(body)
                except OSError:  # the client has hung up
                    pass

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def says(self, document: Any) -> None:
        self.answer = (200, {}, json.dumps(document).encode(), 0.0)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def device() -> Iterator[Device]:
    started = Device()
    yield started
    started.close()


def source(device: Device, more: str, memory: dict[str, str] | None = None, folder: Path = Path()) -> Http:
    text = f'{HEAD}url = "http://127.0.0.1:{device.port}/now"\n{more}'
    [settings] = settings_file.parse(text, folder / "gateway.toml").sources
    assert isinstance(settings, HttpSource)
    return Http(settings, memory or {}, lambda: NOW_MS)


HISTORY = """
[[source.reading]]
temperature = "list.*.celsius"
unit = "C"
[[source.time]]
clock = "device"
path = ".at"
format = "s"
[[source.sentinel]]
c = -127.0
reason = "no_probe"
"""
NOW = """
[[source.reading]]
temperature = "probes.*.f"
channel = "{1}"
unit = "F"
"""


def test_an_answer_without_times_is_stamped_by_the_gateway_each_time(device: Device) -> None:
    device.says({"probes": {"air": {"f": 41.0}, "glycol": {"f": None}}})
    poll = source(device, NOW)
    for _ in range(2):
        [taken] = poll.take()
        assert taken.is_stamped
        assert [(one.logger, one.channel, one.at_ms.tolist()) for one in taken.batches] == [
            ("lg-1", "air", [NOW_MS]),
            ("lg-1", "glycol", [NOW_MS]),
        ]
        assert taken.batches[0].temperature_mc.tolist() == [5000]
        assert taken.batches[1].faults == {0: "null"}


def test_a_history_gives_what_was_not_in_the_answer_before_also_after_a_restart(device: Device) -> None:
    poll, memory = source(device, HISTORY), dict[str, str]()
    given = []
    for newest in (3, 5, 5, 9):
        device.says([{"at": 1000 + i, "celsius": 5.0 if i else -127.0} for i in range(max(0, newest - 4), newest)])
        for taken in poll.take():
            memory |= taken.memory
            given += [at_ms // 1000 - 1000 for batch in taken.batches for at_ms in batch.at_ms.tolist()]
            assert not taken.is_stamped
        poll = source(device, HISTORY, memory)
    assert given == list(range(9))


def test_a_redirect_is_not_followed(device: Device) -> None:
    device.answer = (302, {"Location": f"http://127.0.0.1:{device.port}/elsewhere"}, b"", 0.0)
    [taken] = source(device, NOW).take()
    assert taken.problem.endswith("/now: redirects, which is not followed (302)")
    assert [path for path, _ in device.asked] == ["/now"]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ((500, {}, b"", 0.0), "answers Internal Server Error (500)"),
        ((200, {}, b"x" * 5000, 0.0), "answers more than 4096 bytes"),
        ((200, {"Content-Length": "900"}, b'{"probes":{"a":{"f":41.0}}}', 0.0), "ends 873 bytes too early"),
        ((200, {}, b'{"probes":{"a":{"f":41.0}}}', 0.1), ""),
        ((200, {}, b"<html>", 0.0), "the answer cannot be read: not_a_document"),
        ((200, {}, b"\xff\xfe", 0.0), "the answer cannot be read: not_a_document"),
        ((200, {}, b'{"probes":{"a/b":{"f":41.0}}}', 0.0), "has a '/'"),
        ((200, {}, b"{}", 0.0), "the answer cannot be read: not_a_reading"),
    ],
)
def test_an_answer_that_is_none_is_a_problem_within_the_timeout(
    device: Device, answer: tuple[int, dict[str, str], bytes, float], problem: str
) -> None:
    device.answer = answer
    started_s = time.monotonic()
    [taken] = source(device, NOW).take()
    assert time.monotonic() - started_s < 5
    assert taken.batches == ()
    assert taken.problem
    assert problem in taken.problem


def test_a_device_that_is_off_is_a_problem_and_the_next_answer_ends_it(device: Device) -> None:
    poll = source(device, NOW)
    device.close()
    [taken] = poll.take()
    assert "Connection refused" in taken.problem


@pytest.mark.parametrize("value", ["Bearer s3cret\x07", "Bearer s3cret\u20ac"])
def test_an_authorization_that_cannot_be_one_is_a_problem_that_does_not_show_it(
    device: Device, tmp_path: Path, value: str
) -> None:
    (tmp_path / "token").write_bytes(value.encode())
    [taken] = source(device, 'authorization_file = "token"\n' + NOW, folder=tmp_path).take()
    assert taken.problem.endswith("token cannot be the value of a header")
    assert "s3cret" not in taken.problem


def test_the_authorization_comes_from_a_file(device: Device, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("Bearer s3cret\n", encoding="utf-8")
    device.says({"probes": {"air": {"f": 41.0}}})
    [taken] = source(device, 'authorization_file = "token"\n' + NOW, folder=tmp_path).take()
    assert device.asked == [("/now", "Bearer s3cret")]
    assert taken.problem == ""
