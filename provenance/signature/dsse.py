"""DSSE envelopes (secure-systems-lab/dsse v1): one signature or two, one byte form.

Invariants: what is signed is the pre-authentication encoding of payload type and payload, never the JSON around them;
the first signature's `keyid` names the source's key; a second one is the ML-DSA-44 signature of a pair, over the same
bytes, and counts beside the first only. `parse_envelope` accepts exactly the bytes that `encode_envelope` gives: a
statement by a classical key has one envelope and one log leaf; by a pair it has as many as its owner makes.

    {"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"keyid":"<64 hex>","sig":"MEQC..."}]}
    DSSEv1 28 application/vnd.in-toto+json 2 {}
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from provenance.encoding import Fields, JsonValue, b64encode, canonical_json, parse_json
from provenance.errors import MalformedError, SignerError, VerificationError
from provenance.limits import MAX_ENTRY_BYTES, check_size
from provenance.signature.ecdsa import MAX_SIGNATURE_BYTES
from provenance.signature.keys import PairSigner, PublicKey, Signer
from provenance.signature.ml_dsa import ML_DSA_SIGNATURE_BYTES

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
    """The envelope of `payload` signed by `signer`, by both keys of a pair; verified before it is returned.

    `LimitError` if it would not fit a log entry; `VerificationError` if the signer's signature is not its own.
    """
    envelope = sign_payload(payload, payload_type, signer)
    encode_envelope(envelope)
    return envelope


def sign_payload(payload: bytes, payload_type: str, signer: Signer) -> Envelope:
    """As `sign_envelope`, for a payload of any size."""
    envelope = sign_alone(payload, payload_type, signer)
    ml_dsa = signer.public.ml_dsa
    if ml_dsa is None:
        return envelope
    if not isinstance(signer, PairSigner):
        raise SignerError("signer has no ML-DSA-44 key", expected=ml_dsa.keyid)
    second = Signature(ml_dsa.keyid, signer.sign_ml_dsa(pae(payload_type, payload)))
    envelope = replace(envelope, signatures=(*envelope.signatures, second))
    verify_envelope(envelope, signer.public)
    return envelope


def sign_alone(payload: bytes, payload_type: str, signer: Signer) -> Envelope:
    """As `sign_payload`, with the one signature of the classical key: an OMS bundle has no room for a second."""
    _check_content(payload, payload_type)
    signature = Signature(signer.public.keyid, signer.sign(pae(payload_type, payload)))
    envelope = Envelope(payload, payload_type, (signature,))
    verify_envelope(envelope, signer.public.alone)
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
    signatures = fields.array("signatures", max_items=2)
    fields.end()
    _check_content(payload, payload_type)
    envelope = Envelope(payload, payload_type, read_signatures(signatures, "envelope"))
    if encode_envelope(envelope) != data:
        raise MalformedError("envelope is not in its one byte form", expected="RFC 8785 JSON without spaces")
    return envelope


def read_signatures(items: Sequence[JsonValue], what: str) -> tuple[Signature, ...]:
    """The one or two signatures in the JSON of an envelope that errors call `what`."""
    if not 1 <= len(items) <= 2:
        raise MalformedError(f"{what} is not signed", expected="one signature, or two of a pair", got=len(items))
    first = _read_signature(items[0], f"{what}.signatures[0]", MAX_SIGNATURE_BYTES)
    if len(items) == 1:
        return (first,)
    second = _read_signature(items[1], f"{what}.signatures[1]", ML_DSA_SIGNATURE_BYTES)
    if len(second.sig) != ML_DSA_SIGNATURE_BYTES or second.keyid == first.keyid:
        expected = f"{ML_DSA_SIGNATURE_BYTES} bytes by a key of its own"
        raise MalformedError(f"{what}'s second signature is not of ML-DSA-44", expected=expected, got=len(second.sig))
    return first, second


def _read_signature(item: JsonValue, where: str, max_bytes: int) -> Signature:
    inner = Fields(item, where)
    keyid = inner.string("keyid", max_chars=64)
    signature = inner.base64("sig", max_bytes=max_bytes)
    inner.end()
    if not _KEYID.fullmatch(keyid):
        raise MalformedError("envelope's keyid is not a key id", expected="64 lower-case hex digits", got=keyid)
    if not signature:
        raise MalformedError("envelope's signature is empty", expected="a signature")
    return Signature(keyid, signature)


def verify_envelope(envelope: Envelope, key: PublicKey) -> None:
    """Return if the envelope is signed by `key`; if that is a pair, by both of its keys.

    If it is none, a second signature is not judged (`verify_whole` refuses it). `VerificationError` if a signature is
    missing, another key's, or does not verify; `MalformedError` if there are none or more than two.
    """
    if not 1 <= len(envelope.signatures) <= 2:
        got = len(envelope.signatures)
        raise MalformedError("envelope has the wrong number of signatures", expected="one or two", got=got)
    first, *others = envelope.signatures
    if first.keyid != key.keyid:
        raise VerificationError("envelope is signed by another key", expected=key.keyid, got=first.keyid)
    message = pae(envelope.payload_type, envelope.payload)
    key.verify(first.sig, message)
    if key.ml_dsa is None:
        return
    if not others:
        what = "envelope lacks the ML-DSA-44 signature that its key owes"
        raise VerificationError(what, expected=f"a signature by key {key.ml_dsa.keyid}", got="one signature")
    if others[0].keyid != key.ml_dsa.keyid:
        what = "envelope's second signature is by another key"
        raise VerificationError(what, expected=key.ml_dsa.keyid, got=others[0].keyid)
    key.ml_dsa.verify(others[0].sig, message)


def verify_whole(envelope: Envelope, key: PublicKey) -> None:
    """As `verify_envelope`, for what is about to be kept: a signature that `key` says nothing of is refused, too.

    Anybody could put one beside another's signature, and so make a second entry of what somebody else signed.
    """
    verify_envelope(envelope, key)
    if len(envelope.signatures) > len(key.algorithms):
        raise VerificationError(
            "envelope has a signature by a key that is not known",
            expected="the ML-DSA-44 key that stands beside its signer's",
            got=envelope.signatures[-1].keyid,
            hint="give `provenance keys trust` what its owner's `provenance keys show NAME --pem` prints",
        )


def _check_content(payload: bytes, payload_type: str) -> None:
    if not payload:
        raise MalformedError("envelope's payload is empty", expected="at least one byte")
    if not _PAYLOAD_TYPE.fullmatch(payload_type):
        expected = f"1 to {MAX_PAYLOAD_TYPE_CHARS} printable ASCII characters"
        raise MalformedError("envelope's payload type is not a media type", expected=expected, got=payload_type)
