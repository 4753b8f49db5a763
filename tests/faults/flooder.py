"""A gateway gone wild: `python -m faults.flooder PORT PER_S SECONDS` publishes small messages as fast as it is told.

It writes packets that were made before over a bare socket, so that neither a client library nor Python sets the pace,
and says at the end in how many seconds all were acknowledged by the broker.
"""

from __future__ import annotations

import json
import socket
import sys
import time

from service_values import START_MS

TOPIC = b"coldchain/v1/basel/gw-wild/lg-wild/readings"
AT_ONCE_S = 0.005


def _packet(header: int, body: bytes) -> bytes:
    length, count = b"", len(body)
    while True:
        count, digit = divmod(count, 128)
        length += bytes([digit | (128 if count else 0)])
        if not count:
            return bytes([header]) + length + body


def _text(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text


def _message(number: int) -> bytes:
    document = {"v": 1, "logger": "lg-wild", "boot": 1, "seq": number, "t0": START_MS + number * 1000, "mc": [5000]}
    return _packet(0x32, _text(TOPIC) + (number % 60_000 + 1).to_bytes(2, "big") + json.dumps(document).encode())


def main() -> None:
    """Flood."""
    port, per_s, seconds = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    messages = [_message(number) for number in range(per_s * seconds)]
    with socket.create_connection(("127.0.0.1", port)) as broker:
        broker.sendall(_packet(0x10, _text(b"MQTT") + b"\x04\x02\x00\x00" + _text(b"wild")))
        broker.recv(4)
        print("connected", flush=True)
        broker.settimeout(0.0)
        began, sent, answered, rest = time.monotonic(), 0, 0, b""
        while answered < 4 * len(messages):
            due = min(int((time.monotonic() - began) * per_s), len(messages))
            rest += b"".join(messages[sent:due])
            sent = due
            try:
                while rest:
                    rest = rest[broker.send(rest) :]
            except BlockingIOError:
                pass
            try:
                while data := broker.recv(1 << 16):
                    answered += len(data)
            except BlockingIOError:
                time.sleep(AT_ONCE_S)
        print(f"{len(messages)} messages taken in {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
