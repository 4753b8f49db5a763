"""A publisher that is never the limit: packets made before, written to a bare socket, at a given rate or at once.

`publish` runs in a process of its own. MQTT 3.1.1, QoS 1; it counts the broker's acknowledgements and nothing else.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from typing import Any

PAUSE_S, PACED_PAUSE_S = 0.002, 0.0005
ACKNOWLEDGEMENT_BYTES = 4
ACCEPTED = b"\x20\x02\x00\x00"


def packet(header: int, body: bytes) -> bytes:
    """A packet by the rule of MQTT 2.1.4."""
    length, count = b"", len(body)
    while True:
        count, digit = divmod(count, 128)
        length += bytes([digit | (128 if count else 0)])
        if not count:
            return bytes([header]) + length + body


def text(content: bytes) -> bytes:
    """A text with its length before it."""
    return len(content).to_bytes(2, "big") + content


def message(number: int, topic: str, payload: bytes) -> bytes:
    """A PUBLISH packet of QoS 1."""
    return packet(0x32, text(topic.encode()) + (number % 60_000 + 1).to_bytes(2, "big") + payload)


def started(port: int, packets: Sequence[bytes], per_s: float | None = None, sent_s: Any = None) -> BaseProcess:
    """A process that publishes, connected already; at once without `per_s`. It ends once the broker has taken all."""
    spawn = multiprocessing.get_context("spawn")
    is_connected = spawn.Event()
    process = spawn.Process(target=_publish_and_go, args=(port, packets, per_s, is_connected, sent_s), daemon=True)
    process.start()
    while not is_connected.wait(0.1) and process.is_alive():
        pass
    return process


def timed(port: int, packets: Sequence[bytes], per_s: float) -> tuple[BaseProcess, Sequence[float]]:
    """A process that publishes at a pace, and where it writes down when it has sent each packet [monotonic s]."""
    sent_s = multiprocessing.get_context("spawn").Array("d", len(packets), lock=False)
    return started(port, packets, per_s, sent_s), sent_s


def _publish_and_go(port: int, packets: Sequence[bytes], per_s: float | None, is_connected: Event, sent_s: Any) -> None:
    publish(port, packets, per_s, is_connected, sent_s)
    os._exit(0)  # to take leave of all that the main module has imported costs more than to publish


def publish(port: int, packets: Sequence[bytes], per_s: float | None, is_connected: Event, sent_s: Any = None) -> None:
    """Publish, until the broker has taken everything; when each packet was sent goes into `sent_s`."""
    with socket.create_connection(("127.0.0.1", port)) as broker:
        broker.sendall(packet(0x10, text(b"MQTT") + b"\x04\x02\x00\x00" + text(b"raw-publisher")))
        if broker.recv(len(ACCEPTED)) != ACCEPTED:
            raise ConnectionError("the broker refuses the publisher")
        is_connected.set()
        broker.settimeout(0.0)
        began, sent, answered, rest = time.monotonic(), 0, 0, memoryview(b"")
        while answered < ACKNOWLEDGEMENT_BYTES * len(packets):
            due = len(packets) if per_s is None else min(int((time.monotonic() - began) * per_s), len(packets))
            if not rest and due > sent:
                if sent_s is not None:
                    sent_s[sent:due] = [time.monotonic()] * (due - sent)
                rest, sent = memoryview(b"".join(packets[sent:due])), due
            try:
                while rest:
                    rest = rest[broker.send(rest[: 1 << 18]) :]
            except BlockingIOError:
                pass
            try:
                while data := broker.recv(1 << 16):
                    answered += len(data)
            except BlockingIOError:
                time.sleep(PAUSE_S if per_s is None else PACED_PAUSE_S)
