"""Revocations of keys in the log: whose count, what they reach, and that nobody else ends a key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provenance.log import Cosigner, NoteSigner, encode_vkey
from provenance.policy import Status, TrustedSource
from provenance.signature import PrivateKey, encode_envelope, parse_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE
from provenance.statement.key_event import KeyAction, KeyEvent, KeyReason, NamedKey, encode_key_event, since_of
from provenance.verify import Report, verify_evidence
from tests.unit.verify.forge import CREATED, Lineage, Log, key


def _revocation(of: PrivateKey, by: PrivateKey, **changes: object) -> bytes:
    event = KeyEvent(NamedKey.of(of.public.pem), KeyAction.REVOKED, CREATED, reason=KeyReason.COMPROMISED)
    payload = encode_key_event(replace(event, **changes))  # type: ignore[arg-type]
    return encode_envelope(sign_envelope(payload, PAYLOAD_TYPE, by))


def _report(envelopes: list[bytes], *, log: Log | None = None, names: tuple[str, ...] = ("a", "b")) -> Report:
    """On something that key 1 made from something of key 2; `names` are what keys 1, 2 and so on are trusted as."""
    lineage = Lineage()
    lineage.add("raw", signer=key(2))
    lineage.add("clean", ["raw"], signer=key(1))
    other = log or lineage.log
    indexes = [other.append(envelope) for envelope in envelopes]
    evidence = lineage.evidence("clean")
    evidence = replace(evidence, entries=(*evidence.entries, *other.entries_at(indexes)))
    sources = tuple(TrustedSource(name, key(number).public) for number, name in enumerate(names, 1))
    trust = replace(lineage.trust(), sources=sources)
    return verify_evidence(evidence, trust, contents=lineage.content("clean"))


def _trusted(report: Report) -> dict[str, Status]:
    return {check.subject: check.status for check in report.checks if check.id == "trust"}


def _statuses(report: Report) -> tuple[str, ...]:
    return tuple(str(artefact.status) for artefact in report.artefacts)


def test_a_key_ends_itself() -> None:
    assert _report([]).sound
    report = _report([_revocation(key(1), key(1))])
    assert not report.sound
    assert "signed by a revoked key" in [check.note for check in report.failures]
    parent = _report([_revocation(key(2), key(2))])
    assert not parent.sound
    assert _statuses(parent)[1] == "failed"


@pytest.mark.parametrize(
    ("names", "ended"),
    [
        (("museum", "other", "museum"), True),
        (("museum", "other", "elsewhere"), False),
        (("museum", "other"), False),
    ],
)
def test_another_key_of_the_same_name_ends_it_and_nobody_else(names: tuple[str, ...], ended: bool) -> None:
    report = _report([_revocation(key(1), key(3))], names=names)
    assert report.sound is not ended


def test_a_key_that_was_ended_ends_no_other() -> None:
    names = ("museum", "other", "museum")
    both = [_revocation(key(1), key(3)), _revocation(key(3), key(3))]
    assert not _report(both, names=names).sound  # it was in force when it said so, and a later end takes nothing back
    assert _report(both[::-1], names=names).sound


def test_what_is_not_in_a_trusted_log_or_not_signed_by_it_says_nothing() -> None:
    lineage_log = Log()
    strange = replace(lineage_log, signer=NoteSigner("elsewhere.example/log", b"\x09" * 32))
    assert _report([_revocation(key(1), key(1))], log=strange).sound
    by_another = parse_envelope(_revocation(key(1), key(9)))
    (signature,) = by_another.signatures
    claimed = replace(signature, keyid=key(1).public.keyid)
    assert _report([encode_envelope(replace(by_another, signatures=(claimed,)))]).sound
    # A revocation of another key, whose id stands in the subject's place, is none of this one.
    assert _report([_revocation(key(7), key(1))]).sound


def test_other_events_of_a_key_end_nothing() -> None:
    for event in (
        KeyEvent(NamedKey.of(key(1).public.pem), KeyAction.INTRODUCED, CREATED),
        KeyEvent(NamedKey.of(key(1).public.pem), KeyAction.ROTATED, CREATED, NamedKey.of(key(5).public.pem)),
    ):
        envelope = encode_envelope(sign_envelope(encode_key_event(event), PAYLOAD_TYPE, key(1)))
        assert _report([envelope]).sound


def test_nothing_is_spared_without_a_block() -> None:
    report = _report([_revocation(key(1), key(1), since="2099-01-01T00:00:00Z")])
    assert not report.sound
    assert any("nothing proves that it signed before" in check.note for check in report.failures)


def test_a_key_does_not_leave_its_namespaces_by_ending_itself() -> None:
    lineage = Lineage()
    lineage.add("a")
    index = lineage.log.append(_revocation(key(1), key(1), since="2099-01-01T00:00:00Z"))
    evidence = lineage.evidence("a")
    evidence = replace(evidence, entries=(*evidence.entries, *lineage.log.entries_at([index])))
    confined = (TrustedSource("museum", key(1).public, namespaces=("elsewhere",)),)
    report = verify_evidence(evidence, replace(lineage.trust(), sources=confined))
    assert not report.sound


def test_a_revocation_that_is_not_cosigned_counts() -> None:
    witness = Cosigner("witness.example/w", b"\x05" * 32)
    lineage = Lineage(Log(cosigners=(witness,)))
    lineage.add("a")
    evidence = lineage.evidence("a")
    index = lineage.log.append(_revocation(key(1), key(1)))
    lineage.log.cosigners = ()
    trust = lineage.trust(witnesses=(encode_vkey(witness.verifier),), quorum=1)
    assert verify_evidence(evidence, trust).sound
    told = replace(evidence, entries=(*evidence.entries, *lineage.log.entries_at([index])))
    assert not verify_evidence(told, trust).sound


def test_nothing_that_is_younger_than_a_revocation_is_spared() -> None:
    event = KeyEvent(
        NamedKey.of(key(1).public.pem),
        KeyAction.REVOKED,
        CREATED,
        reason=KeyReason.RETIRED,
        since="2099-01-01T00:00:00Z",
    )
    assert since_of(event) == CREATED
    assert since_of(replace(event, since="2001-01-01T00:00:00Z")) == "2001-01-01T00:00:00Z"


def test_a_thief_who_speaks_first_takes_nothing_back() -> None:
    late = "2099-01-01T00:00:00Z"
    thief = _revocation(key(1), key(1), created=late, since=late)
    for true in (_revocation(key(1), key(1)), _revocation(key(1), key(1), since="2001-01-01T00:00:00Z")):
        for both in ([thief, true], [true, thief]):
            report = _report(both)
            assert any("revoked" in check.note and late not in check.note for check in report.failures)
    # A thief of one key who ends the other first does not silence it.
    names = ("museum", "other", "museum")
    report = _report([_revocation(key(3), key(1)), _revocation(key(1), key(3))], names=names)
    assert not report.sound


def test_a_key_that_speaks_for_less_ends_no_key_of_its_name() -> None:
    lineage = Lineage()
    lineage.add("c", signer=key(1))
    evidence = lineage.evidence("c")
    index = lineage.log.append(_revocation(key(1), key(3)))
    evidence = replace(evidence, entries=(*evidence.entries, *lineage.log.entries_at([index])))
    for own, other, ended in (((), ("other",), False), (("forge",), ("other",), False), (("forge",), (), True)):
        sources = (
            TrustedSource("museum", key(1).public, namespaces=own),
            TrustedSource("museum", key(3).public, namespaces=other),
        )
        report = verify_evidence(evidence, replace(lineage.trust(), sources=sources), contents=lineage.content("c"))
        assert report.sound is not ended
