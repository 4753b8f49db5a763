"""A TCP proxy that can be cut: reset, swallow everything, or let one byte a second through."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import Literal

Mode = Literal["pass", "hole", "trickle"]


class Proxy:
    """Listens on a port of its own and forwards to another."""

    def __init__(self, target_port: int) -> None:
        self.mode: Mode = "pass"
        self.forwarded = 0
        self._target = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self) -> None:
        """End every connection as a broken network does: RST, both ways."""
        with self._lock:
            cut, self._open = self._open, set()
        for each in cut:
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.close()

    def heal(self) -> None:
        """Forward again; connections that have lost bytes are reset."""
        was, self.mode = self.mode, "pass"
        if was == "hole":
            self.reset()

    def close(self) -> None:
        self._is_closed = True
        _close(self._listener)
        self.reset()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                _close(near)
                continue
            with self._lock:
                self._open |= {near, far}
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    def _trickles(self) -> bool:
        return self.mode == "trickle"

    def _pump(self, a: socket.socket, b: socket.socket) -> None:
        a.settimeout(0.2)
        try:
            while True:
                try:
                    data = a.recv(65_536)
                except TimeoutError:
                    continue
                if not data:
                    break
                while data and self._trickles():
                    b.sendall(data[:1])
                    data = data[1:]
                    until = time.monotonic() + 1.0
                    while self._trickles() and time.monotonic() < until:
                        time.sleep(0.05)
                if self.mode == "pass":
                    b.sendall(data)
                    self.forwarded += len(data)
        except OSError:
            pass
        with self._lock:
            self._open -= {a, b}
        _close(a)
        _close(b)


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        one.close()
