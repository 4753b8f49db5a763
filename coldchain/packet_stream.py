"""The stream of MQTT packets from and to the broker: messages are read here, many at once; everything else is paho's.

paho reads a packet with four system calls, builds some tables for each, and sends every acknowledgement on its own.
The stream sits where paho expects its socket: it takes PUBLISH packets out of what comes in, and what paho and the
acknowledgements have to say goes out in one write, in order. It knows of MQTT what stands in 3.3 (PUBLISH) and 3.4
(PUBACK) of the specifications 3.1.1 and 5.0, and leaves connection, session, subscriptions, keep-alive and all that is
published to paho.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

from paho.mqtt.client import Client

PUBLISH, PUBACK = 0x30, 0x40
BYTES_AT_ONCE = 1 << 18
LONGEST_LENGTH = 4
"""Bytes that a length may have."""

_U16 = struct.Struct("!H")


class Published(NamedTuple):
    """A message as the broker sends it."""

    topic: bytes
    payload: bytes
    is_retained: bool
    qos: int
    mid: int


class Malformed(ConnectionError):
    """What came is no MQTT packet: the connection is of no use any more."""


class PacketStream:
    """A connected socket that does not block, as paho uses it. `messages`: what has come in since they were taken."""

    def __init__(self, connected: socket.socket, *, speaks_5: bool) -> None:
        self._socket, self._speaks_5 = connected, speaks_5
        self._incoming, self._for_paho, self._outgoing = bytearray(), bytearray(), bytearray()
        self._failure: OSError | None = None
        self._is_ended = False
        self.messages: list[Published] = []

    def recv(self, count: int) -> bytes:
        """The next bytes of what is not a message; BlockingIOError while there are none, b"" at the end."""
        if self._for_paho:
            taken = bytes(self._for_paho[:count])
            del self._for_paho[:count]
            return taken
        if self._failure is not None:
            raise self._failure
        if self._is_ended:
            return b""
        raise BlockingIOError

    def send(self, data: bytes | bytearray) -> int:
        """Write something behind all that is still to be written."""
        self._outgoing += data
        self.flush()
        return len(data)

    def acknowledge(self, mids: Iterable[int]) -> None:
        """Acknowledge messages of QoS 1 that came in on this stream."""
        self._outgoing += b"".join(b"\x40\x02" + _U16.pack(mid) for mid in mids)
        self.flush()

    def flush(self) -> None:
        """Write what the socket takes now; the rest stays."""
        try:
            while self._outgoing:
                del self._outgoing[: self._socket.send(self._outgoing)]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as exc:
            self._failure = exc

    @property
    def wants_write(self) -> bool:
        """Whether something waits until the socket takes it."""
        return bool(self._outgoing)

    @property
    def has_news(self) -> bool:
        """Whether paho has something to read: a packet, or that the connection is broken."""
        return bool(self._for_paho) or self._is_ended or self._failure is not None

    def fill(self, most: int) -> None:
        """Read what has come in, until nothing waits or about `most` messages are there."""
        while not (self._is_ended or self._failure) and len(self.messages) < most:
            try:
                data = self._socket.recv(BYTES_AT_ONCE)
                self._is_ended = not data
                self._incoming += data
                self._split()
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as exc:
                self._failure = exc

    def _split(self) -> None:
        data = self._incoming
        begin, end = 0, len(data)
        while end - begin >= 2:
            length, shift, at = data[begin + 1] & 127, 7, begin + 2
            while data[at - 1] & 128:
                if at - begin > LONGEST_LENGTH:
                    raise Malformed("a packet whose length does not end")
                if at == end:
                    length = end  # not all of the length is there yet
                    break
                length |= (data[at] & 127) << shift
                shift, at = shift + 7, at + 1
            stop = at + length
            if stop > end:
                break
            header = data[begin]
            if header & 0xF0 == PUBLISH:
                self.messages.append(self._message(header, at, stop))
            else:
                self._for_paho += data[begin:stop]
            begin = stop
        del data[:begin]

    def _message(self, header: int, at: int, stop: int) -> Published:
        data, qos = self._incoming, header >> 1 & 3
        if qos > 1:
            raise Malformed("a message of QoS 2, which was not subscribed to")
        if stop - at < 2:
            raise Malformed("a message without a topic")
        after_topic = at + 2 + _U16.unpack_from(data, at)[0]
        behind = after_topic + 2 * qos
        if behind > stop:
            raise Malformed("a topic that is longer than its message")
        mid = _U16.unpack_from(data, after_topic)[0] if qos else 0
        if self._speaks_5:
            behind = self._after_properties(behind, stop)
        topic, payload = bytes(data[at + 2 : after_topic]), bytes(data[behind:stop])
        return Published(topic, payload, bool(header & 1), qos, mid)

    def _after_properties(self, at: int, stop: int) -> int:
        length, shift = 0, 0
        for each in range(LONGEST_LENGTH):
            if at + each >= stop:
                break
            byte = self._incoming[at + each]
            length |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                after = at + each + 1 + length
                if after > stop:
                    break
                return after
        raise Malformed("properties that are longer than their message")

    def fileno(self) -> int:
        """For select."""
        return self._socket.fileno()

    def setblocking(self, flag: bool) -> None:
        """As a socket does it."""
        self._socket.setblocking(flag)

    def close(self) -> None:
        """Close the socket; what is not written by then is lost, and what was not acknowledged comes again."""
        self._socket.close()


class StreamingClient(Client):
    """A paho client whose socket is a `PacketStream`: `stream`, None while there is no connection."""

    stream: PacketStream | None = None

    def _create_socket(self) -> Any:
        # not a public name of paho, but the one place where it makes its connection; tests with a real broker hold it
        connected = super()._create_socket()
        if not isinstance(connected, socket.socket):
            raise TypeError("websockets have no packet stream")
        self.stream = PacketStream(connected, speaks_5=self.protocol == 5)
        return self.stream
