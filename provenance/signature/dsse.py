"""DSSE envelopes (secure-systems-lab/dsse v1): one signature, one byte form.

Invariants: what is signed is the pre-authentication encoding of payload type and payload, never the JSON around them;
an envelope has exactly one signature, whose `keyid` names its key; `parse_envelope` accepts exactly the bytes that
`encode_envelope` gives, so a statement by a key has one envelope and one log leaf.

    {"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"keyid":"<64 hex>","sig":"MEQC..."}]}
    DSSEv1 28 application/vnd.in-toto+json 2 {}
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from provenance.encoding import Fields, JsonValue, b64encode, canonical_json, parse_json
from provenance.errors import MalformedError, VerificationError
from provenance.limits import MAX_ENTRY_BYTES, check_size
from provenance.signature.ecdsa import MAX_SIGNATURE_BYTES
from provenance.signature.keys import PublicKey, Signer

IN_TOTO_PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
MAX_PAYLOAD_TYPE_CHARS: Final = 128

_KEYID = re.compile(r"[0-9a-f]{64}")
_PAYLOAD_TYPE = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of an envelope. `keyid` is hex SHA-256 of the key's PEM, or empty where a format allows none."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A signed payload. Nothing about it is verified until `verify_envelope` returned."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: DSSE v1 pre-authentication encoding; lengths are decimal counts of bytes."""
    encoded_type = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(encoded_type), encoded_type, len(payload), payload)


def sign_envelope(payload: bytes, payload_type: str, signer: Signer) -> Envelope:
    """The envelope of `payload` signed by `signer`; verified before it is returned.

    `LimitError` if it would not fit a log entry; `VerificationError` if the signer's signature is not its own.
    """
    envelope = sign_payload(payload, payload_type, signer)
    encode_envelope(envelope)
    return envelope


def sign_payload(payload: bytes, payload_type: str, signer: Signer) -> Envelope:
    """As `sign_envelope`, for a payload of any size: an OMS payload lists every file."""
    _check_content(payload, payload_type)
    signature = Signature(signer.public.keyid, signer.sign(pae(payload_type, payload)))
    envelope = Envelope(payload, payload_type, (signature,))
    verify_envelope(envelope, signer.public)
    return envelope


def encode_envelope(envelope: Envelope) -> bytes:
    """The envelope's one byte form: RFC 8785 JSON, at most 65,535 bytes (`LimitError`)."""
    data = canonical_json(envelope_json(envelope))
    check_size("envelope", len(data), MAX_ENTRY_BYTES)
    return data


def envelope_json(envelope: Envelope) -> dict[str, JsonValue]:
    """The envelope as a JSON object."""
    signatures: list[JsonValue] = [{"keyid": s.keyid, "sig": b64encode(s.sig)} for s in envelope.signatures]
    return {
        "payload": b64encode(envelope.payload),
        "payloadType": envelope.payload_type,
        "signatures": signatures,
    }


def parse_envelope(data: bytes) -> Envelope:
    """The envelope that has these bytes. `MalformedError` if any other bytes would mean the same envelope."""
    fields = Fields(parse_json(data, what="envelope", max_bytes=MAX_ENTRY_BYTES), "envelope")
    payload = fields.base64("payload", max_bytes=MAX_ENTRY_BYTES)
    payload_type = fields.string("payloadType", max_chars=MAX_PAYLOAD_TYPE_CHARS)
    signatures = fields.array("signatures", max_items=1)
    fields.end()
    _check_content(payload, payload_type)
    if len(signatures) != 1:
        raise MalformedError("envelope is not signed", expected="exactly one signature", got=len(signatures))
    inner = Fields(signatures[0], "envelope.signatures[0]")
    keyid = inner.string("keyid", max_chars=64)
    signature = inner.base64("sig", max_bytes=MAX_SIGNATURE_BYTES)
    inner.end()
    if not _KEYID.fullmatch(keyid):
        raise MalformedError("envelope's keyid is not a key id", expected="64 lower-case hex digits", got=keyid)
    if not signature:
        raise MalformedError("envelope's signature is empty", expected="a signature")
    envelope = Envelope(payload, payload_type, (Signature(keyid, signature),))
    if encode_envelope(envelope) != data:
        raise MalformedError("envelope is not in its one byte form", expected="RFC 8785 JSON without spaces")
    return envelope


def verify_envelope(envelope: Envelope, key: PublicKey) -> None:
    """Return if the envelope's one signature is by `key`.

    `VerificationError` if it is another key's or does not verify; `MalformedError` if it is not one signature.
    """
    if len(envelope.signatures) != 1:
        got = len(envelope.signatures)
        raise MalformedError("envelope has the wrong number of signatures", expected="exactly one", got=got)
    signature = envelope.signatures[0]
    if signature.keyid != key.keyid:
        raise VerificationError("envelope is signed by another key", expected=key.keyid, got=signature.keyid)
    key.verify(signature.sig, pae(envelope.payload_type, envelope.payload))


def _check_content(payload: bytes, payload_type: str) -> None:
    if not payload:
        raise MalformedError("envelope's payload is empty", expected="at least one byte")
    if not _PAYLOAD_TYPE.fullmatch(payload_type):
        expected = f"1 to {MAX_PAYLOAD_TYPE_CHARS} printable ASCII characters"
        raise MalformedError("envelope's payload type is not a media type", expected=expected, got=payload_type)
