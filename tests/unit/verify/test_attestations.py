"""Attestations, verified by the attester's public key alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provenance.encoding import Digest
from provenance.errors import MalformedError, ProvenanceError, VerificationError
from provenance.signature import encode_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE
from provenance.statement.checked_range import CheckedRange, EntryCheck
from provenance.statement.log_attestation import AttestedBefore, LogAttestation, encode_log_attestation
from provenance.verify.attestations import verify_attestation, verify_attestations
from tests.unit.statement.test_log_attestation import attestation, failed, plain
from tests.unit.verify import forge

KEY = forge.key(1)


def signed(one: LogAttestation) -> bytes:
    """Its envelope."""
    return encode_envelope(sign_envelope(encode_log_attestation(one), PAYLOAD_TYPE, KEY))


FIRST = attestation(CheckedRange.of([plain(0), plain(1)]))
SECOND = attestation(CheckedRange.of([plain(2)]), previous=AttestedBefore(2, Digest.of(signed(FIRST))))


def test_a_chain_holds_as_it_is_alone() -> None:
    assert verify_attestations([signed(FIRST), signed(SECOND)], KEY.public) == (FIRST, SECOND)
    assert verify_attestations([signed(SECOND)], KEY.public) == (SECOND,)
    last = attestation(CheckedRange.of([failed(2, EntryCheck.POLICY)], EntryCheck.POLICY), previous=SECOND.previous)
    assert verify_attestations([signed(FIRST), signed(last)], KEY.public)[1].is_accepted is False
    for wrong in (
        [SECOND, FIRST], [FIRST, FIRST], [FIRST, replace(SECOND, previous=None)],
        [FIRST, replace(SECOND, previous=AttestedBefore(2, Digest.of(b"another")))],
        [replace(FIRST, attester="other.example/a"), SECOND], [last, SECOND],
        [replace(FIRST, created="2026-01-02T03:04:06Z"), SECOND],
    ):  # fmt: skip
        with pytest.raises(VerificationError):
            verify_attestations([signed(one) for one in wrong], KEY.public)
    with pytest.raises(MalformedError):
        verify_attestations([], KEY.public)


def test_another_key_is_another_attester() -> None:
    with pytest.raises(VerificationError, match="another key"):
        verify_attestation(signed(FIRST), forge.key(2).public)
    with pytest.raises(MalformedError):
        verify_attestation(forge.sign(forge.statement("a"), KEY), KEY.public)


def test_any_byte_that_is_changed_is_noticed() -> None:
    data = signed(FIRST)
    for at in range(len(data)):
        for change in (1, 0x20):
            wrong = bytearray(data)
            wrong[at] ^= change
            with pytest.raises(ProvenanceError):
                verify_attestation(bytes(wrong), KEY.public)
    for cut in (data[:-1], data + b"\n", b""):
        with pytest.raises(ProvenanceError):
            verify_attestation(cut, KEY.public)


def test_nothing_but_its_one_form_is_read() -> None:
    """Even signed by its own key: a null where there is nothing would be a second form."""
    payload = encode_log_attestation(FIRST).replace(b'"method":', b'"finding":null,"method":')
    assert b"null" in payload
    with pytest.raises(MalformedError, match="one byte form"):
        verify_attestation(encode_envelope(sign_envelope(payload, PAYLOAD_TYPE, KEY)), KEY.public)
