"""What one MQTT message holds: readings, or the reason why it is kept without any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from coldchain.broker import Arrived
from coldchain.errors import RejectedPayload
from coldchain.ledger.entries import Message, unstorable
from gateways.decoders import Decoded, Decoder, Node, NodeKey, decoder


def received(arrived: Arrived, reader: Decoder | None = None) -> Message:
    """What one MQTT message holds: readings, or the reason why it is kept without any.

    `reader` is what decodes it, by default with the built-in mappings only.
    """
    return heard(arrived, reader or decoder(), {})[0]


def heard(arrived: Arrived, reader: Decoder, nodes: Mapping[NodeKey, Node]) -> tuple[Message, Decoded]:
    """The same of a message that may depend on what edge nodes have said before, and all that was found in it."""
    payload = bytes(arrived.message.payload)
    nothing = Decoded(())
    try:
        topic = arrived.message.topic
    except UnicodeDecodeError as exc:
        return Message(arrived.received_ms, "", payload, reason="topic_not_utf8", detail=str(exc)), nothing
    message = Message(arrived.received_ms, topic, payload)
    if arrived.message.retain:
        return replace(message, reason="retained", detail="a retained message is not a fresh reading"), nothing
    try:
        found = reader.read(topic, payload, arrived.received_ms, nodes)
    except RejectedPayload as rejected:
        return replace(message, reason=rejected.reason, detail=rejected.detail), nothing
    for batch in found.batches:
        if why := unstorable(batch):
            return replace(message, reason="unstorable", detail=why), found
    reason, detail = found.refused or ("", "")
    details = "; ".join(filter(None, (detail, *found.flags)))
    return replace(message, batches=found.batches, reason=reason, detail=details), found
