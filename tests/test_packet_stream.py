"""Messages are taken out of the stream wherever it is cut; everything else reaches paho byte for byte, in order."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import _packet
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from benchmarks.raw_publisher import packet, text
from coldchain.packet_stream import Malformed, PacketStream, Published

V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311


def published(message: Published, protocol: MQTTProtocolVersion, properties: bytes = b"\x00") -> bytes:
    mid = message.mid.to_bytes(2, "big") if message.qos else b""
    body = text(message.topic) + mid
    body += (properties if protocol is V5 else b"") + message.payload
    return packet(0x30 | message.qos << 1 | message.is_retained, body)


def properties_of(text: str) -> bytes:
    """Properties as paho writes them, longer than 127 bytes for a long text."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    properties.UserProperty = ("key", text)
    packed: bytes = properties.pack()  # type: ignore[no-untyped-call]
    return packed


acknowledged = st.builds(
    Published,
    st.binary(min_size=1, max_size=40),
    st.binary(max_size=300),
    st.booleans(),
    st.just(1),
    st.integers(1, 999),
)
unacknowledged = st.builds(
    Published, st.binary(min_size=1, max_size=9), st.binary(max_size=9), st.booleans(), st.just(0), st.just(0)
)
messages = acknowledged | unacknowledged
others = st.builds(
    packet, st.sampled_from([0x20, 0x40, 0x90, 0xD0, 0xE0]), st.binary(max_size=200)
)  # CONNACK, PUBACK, SUBACK, PINGRESP, DISCONNECT


@contextmanager
def connected(protocol: MQTTProtocolVersion = V5) -> Iterator[tuple[PacketStream, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield PacketStream(ours, speaks_5=protocol is V5), theirs


def for_paho(stream: PacketStream) -> bytes:
    found = b""
    while True:
        try:
            data = stream.recv(7)
        except BlockingIOError:
            return found
        if not data:
            return found
        found += data


@given(
    st.lists(messages | others, max_size=12),
    st.lists(st.integers(1, 400), max_size=30),
    st.sampled_from([V5, V311]),
    st.sampled_from([b"\x00", properties_of("a"), properties_of("b" * 200)]),
)
def test_wherever_the_stream_is_cut_messages_and_other_packets_come_apart(
    sent: list[Published | bytes], cuts: list[int], protocol: MQTTProtocolVersion, properties: bytes
) -> None:
    whole = b"".join(one if isinstance(one, bytes) else published(one, protocol, properties) for one in sent)
    with connected(protocol) as (stream, broker):
        for cut in cuts:
            broker.sendall(whole[:cut])
            whole = whole[cut:]
            stream.fill(10**6)
        broker.sendall(whole)
        stream.fill(10**6)
        assert stream.messages == [one for one in sent if isinstance(one, Published)]
        assert for_paho(stream) == b"".join(one for one in sent if isinstance(one, bytes))


@given(messages, st.sampled_from([V5, V311]))
def test_a_message_is_what_paho_would_have_read(message: Published, protocol: MQTTProtocolVersion) -> None:
    whole = published(message, protocol, properties_of("text"))
    body = whole[2:] if whole[1] < 128 else whole[3:]
    theirs = _packet.decode_publish(whole[0], body, protocol)
    assert (theirs.topic, bytes(theirs.payload), theirs.retain, theirs.qos, theirs.mid) == message


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("a length without an end", b"\x30\xff\xff\xff\xff\x01"),
        ("QoS 2", packet(0x34, b"\x00\x01a\x00\x01\x00")),
        ("no topic", packet(0x32, b"\x00")),
        ("a topic beyond the end", packet(0x32, b"\x00\x09abc\x00\x01")),
        ("no message id", packet(0x32, b"\x00\x01a")),
        ("no properties", packet(0x32, b"\x00\x01a\x00\x01")),
        ("properties beyond the end", packet(0x32, b"\x00\x01a\x00\x01\x05abc")),
        ("properties without an end", packet(0x32, b"\x00\x01a\x00\x01\xff\xff\xff\xff\x01")),
    ],
)
def test_what_is_no_message_ends_the_connection(what: str, data: bytes) -> None:
    with connected() as (stream, broker):
        broker.sendall(published(Published(b"t", b"p", False, 1, 7), V5) + data)
        stream.fill(10)
        assert [message.mid for message in stream.messages] == [7], what
        assert stream.has_news
        with pytest.raises(Malformed):
            stream.recv(1)


def test_the_end_of_the_connection_reaches_paho_after_all_that_came_before() -> None:
    with connected() as (stream, broker):
        broker.sendall(packet(0xD0, b""))
        broker.close()
        stream.fill(10)
        assert (stream.recv(1), stream.recv(9), stream.recv(1)) == (b"\xd0", b"\x00", b"")


def test_acknowledgements_and_what_paho_says_are_written_in_order_however_little_the_socket_takes() -> None:
    with connected() as (stream, broker):
        expected = b""
        for round_ in range(40):
            stream.acknowledge(range(1, 1001))
            stream.send(bytes([round_]) * 5000)
            expected += (
                b"".join(b"\x40\x02" + mid.to_bytes(2, "big") for mid in range(1, 1001)) + bytes([round_]) * 5000
            )
        assert stream.wants_write
        got = b""
        while len(got) < len(expected):
            got += broker.recv(1 << 16)
            stream.flush()
        assert got == expected
        assert not stream.wants_write


def test_a_connection_that_breaks_while_it_is_written_to_is_noticed_by_who_reads() -> None:
    with connected() as (stream, broker):
        broker.close()
        stream.acknowledge([1])
        stream.acknowledge([2])
        assert stream.has_news
        with pytest.raises(OSError, match="pipe"):
            stream.recv(1)
