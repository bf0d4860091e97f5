"""A lineage event that its sender signed: a DSSE envelope over the event's bytes, sent in the event's place.

Invariants: what is signed are the bytes as the sender's library wrote them; the envelope has one byte form and one
signature, or a pair's two, and is what is kept, so that who sent an event is proven as long as its batch is; an event
that is no envelope is as it always was, and nothing proves who sent it.

Bytes: `{"payload":"<base64 of the event>","payloadType":"application/vnd.openlineage.event+json","signatures":
[{"keyid":"<64 hex>","sig":"<base64>"}]}`
"""

from __future__ import annotations

from typing import Final

from provenance.encoding import Fields, canonical_json, parse_json
from provenance.errors import MalformedError
from provenance.limits import check_size
from provenance.signature import Envelope, Signer
from provenance.signature.dsse import envelope_json, read_signatures, sign_payload
from provenance.statement.received import MAX_EVENT_BYTES

EVENT_PAYLOAD_TYPE: Final = "application/vnd.openlineage.event+json"
_BEGINS: Final = b'{"payload":"'


def sign_event(event: bytes, signer: Signer) -> bytes:
    """What is sent in the place of an event."""
    data = canonical_json(envelope_json(sign_payload(event, EVENT_PAYLOAD_TYPE, signer)))
    check_size("signed event", len(data), MAX_EVENT_BYTES)
    return data


def is_signed(raw: bytes) -> bool:
    """Whether this is meant to be a signed event."""
    return raw.startswith(_BEGINS)


def open_signed(raw: bytes) -> Envelope:
    """The envelope in these bytes; nothing about it is verified. `MalformedError` if it is none of an event."""
    fields = Fields(parse_json(raw, what="signed event", max_bytes=MAX_EVENT_BYTES), "signed event")
    payload = fields.base64("payload", max_bytes=MAX_EVENT_BYTES)
    fields.constant("payloadType", EVENT_PAYLOAD_TYPE)
    signatures = fields.array("signatures", max_items=2)
    fields.end()
    envelope = Envelope(payload, EVENT_PAYLOAD_TYPE, read_signatures(signatures, "signed event"))
    if canonical_json(envelope_json(envelope)) != raw:
        raise MalformedError("signed event is not in its one byte form", expected="RFC 8785 JSON without spaces")
    return envelope
