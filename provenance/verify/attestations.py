"""Attestations of a log's entries, verified by whoever has the attester's public key: no server is asked.

Steps: 1 each is an envelope in its one byte form, signed by the key; 2 each says what a log attestation may say; 3 all
are of one attester and one log, each after the first names the one before, by its digest, and begins where that ends.
Invariants: none but the last may say that an entry was refused; who the key belongs to is for the caller to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from provenance.encoding import Digest
from provenance.errors import MalformedError, VerificationError
from provenance.signature import PublicKey, parse_envelope, verify_envelope
from provenance.statement import PAYLOAD_TYPE
from provenance.statement.frame import open_frame
from provenance.statement.log_attestation import LogAttestation, encode_log_attestation, read_log_attestation


def verify_attestation(data: bytes, key: PublicKey) -> LogAttestation:
    """What an attestation's envelope says. `VerificationError` if the key did not sign it, `MalformedError` if it is
    none, in its one byte form."""
    envelope = parse_envelope(data)
    verify_envelope(envelope, key)
    if envelope.payload_type != PAYLOAD_TYPE:
        raise MalformedError("envelope holds something else", expected=PAYLOAD_TYPE, got=envelope.payload_type)
    attestation = read_log_attestation(open_frame(envelope.payload))
    if encode_log_attestation(attestation) != envelope.payload:
        raise MalformedError("attestation is not in its one byte form", expected="RFC 8785 JSON, nothing besides")
    return attestation


def verify_attestations(envelopes: Sequence[bytes], key: PublicKey) -> tuple[LogAttestation, ...]:
    """What attestations say that follow one another, the first of which may begin anywhere; errors as above."""
    if not envelopes:
        raise MalformedError("there is no attestation", expected="one at least")
    found = tuple(verify_attestation(data, key) for data in envelopes)
    for number, (before, after) in enumerate(pairwise(found)):
        where = f"attestation {number + 2} of {len(found)}"
        if (before.attester, before.origin) != (after.attester, after.origin):
            raise VerificationError(
                "attestations are not one attester's of one log", expected=before.origin, where=where
            )
        if not before.is_accepted:
            raise VerificationError("something follows a refusal", expected="an accepted range before", where=where)
        expected = Digest.of(envelopes[number])
        if after.previous is None or after.previous.envelope != expected or after.previous.size != before.entries.end:
            raise VerificationError("attestation does not follow the one before", expected=expected, where=where)
    return found
