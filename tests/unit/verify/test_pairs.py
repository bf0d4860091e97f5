"""Sources that sign with an ML-DSA-44 key beside another: what a verifier asks for who lists it, and who does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provenance.encoding import Digest
from provenance.policy import Status, TrustedSource, TrustRoots, encode_trust, parse_trust
from provenance.policy.policy import parse_policy
from provenance.signature import (
    PrivateKey,
    encode_envelope,
    parse_envelope,
    sign_envelope,
    with_ml_dsa,
)
from provenance.statement import PAYLOAD_TYPE, encode_statement
from provenance.statement.key_event import KeyAction, KeyEvent, KeyReason, NamedKey, encode_key_event
from provenance.verify import Report, encode_bundle, verify_bundle, verify_evidence
from provenance.verify.entry_checks import EntryVerifier
from provenance.verify.key_checks import key_facts, read_key_words
from provenance.verify.report import Check
from tests.unit.verify.forge import CREATED, Lineage, Log, key, statement

PAIR = with_ml_dsa(key(1), b"\x31" * 32)
OTHER = with_ml_dsa(key(1), b"\x32" * 32)
UNJUDGED = "a second signature is not judged"


def _lineage(signer: PrivateKey) -> Lineage:
    lineage = Lineage()
    lineage.add("a", signer=signer)
    lineage.add("b", ["a"], signer=signer)
    return lineage


def _trust(lineage: Lineage, signer: PrivateKey) -> TrustRoots:
    roots = replace(lineage.trust(), sources=(TrustedSource("museum", signer.public),))
    return parse_trust(encode_trust(roots))


def _check(report: Report, check_id: str = "signature") -> Check:
    return next(check for check in report.checks if check.id == check_id)


@pytest.mark.parametrize(
    ("signer", "listed", "sound", "note"),
    [
        (PAIR, PAIR, True, "ed25519 and ml-dsa-44 by key"),
        (PAIR, key(1), True, UNJUDGED),
        (key(1), key(1), True, "ed25519 by key"),
        (key(1), PAIR, False, "lacks the ML-DSA-44 signature"),
        (OTHER, PAIR, False, "second signature is by another key"),
    ],
)
def test_what_is_listed_is_owed(signer: PrivateKey, listed: PrivateKey, sound: bool, note: str) -> None:
    lineage = _lineage(signer)
    report = verify_bundle(encode_bundle(lineage.evidence("b")), _trust(lineage, listed), contents=lineage.content("b"))
    assert report.sound is sound
    assert note in _check(report).note
    assert (UNJUDGED in _check(report).note) == (note == UNJUDGED)
    assert _check(report, "trust").status is (Status.PASSED if sound else Status.NOT_PERFORMED)


def test_a_policy_that_lists_the_key_asks_for_it_too() -> None:
    lineage = _lineage(key(1))
    policies = [
        parse_policy(
            b"format: urn:provenance-ledger:policy:1\nname: p\ntrust: " + _without_format(_trust(lineage, one))
        )
        for one in (key(1), PAIR)
    ]
    for policy, sound in zip(policies, (True, False), strict=True):
        assert policy.trust is not None
        assert verify_evidence(lineage.evidence("b"), policy.trust, contents=lineage.content("b")).sound is sound


def _without_format(roots: TrustRoots) -> bytes:
    return encode_trust(roots).replace(b'"format":"urn:provenance-ledger:trust:1",', b"")


def test_what_stripping_or_adding_a_signature_makes_is_not_what_was_logged() -> None:
    lineage = _lineage(PAIR)
    evidence = lineage.evidence("a")
    logged = parse_envelope(evidence.entries[0].envelope)
    stripped = encode_envelope(replace(logged, signatures=logged.signatures[:1]))
    entry = replace(evidence.entries[0], envelope=stripped)
    forged = replace(evidence, target=entry.digest, entries=(entry,))
    for listed in (PAIR, key(1)):
        report = verify_evidence(forged, _trust(lineage, listed))
        assert not report.sound
        assert _check(report, "log.inclusion").status is Status.FAILED


def test_a_log_that_holds_the_stripped_envelope_convinces_nobody_who_lists_the_key() -> None:
    """As whoever can forge the classical key, and any log, would do it."""
    lineage = Lineage()
    logged = sign_envelope(encode_statement(statement("a")), PAYLOAD_TYPE, PAIR)
    classical, quantum = logged.signatures
    forged = sign_envelope(encode_statement(statement("a", content="another")), PAYLOAD_TYPE, key(1))
    for envelope in (
        replace(logged, signatures=(classical,)),
        replace(logged, signatures=(classical, replace(quantum, sig=bytes(2_420)))),
        replace(forged, signatures=(*forged.signatures, quantum)),
    ):
        lineage.log = Log()
        lineage.statements["a"], lineage.indexes["a"] = statement("a"), lineage.log.append(encode_envelope(envelope))
        report = verify_evidence(lineage.evidence("a"), _trust(lineage, PAIR))
        assert _check(report, "log.inclusion").status is Status.PASSED
        assert (report.sound, _check(report).status) == (False, Status.FAILED)


def test_every_changed_byte_of_the_second_signature_fails_the_bundle() -> None:
    lineage = _lineage(PAIR)
    evidence, trust = lineage.evidence("a", "b"), _trust(lineage, PAIR)
    assert verify_evidence(evidence, trust).sound
    logged = parse_envelope(evidence.entries[0].envelope)
    classical, quantum = logged.signatures
    for at in range(0, 2_420, 20):
        changed = bytearray(quantum.sig)
        changed[at] ^= 1 << at % 8
        log = Log()
        log.append(encode_envelope(replace(logged, signatures=(classical, replace(quantum, sig=bytes(changed))))))
        entry = log.entry(0)
        report = verify_evidence(replace(evidence, target=entry.digest, entries=(entry,)), trust)
        assert _check(report).status is Status.FAILED, at


def _key_event(action: KeyAction, by: PrivateKey, **more: object) -> bytes:
    event = KeyEvent(NamedKey.of(key(1).public.pem), action, CREATED, **more)  # type: ignore[arg-type]
    return encode_envelope(sign_envelope(encode_key_event(event), PAYLOAD_TYPE, by))


@pytest.mark.parametrize(("by", "listed", "ends"), [(PAIR, PAIR, True), (key(1), PAIR, False), (key(1), key(1), True)])
def test_a_pair_is_ended_and_replaced_by_both_its_keys(by: PrivateKey, listed: PrivateKey, ends: bool) -> None:
    lineage = _lineage(listed)
    evidence = lineage.evidence("b")
    end = _key_event(KeyAction.REVOKED, by, reason=KeyReason.COMPROMISED)
    turn = _key_event(KeyAction.ROTATED, by, successor=NamedKey.of(key(5).public.pem))
    turned, ended = lineage.log.append(turn), lineage.log.append(end)
    entries, trust = tuple(lineage.log.entries_at([turned, ended])), _trust(lineage, listed)
    report = verify_evidence(
        replace(evidence, entries=(*evidence.entries, entries[1])), trust, contents=lineage.content("b")
    )
    assert report.sound is not ends
    words = read_key_words(EntryVerifier(evidence, trust, ()), entries[:1])
    facts = key_facts(words, trust)
    assert facts.following == ({key(1).public.keyid: key(5).public.keyid} if ends else {})


def test_the_target_is_named_by_the_envelope_with_both_signatures() -> None:
    lineage = _lineage(PAIR)
    assert lineage.evidence("b").target == Digest.of(lineage.log.envelopes[1])
