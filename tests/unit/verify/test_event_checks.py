"""What is said of an artefact later: who counts, what it does to a verdict, and what does not count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provenance.encoding import Digest
from provenance.log import Cosigner, NoteSigner, encode_vkey
from provenance.policy import Level, Status, TrustedSource, TrustRoots
from provenance.signature import PrivateKey, encode_envelope, parse_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE, Pin, PinnedName, Sensitivity
from provenance.statement.events import Body, Event, encode_event
from provenance.statement.finding import Finding, FindingState, Severity
from provenance.statement.key_event import KeyAction, KeyEvent, KeyReason, NamedKey, encode_key_event
from provenance.statement.quality import Quality, QualityResult
from provenance.statement.replay import Replay, ReplayResult, Sample
from provenance.statement.review import Decision, Review
from provenance.statement.revocation import Revocation, RevocationReason
from provenance.statement.run import Input, Observed, Run
from provenance.statement.usage import Usage
from provenance.verify import Check, Evidence, Report, parse_bundle, verify_evidence
from provenance.verify.evidence import encode_bundle
from tests.unit.verify.forge import CREATED, Lineage, key, statement

REVOKED = Revocation(RevocationReason.ERRONEOUS)
SOURCES = (
    TrustedSource("one", key(1).public),
    TrustedSource("two", key(2).public),
    TrustedSource("gone", key(3).public, revoked=True),
    TrustedSource("elsewhere", key(4).public, namespaces=("other",)),
)


def _said(lineage: Lineage, label: str, body: Body, signer: PrivateKey, created: str = CREATED) -> int:
    event = Event(lineage.pin(label), body, created)
    return lineage.log.append(encode_envelope(sign_envelope(encode_event(event), PAYLOAD_TYPE, signer)))


def _lineage() -> Lineage:
    made = Lineage()
    made.add("a")
    made.add("b", ["a"])
    made.add("c", ["b"], origin=None)
    return made


def _evidence(lineage: Lineage, target: str, events: list[int]) -> Evidence:
    evidence = lineage.evidence(target)
    return replace(evidence, entries=(*evidence.entries, *lineage.log.entries_at(events)))


def _trust(lineage: Lineage) -> TrustRoots:
    return TrustRoots(sources=SOURCES, logs=(lineage.log.vkey,))


def _report(lineage: Lineage, target: str, events: list[int]) -> Report:
    return verify_evidence(_evidence(lineage, target, events), _trust(lineage), contents=lineage.content(target))


def _checks(report: Report, check_id: str) -> list[tuple[str, Status]]:
    return [(check.subject, check.status) for check in report.checks if check.id == check_id]


def _check(report: Report, check_id: str) -> Check:
    (found,) = [check for check in report.checks if check.id == check_id]
    return found


@pytest.mark.parametrize("signer", [1, 2])
def test_a_revocation_fails_the_artefact_and_all_that_was_made_from_it(signer: int) -> None:
    lineage = _lineage()
    index = _said(lineage, "a", REVOKED, key(signer))
    report = _report(lineage, "c", [index])
    assert _checks(report, "revocation") == [("forge/a@1", Status.FAILED)]
    assert (
        _check(report, "revocation").where == f"entry 3 by {SOURCES[signer - 1].name} ({key(signer).public.keyid[:16]})"
    )
    assert _check(report, "lineage").status is Status.FAILED
    assert report.affected == ("forge/b@1", "forge/c@1")
    assert not report.sound
    assert _report(lineage, "c", []).sound
    # What it was made from is not concerned.
    index = _said(lineage, "c", REVOKED, key(signer))
    assert _report(lineage, "b", [index]).sound


def test_a_revocation_says_why_and_from_when_on() -> None:
    lineage = _lineage()
    body = Revocation(RevocationReason.CONSENT_WITHDRAWN, "2026-01-01T00:00:00Z")
    report = _report(lineage, "a", [_said(lineage, "a", body, key(1))])
    assert _check(report, "revocation").note == "revoked: consent withdrawn, from 2026-01-01T00:00:00Z on"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (9, "signature: no public key with this id is at hand"),
        (4, "trust: key is not trusted for this namespace"),
    ],
)
def test_what_somebody_says_who_is_not_trusted_is_told_and_decides_nothing(number: int, said: str) -> None:
    lineage = _lineage()
    report = _report(lineage, "c", [_said(lineage, "a", REVOKED, key(number))])
    check = _check(report, "revocation")
    assert check.status is Status.NOT_PERFORMED
    assert said in check.note
    assert report.sound
    assert report.level == _report(lineage, "c", []).level


AGAINST: list[tuple[Body, str]] = [
    (REVOKED, "revocation"),
    (Finding("f", Severity.HIGH, "odd", FindingState.CONFIRMED), "finding"),
    (Review(Decision.REJECTED), "review"),
    (Quality(QualityResult.FAILED, failed=("x",)), "quality"),
]


@pytest.mark.parametrize(("body", "check"), AGAINST)
def test_who_ends_a_key_takes_no_warning_of_it_back(body: Body, check: str) -> None:
    """Key 3 is revoked: what it says for an artefact counts no more, what it says against it does."""
    lineage = _lineage()
    index = _said(lineage, "c", body, key(3))
    assert _check(_report(lineage, "c", [index]), check).status is Status.FAILED
    for since in (None, "2026-01-01T00:00:00Z"):
        sources = (*SOURCES[:2], replace(SOURCES[2], since=since))
        trust = replace(_trust(lineage), sources=sources)
        report = verify_evidence(_evidence(lineage, "c", [index]), trust, contents=lineage.content("c"))
        assert _check(report, check).status is Status.FAILED
        # In another namespace than it is listed for it never had a word.
        trust = replace(trust, sources=(*SOURCES[:2], replace(SOURCES[2], since=since, namespaces=("other",))))
        report = verify_evidence(_evidence(lineage, "c", [index]), trust, contents=lineage.content("c"))
        assert report.sound


def _ended(of: PrivateKey, reason: KeyReason, since: str | None = None) -> bytes:
    event = KeyEvent(NamedKey.of(of.public.pem), KeyAction.REVOKED, CREATED, reason=reason, since=since)
    return encode_envelope(sign_envelope(encode_key_event(event), PAYLOAD_TYPE, of))


@pytest.mark.parametrize(("warning", "check"), AGAINST[1:])
def test_what_was_taken_back_stays_so_when_the_key_is_retired_and_not_when_it_was_stolen(
    warning: Body, check: str
) -> None:
    praise: dict[str, Body] = {
        "finding": Finding("f", Severity.HIGH, "odd", FindingState.DISMISSED),
        "review": Review(Decision.APPROVED),
        "quality": Quality(QualityResult.PASSED, passed=("x",)),
    }
    for reason, is_sound in ((KeyReason.RETIRED, True), (KeyReason.SUPERSEDED, True), (KeyReason.COMPROMISED, False)):
        lineage = _lineage()
        indexes = [_said(lineage, "c", warning, key(2)), _said(lineage, "c", praise[check], key(2))]
        assert _report(lineage, "c", indexes).sound
        indexes.append(lineage.log.append(_ended(key(2), reason)))
        report = _report(lineage, "c", indexes)
        assert report.sound is is_sound
        assert [status for _, status in _checks(report, check)] != [Status.PASSED]  # it takes back, and gives nothing
        # What it says after its end is nothing, for or against.
        late = _said(lineage, "c", warning, key(2), "2026-09-01T00:00:00Z")
        assert _report(lineage, "c", [*indexes, late]).sound is is_sound


@pytest.mark.parametrize(("warning", "check"), AGAINST[1:])
@pytest.mark.parametrize(
    ("reason", "since", "is_sound"),
    [
        (KeyReason.RETIRED, None, True),
        (KeyReason.SUPERSEDED, None, True),
        (KeyReason.RETIRED, "2027-01-01T00:00:00Z", True),
        (KeyReason.RETIRED, "2026-03-01T00:00:00Z", False),  # it took back later than that
        (KeyReason.COMPROMISED, None, False),
        (None, None, False),
    ],
)
def test_trust_roots_alone_say_why_a_key_ended(
    warning: Body, check: str, reason: KeyReason | None, since: str | None, is_sound: bool
) -> None:
    praise: dict[str, Body] = {
        "finding": Finding("f", Severity.HIGH, "odd", FindingState.DISMISSED),
        "review": Review(Decision.APPROVED),
        "quality": Quality(QualityResult.PASSED, passed=("x",)),
    }
    lineage = _lineage()
    indexes = [
        _said(lineage, "c", warning, key(2)),
        _said(lineage, "c", praise[check], key(2), "2026-03-01T00:00:00Z"),
    ]
    ended = TrustedSource("two", key(2).public, revoked=True, since=since, reason=reason)
    trust = replace(_trust(lineage), sources=(SOURCES[0], ended))
    report = verify_evidence(_evidence(lineage, "c", indexes), trust, contents=lineage.content("c"))
    assert report.sound is is_sound
    if not is_sound:
        (failure,) = [one for one in report.failures if one.id == check]
        assert ("no reason is given" in failure.note) is (reason is None)


def test_a_successor_takes_its_predecessors_word_back() -> None:
    lineage = _lineage()
    sources = (*SOURCES, TrustedSource("five", key(5).public))
    trust = replace(_trust(lineage), sources=sources)
    indexes = [_said(lineage, "c", Review(Decision.REJECTED), key(2))]
    indexes.append(_said(lineage, "c", Review(Decision.APPROVED), key(5), "2026-09-01T00:00:00Z"))

    def status() -> Status:
        evidence = _evidence(lineage, "c", indexes)
        return _check(verify_evidence(evidence, trust, contents=lineage.content("c")), "review").status

    assert status() is Status.FAILED
    indexes.append(lineage.log.append(_rotation(key(2), key(5))))
    assert status() is Status.PASSED


def test_who_gives_way_to_somebody_takes_nothing_of_theirs_back() -> None:
    """Nobody asks the key that is said to have taken another's place: its words are its own."""
    later = "2026-09-01T00:00:00Z"
    praise: dict[str, Body] = {
        "finding": Finding("f", Severity.HIGH, "odd", FindingState.DISMISSED),
        "review": Review(Decision.APPROVED),
        "quality": Quality(QualityResult.PASSED, passed=("x",)),
    }
    for warning, check in AGAINST[1:]:
        for giver in (1, 5):  # the registrant, or a third party
            lineage = _lineage()
            trust = replace(_trust(lineage), sources=(*SOURCES, TrustedSource("five", key(5).public)))
            indexes = [_said(lineage, "c", warning, key(2))]
            indexes.append(lineage.log.append(_rotation(key(giver), key(2))))
            if check != "finding" or giver == 1:  # anybody but the registrant may settle a finding
                indexes.append(_said(lineage, "c", praise[check], key(giver), later))
            indexes.append(lineage.log.append(_ended(key(giver), KeyReason.RETIRED)))
            evidence = _evidence(lineage, "c", indexes)
            report = verify_evidence(evidence, trust)
            assert Status.FAILED in [status for _, status in _checks(report, check)], (check, giver)


def test_a_rotation_after_the_end_of_a_key_is_nothing_and_a_second_takes_nothing_from_the_first() -> None:
    for reason in KeyReason:
        lineage = _lineage()
        trust = replace(_trust(lineage), sources=(*SOURCES, TrustedSource("five", key(5).public)))
        indexes = [_said(lineage, "c", Review(Decision.REJECTED), key(5))]
        indexes += [lineage.log.append(one) for one in (_ended(key(5), reason), _rotation(key(5), key(2)))]
        indexes.append(_said(lineage, "c", Review(Decision.APPROVED), key(2), "2026-09-01T00:00:00Z"))
        report = verify_evidence(_evidence(lineage, "c", indexes), trust)
        assert _check(report, "review").status is Status.FAILED, reason
    lineage = _lineage()
    indexes = [lineage.log.append(_rotation(key(1), key(number))) for number in (2, 9)]
    indexes.append(_said(lineage, "c", Review(Decision.APPROVED), key(2)))
    assert _check(_report(lineage, "c", indexes), "review").status is Status.NOT_PERFORMED


def test_a_key_says_nothing_of_runs_after_its_end() -> None:
    for reason in KeyReason:
        lineage = _lineage()
        trust = replace(_trust(lineage), sources=(*SOURCES, TrustedSource("five", key(5).public)))
        end = lineage.log.append(_ended(key(5), reason))
        wrong = _said(lineage, "b", _run(lineage, "c"), key(5))
        right = _said(lineage, "c", _run(lineage, "b"), key(5))
        run = lineage.log.entries_at([right])[0].digest
        differs = _said(lineage, "c", Replay(run, ReplayResult.DIFFERS, Digest.of(b"other")), key(2))
        evidence = _evidence(lineage, "c", [end, wrong, right, differs])
        assert verify_evidence(evidence, trust, contents=lineage.content("c")).sound, reason


def test_one_service_that_runs_two_detectors_settles_with_neither_what_the_other_found() -> None:
    lineage = _lineage()
    found = [Finding("f", Severity.HIGH, "x", FindingState.CONFIRMED, detector="d1")]
    found.append(Finding("f", Severity.HIGH, "x", FindingState.RESOLVED, detector="d2"))
    indexes = [_said(lineage, "c", one, key(2)) for one in found]
    assert not _report(lineage, "c", indexes).sound
    indexes.append(_said(lineage, "c", replace(found[0], state=FindingState.RESOLVED), key(2)))
    assert _report(lineage, "c", indexes).sound


def test_what_gives_an_artefact_another_name_is_not_about_it() -> None:
    """A key that may speak of one namespace speaks of no other by naming it as its own."""
    lineage = _lineage()
    pin = lineage.pin("c")
    for name, digest in ((PinnedName.parse("other/x@1"), pin.digest), (pin.name, Digest.of(b"other"))):
        for body in (REVOKED, Review(Decision.APPROVED), Quality(QualityResult.PASSED, passed=("x",))):
            event = Event(Pin(name, digest, pin.envelope), body, CREATED)
            for signer in (key(4), key(2)):
                envelope = encode_envelope(sign_envelope(encode_event(event), PAYLOAD_TYPE, signer))
                report = _report(lineage, "c", [lineage.log.append(envelope)])
                assert report == _report(lineage, "c", [])


def test_what_was_made_from_something_rejected_fails() -> None:
    lineage = _lineage()
    indexes = [_said(lineage, "b", Review(Decision.REJECTED), key(2))]
    report = _report(lineage, "c", indexes)
    assert (_checks(report, "review")[0], report.sound) == (("forge/b@1", Status.FAILED), False)
    approved = [_said(lineage, "b", Review(Decision.APPROVED), key(2), "2026-09-01T00:00:00Z")]
    assert _report(lineage, "c", [*indexes, *approved]).sound
    assert [subject for subject, _ in _checks(_report(lineage, "c", [*indexes, *approved]), "review")] == ["forge/c@1"]


def test_one_detector_does_not_settle_what_another_found() -> None:
    lineage = _lineage()

    def said(detector: str | None, state: FindingState, signer: int) -> int:
        return _said(lineage, "c", Finding("pii", Severity.HIGH, "x", state, detector=detector), key(signer))

    found = said("alpha", FindingState.CONFIRMED, 1)
    assert not _report(lineage, "c", [found, said("beta", FindingState.RESOLVED, 2)]).sound
    assert not _report(lineage, "c", [found, said("alpha", FindingState.RESOLVED, 2)]).sound  # of another source
    assert _report(lineage, "c", [found, said(None, FindingState.DISMISSED, 2)]).sound


def test_who_ends_the_key_of_a_run_ends_no_replay_that_came_out_otherwise() -> None:
    lineage = _lineage()
    runner = key(5)
    sources = (*SOURCES, TrustedSource("five", runner.public))
    trust = replace(_trust(lineage), sources=sources)

    def sound(*indexes: int) -> bool:
        evidence = _evidence(lineage, "c", list(indexes))
        return verify_evidence(evidence, trust, contents=lineage.content("c")).sound

    right = _said(lineage, "c", _run(lineage, "b"), runner)
    run = lineage.log.entries_at([right])[0].digest
    differs = _said(lineage, "c", Replay(run, ReplayResult.DIFFERS, Digest.of(b"other")), key(2))
    wrong = _said(lineage, "b", _run(lineage, "c"), runner)  # it read something else than it pins
    end = lineage.log.append(_ended(runner, KeyReason.COMPROMISED))
    assert sound(right)
    assert not sound(right, differs)
    assert not sound(right, differs, end)
    assert not sound(wrong)
    assert not sound(wrong, end)
    # One that nobody lists is nobody's.
    stranger = _said(lineage, "b", _run(lineage, "c"), key(9))
    assert sound(stranger)


def test_what_is_logged_again_takes_nothing_back() -> None:
    """The last word is the one that was signed last; whoever logs an older one again (it is public) changes nothing."""
    older, newer = "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"
    for warning, praise, check in (
        (Review(Decision.REJECTED), Review(Decision.APPROVED), "review"),
        (AGAINST[1][0], Finding("f", Severity.HIGH, "odd", FindingState.DISMISSED), "finding"),
        (AGAINST[3][0], Quality(QualityResult.PASSED, passed=("x",)), "quality"),
    ):
        lineage = _lineage()
        indexes = [_said(lineage, "c", warning, key(2), newer), _said(lineage, "c", praise, key(2), older)]
        assert _check(_report(lineage, "c", indexes), check).status is Status.FAILED
        lineage = _lineage()
        indexes = [_said(lineage, "c", praise, key(2), newer), _said(lineage, "c", warning, key(2), older)]
        assert _report(lineage, "c", indexes).sound


def test_no_byte_of_an_event_can_be_changed() -> None:
    lineage = _lineage()
    index = _said(lineage, "a", REVOKED, key(1))
    good = _evidence(lineage, "a", [index])
    event = good.entries[-1]
    for place in range(len(event.envelope)):
        changed = bytearray(event.envelope)
        changed[place] ^= 1
        evidence = replace(good, entries=(*good.entries[:-1], replace(event, envelope=bytes(changed))))
        report = verify_evidence(evidence, _trust(lineage), contents=lineage.content("a"))
        assert all(check.status is not Status.FAILED for check in report.checks), place


@pytest.mark.parametrize("what", ["not in the log", "another log"])
def test_an_event_that_the_log_does_not_hold_does_not_count(what: str) -> None:
    lineage = _lineage()
    other = _lineage()
    log = other.log if what == "another log" else lineage.log
    event = Event(lineage.pin("a"), REVOKED, CREATED)
    envelope = encode_envelope(sign_envelope(encode_event(event), PAYLOAD_TYPE, key(1)))
    if what == "another log":
        other.log.signer = NoteSigner("another.example/log", b"\x08" * 32)
        entry = log.entry(log.append(envelope))
    else:
        entry = replace(lineage.entry("b"), envelope=envelope)
    evidence = lineage.evidence("a")
    evidence = replace(evidence, entries=(*evidence.entries, entry))
    report = verify_evidence(evidence, _trust(lineage), contents=lineage.content("a"))
    assert _check(report, "revocation").status is Status.NOT_PERFORMED
    assert report.sound


def test_an_event_about_another_envelope_of_the_name_is_nobodys() -> None:
    lineage = _lineage()
    event = Event(replace(lineage.pin("a"), envelope=Digest.of(b"another")), REVOKED, CREATED)
    index = lineage.log.append(encode_envelope(sign_envelope(encode_event(event), PAYLOAD_TYPE, key(1))))
    assert _checks(_report(lineage, "c", [index]), "revocation") == []


REVIEWS = [
    ([(1, Decision.APPROVED)], Status.NOT_PERFORMED),
    ([(2, Decision.APPROVED)], Status.PASSED),
    ([(9, Decision.APPROVED)], Status.NOT_PERFORMED),
    ([(2, Decision.CHANGES_REQUESTED)], Status.NOT_PERFORMED),
    ([(2, Decision.APPROVED), (2, Decision.REJECTED)], Status.FAILED),
    ([(2, Decision.REJECTED), (2, Decision.APPROVED)], Status.PASSED),
    ([(1, Decision.REJECTED), (2, Decision.APPROVED)], Status.FAILED),
    ([(9, Decision.REJECTED), (2, Decision.APPROVED)], Status.PASSED),
    ([], Status.NOT_PERFORMED),
]


@pytest.mark.parametrize(("reviews", "expected"), REVIEWS)
def test_the_last_word_of_each_reviewer_holds(reviews: list[tuple[int, Decision]], expected: Status) -> None:
    lineage = _lineage()
    indexes = [_said(lineage, "c", Review(decision), key(number)) for number, decision in reviews]
    # The order in which evidence brings them says nothing.
    for order in (indexes, indexes[::-1]):
        report = _report(lineage, "c", order)
        assert _check(report, "review").status is expected
        assert report.sound == (expected is not Status.FAILED)


def test_a_review_is_of_the_target_alone() -> None:
    lineage = _lineage()
    report = _report(lineage, "c", [_said(lineage, "b", Review(Decision.APPROVED), key(2))])
    assert _check(report, "review").status is Status.NOT_PERFORMED


FINDINGS = [
    ([(2, FindingState.OPEN)], [Status.NOT_PERFORMED]),
    ([(2, FindingState.CONFIRMED)], [Status.FAILED]),
    # Key 1 registered it, and what others found is not its own to dismiss.
    ([(2, FindingState.OPEN), (1, FindingState.DISMISSED)], [Status.NOT_PERFORMED]),
    ([(2, FindingState.CONFIRMED), (1, FindingState.DISMISSED)], [Status.FAILED]),
    ([(1, FindingState.CONFIRMED), (2, FindingState.DISMISSED)], []),
    ([(2, FindingState.DISMISSED), (1, FindingState.CONFIRMED)], [Status.FAILED]),
    ([(1, FindingState.OPEN), (1, FindingState.DISMISSED)], []),
    ([(1, FindingState.OPEN), (2, FindingState.CONFIRMED), (1, FindingState.DISMISSED)], [Status.FAILED]),
    ([(1, FindingState.OPEN), (2, FindingState.CONFIRMED), (2, FindingState.DISMISSED)], []),
    ([(2, FindingState.CONFIRMED), (2, FindingState.RESOLVED)], []),
    ([(2, FindingState.RESOLVED), (2, FindingState.OPEN)], [Status.NOT_PERFORMED]),
    ([(2, FindingState.CONFIRMED), (9, FindingState.DISMISSED)], [Status.FAILED]),
    ([(9, FindingState.CONFIRMED)], []),
]


@pytest.mark.parametrize(("states", "expected"), FINDINGS)
def test_the_last_word_about_a_finding_holds(states: list[tuple[int, FindingState]], expected: list[Status]) -> None:
    lineage = _lineage()
    indexes = [_said(lineage, "b", Finding("f", Severity.HIGH, "odd", state), key(number)) for number, state in states]
    report = _report(lineage, "c", indexes)
    assert [status for _, status in _checks(report, "finding")] == expected
    assert report.sound == (Status.FAILED not in expected)


def test_two_findings_are_two() -> None:
    lineage = _lineage()
    indexes = [_said(lineage, "c", Finding(name, Severity.LOW, name), key(1)) for name in ("x", "y")]
    assert len(_checks(_report(lineage, "c", indexes), "finding")) == 2


def test_a_use_changes_no_verdict_and_a_bundle_carries_events_through() -> None:
    lineage = _lineage()
    indexes = [_said(lineage, "a", Usage("training"), key(1)), _said(lineage, "a", REVOKED, key(2))]
    assert _report(lineage, "c", indexes[:1]) == _report(lineage, "c", [])
    evidence = _evidence(lineage, "c", indexes)
    again = parse_bundle(encode_bundle(evidence))
    first = verify_evidence(evidence, _trust(lineage), contents=lineage.content("c"))
    assert verify_evidence(again, _trust(lineage), contents=lineage.content("c")) == first


def test_an_event_is_no_target() -> None:
    lineage = _lineage()
    index = _said(lineage, "a", REVOKED, key(1))
    evidence = lineage.evidence("a")
    entry = lineage.log.entry(index)
    report = verify_evidence(replace(evidence, target=entry.digest, entries=(entry,)), _trust(lineage))
    assert _checks(report, "statement")[0][1] is Status.FAILED
    assert parse_envelope(entry.envelope).payload_type == PAYLOAD_TYPE


QUALITIES = [
    ([(1, QualityResult.PASSED)], Status.PASSED),
    ([(2, QualityResult.WARNED)], Status.PASSED),
    ([(1, QualityResult.PASSED), (2, QualityResult.FAILED)], Status.FAILED),
    ([(2, QualityResult.FAILED), (2, QualityResult.PASSED)], Status.PASSED),
    ([(2, QualityResult.PASSED), (2, QualityResult.FAILED)], Status.FAILED),
    ([(9, QualityResult.FAILED)], Status.NOT_PERFORMED),
    ([(3, QualityResult.PASSED)], Status.NOT_PERFORMED),
    ([], Status.NOT_PERFORMED),
]


@pytest.mark.parametrize(("results", "expected"), QUALITIES)
def test_the_last_result_of_each_tester_holds(results: list[tuple[int, QualityResult]], expected: Status) -> None:
    lineage = _lineage()
    indexes = [_said(lineage, "c", _tested(result), key(number)) for number, result in results]
    report = _report(lineage, "c", indexes)
    assert _check(report, "quality").status is expected
    assert report.sound == (expected is not Status.FAILED)


def _tested(result: QualityResult) -> Quality:
    return Quality(result, **{str(result).lower(): ("not empty",)})  # type: ignore[arg-type]


def test_a_result_that_names_no_test_is_no_pass_and_takes_nothing_back() -> None:
    lineage = _lineage()
    for empty in (Quality(QualityResult.PASSED), Quality(QualityResult.WARNED)):
        assert _check(_report(lineage, "c", [_said(lineage, "c", empty, key(2))]), "quality").status is (
            Status.NOT_PERFORMED
        )
        failed = [_said(lineage, "c", one, key(2)) for one in (_tested(QualityResult.FAILED), empty)]
        assert _check(_report(lineage, "c", failed), "quality").status is Status.FAILED
    # Whoever says that it failed is believed, whatever failed.
    failure = _said(lineage, "c", Quality(QualityResult.FAILED), key(2))
    assert _check(_report(lineage, "c", [failure]), "quality").status is Status.FAILED


def test_what_was_made_from_something_that_failed_its_tests_fails() -> None:
    lineage = _lineage()
    assert not _report(lineage, "c", [_said(lineage, "a", Quality(QualityResult.FAILED), key(2))]).sound
    # A pass of what it was made from is none of its own.
    report = _report(lineage, "c", [_said(lineage, "b", _tested(QualityResult.PASSED), key(2))])
    assert [status for name, status in _checks(report, "quality") if name == "forge/c@1"] == [Status.NOT_PERFORMED]


def _run(lineage: Lineage, *labels: str) -> Run:
    return Run("step", tuple(Input(lineage.pin(label)) for label in labels), "out", CREATED, CREATED, "x")


@pytest.mark.parametrize(
    ("inputs", "signer", "expected"),
    [
        (["b"], 2, [Status.PASSED]),
        (["a"], 2, [Status.FAILED]),
        (["a", "b"], 2, [Status.FAILED]),
        ([], 2, [Status.FAILED]),
        (["a"], 9, []),
    ],
)
def test_a_run_must_have_read_what_the_artefact_pins(inputs: list[str], signer: int, expected: list[Status]) -> None:
    lineage = _lineage()
    report = _report(lineage, "c", [_said(lineage, "c", _run(lineage, *inputs), key(signer))])
    assert [status for _, status in _checks(report, "run")] == expected
    assert report.sound == (Status.FAILED not in expected)


REPLAYS = [
    ([(2, ReplayResult.REPRODUCED)], 1, Status.PASSED),
    ([(1, ReplayResult.REPRODUCED)], 1, Status.NOT_PERFORMED),
    ([(2, ReplayResult.REPRODUCED), (1, ReplayResult.DIFFERS)], 1, Status.FAILED),
    ([(2, ReplayResult.DIFFERS), (2, ReplayResult.REPRODUCED)], 1, Status.PASSED),
    ([(9, ReplayResult.DIFFERS)], 1, Status.NOT_PERFORMED),
    ([(2, ReplayResult.DIFFERS)], 9, Status.NOT_PERFORMED),
]


@pytest.mark.parametrize(("replays", "runner", "expected"), REPLAYS)
def test_a_replay_by_somebody_else_counts_for_a_run_that_counts(
    replays: list[tuple[int, ReplayResult]], runner: int, expected: Status
) -> None:
    lineage = _lineage()
    indexes = [_said(lineage, "c", _run(lineage, "b"), key(runner))]
    run = lineage.log.entries_at(indexes)[0].digest
    root = lineage.statements["c"].fingerprint.file_root
    indexes += [_said(lineage, "c", Replay(run, result, root), key(number)) for number, result in replays]
    report = _report(lineage, "c", indexes)
    assert _check(report, "agreement").status is expected
    assert report.sound == (expected is not Status.FAILED)


NOTHING = Observed(0, Digest.of(b"usage"), 1, True)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([NOTHING], Status.NOT_PERFORMED),
        ([replace(NOTHING, files=1)], Status.PASSED),
        ([replace(NOTHING, whole=False)], Status.PASSED),
        ([None], Status.PASSED),
        ([NOTHING, None], Status.PASSED),
        ([None, NOTHING], Status.PASSED),
    ],
)
def test_a_replay_of_a_run_that_read_nothing_is_no_agreement(runs: list[Observed | None], expected: Status) -> None:
    lineage = _lineage()
    root = lineage.statements["c"].fingerprint.file_root
    indexes = list[int]()
    for number, observed in enumerate(runs):
        inputs = (Input(lineage.pin("b"), "b.csv"),)
        run = replace(_run(lineage), inputs=inputs, observed=observed, invocation=f"{number}")
        indexes.append(_said(lineage, "c", run, key(number + 1)))
        digest = lineage.log.entries_at(indexes)[-1].digest
        indexes.append(_said(lineage, "c", Replay(digest, ReplayResult.REPRODUCED, root), key(2)))
        if observed == NOTHING:
            differs = _said(lineage, "c", Replay(digest, ReplayResult.DIFFERS, Digest.of(b"other")), key(2))
            assert not _report(lineage, "c", [*indexes, differs]).sound
    assert _check(_report(lineage, "c", indexes), "agreement").status is expected


SAMPLES: list[tuple[list[bool | None], Status]] = [
    ([True], Status.NOT_PERFORMED),
    ([False], Status.FAILED),
    ([False, True], Status.FAILED),
    ([True, False], Status.FAILED),
    ([False, None], Status.PASSED),
    ([None, False], Status.FAILED),
    ([None, True], Status.PASSED),
]


@pytest.mark.parametrize(("replays", "expected"), SAMPLES)
def test_a_sample_fails_and_never_passes(replays: list[bool | None], expected: Status) -> None:
    """None is a whole replay that reproduced it; a sample has every record or lacks one."""
    lineage = _lineage()
    indexes = [_said(lineage, "c", _run(lineage, "b"), key(1))]
    run = lineage.log.entries_at(indexes)[0].digest
    for fits in replays:
        sample = None if fits is None else Sample(5, 9, Digest.of(b"seed"), 5, int(not fits))
        result = ReplayResult.DIFFERS if fits is False else ReplayResult.REPRODUCED
        root = lineage.statements["c"].fingerprint.file_root
        indexes.append(_said(lineage, "c", Replay(run, result, root, sample), key(2)))
    report = _report(lineage, "c", indexes)
    assert _check(report, "agreement").status is expected
    assert report.sound == (expected is not Status.FAILED)


def test_a_replay_of_a_run_of_something_else_says_nothing() -> None:
    lineage = _lineage()
    run = _said(lineage, "b", _run(lineage, "a"), key(1))
    replay = Replay(lineage.log.entries_at([run])[0].digest, ReplayResult.DIFFERS, Digest.of(b"root"))
    report = _report(lineage, "c", [run, _said(lineage, "c", replay, key(2))])
    assert [status for name, status in _checks(report, "agreement") if name == "forge/c@1"] == [Status.NOT_PERFORMED]


def test_to_reproduce_is_to_make_these_very_files() -> None:
    lineage = _lineage()
    indexes = [_said(lineage, "c", _run(lineage, "b"), key(1))]
    run = lineage.log.entries_at(indexes)[0].digest
    indexes.append(_said(lineage, "c", Replay(run, ReplayResult.REPRODUCED, Digest.of(b"other")), key(2)))
    assert _check(_report(lineage, "c", indexes), "agreement").status is Status.NOT_PERFORMED


def test_another_key_of_the_registrant_is_nobody_else() -> None:
    lineage = _lineage()
    indexes = [_said(lineage, "c", _run(lineage, "b"), key(1))]
    run, root = lineage.log.entries_at(indexes)[0].digest, lineage.statements["c"].fingerprint.file_root
    indexes.append(_said(lineage, "c", Replay(run, ReplayResult.REPRODUCED, root), key(2)))
    indexes.append(_said(lineage, "c", Review(Decision.APPROVED), key(2)))
    labels = [lineage.indexes[label] for label in ("c", "b", "a")]
    evidence = Evidence(
        lineage.log.entries_at(labels)[0].digest,
        tuple(lineage.log.entries_at([*labels, *indexes])),
        keys=(key(1).public,),
    )
    for names, status in ((("lab", "lab"), Status.NOT_PERFORMED), (("lab", "other"), Status.PASSED)):
        sources = tuple(TrustedSource(name, key(number).public) for number, name in enumerate(names, 1))
        report = verify_evidence(evidence, replace(lineage.trust(), sources=sources))
        assert {_check(report, "agreement").status, _check(report, "review").status} == {status}


def _rotation(of: PrivateKey, to: PrivateKey) -> bytes:
    successor = NamedKey.of(to.public.pem)
    event = KeyEvent(NamedKey.of(of.public.pem), KeyAction.ROTATED, CREATED, successor=successor)
    return encode_envelope(sign_envelope(encode_key_event(event), PAYLOAD_TYPE, of))


@pytest.mark.parametrize(
    ("rotations", "expected"),
    [
        ([], Status.PASSED),
        ([(1, 2)], Status.NOT_PERFORMED),
        ([(2, 1)], Status.NOT_PERFORMED),
        ([(1, 8), (8, 2)], Status.NOT_PERFORMED),
        ([(8, 2), (1, 8)], Status.NOT_PERFORMED),
        ([(8, 2), (1, 7)], Status.PASSED),
        ([(1, 2), (2, 1)], Status.NOT_PERFORMED),
    ],
)
def test_a_key_that_took_the_place_of_the_registrants_is_nobody_else(
    rotations: list[tuple[int, int]], expected: Status
) -> None:
    lineage = _lineage()
    indexes = [_said(lineage, "c", _run(lineage, "b"), key(1))]
    run, root = lineage.log.entries_at(indexes)[0].digest, lineage.statements["c"].fingerprint.file_root
    indexes.append(_said(lineage, "c", Replay(run, ReplayResult.REPRODUCED, root), key(2)))
    indexes.append(_said(lineage, "c", Review(Decision.APPROVED), key(2)))
    indexes += [lineage.log.append(_rotation(key(first), key(second))) for first, second in rotations]
    report = _report(lineage, "c", indexes)
    assert {_check(report, "agreement").status, _check(report, "review").status} == {expected}
    # Nobody says it of a key but its holder.
    forged = parse_envelope(_rotation(key(1), key(2)))
    signature = sign_envelope(forged.payload, PAYLOAD_TYPE, key(9)).signatures[0]
    stranger = encode_envelope(replace(forged, signatures=(replace(signature, keyid=key(1).public.keyid),)))
    if not rotations:
        report = _report(lineage, "c", [*indexes, lineage.log.append(stranger)])
        assert _check(report, "agreement").status is Status.PASSED


@pytest.mark.parametrize(
    ("found", "expected", "note"),
    [
        ([], Status.NOT_PERFORMED, "no detector's word"),
        ([("c", FindingState.RESOLVED, None)], Status.NOT_PERFORMED, "no detector's word"),
        ([("c", FindingState.RESOLVED, "images")], Status.PASSED, "looked at by images"),
        ([("c", FindingState.OPEN, "images")], Status.NOT_PERFORMED, "forge/c@1 has a finding"),
        (
            [("c", FindingState.RESOLVED, "images"), ("a", FindingState.OPEN, None)],
            Status.NOT_PERFORMED,
            "forge/a@1 has",
        ),
        ([("a", FindingState.RESOLVED, "images")], Status.NOT_PERFORMED, "no detector's word"),
    ],
)
def test_a_detector_must_have_looked_and_nothing_be_open(
    found: list[tuple[str, FindingState, str | None]], expected: Status, note: str
) -> None:
    lineage = _lineage()
    indexes = [
        _said(lineage, label, Finding(f"f{number}", Severity.CRITICAL, "odd", state, detector=detector), key(2))
        for number, (label, state, detector) in enumerate(found)
    ]
    check = _check(_report(lineage, "c", indexes), "detection")
    assert (check.status, note in check.note) == (expected, True)


@pytest.mark.parametrize(
    ("signers", "expected", "note"),
    [
        ([1], Status.NOT_PERFORMED, "nobody but its registrant says that a detector looked at it"),
        ([1, 2], Status.PASSED, "looked at by images"),
        ([2, 1], Status.PASSED, "looked at by images"),
        ([5], Status.NOT_PERFORMED, "nobody but its registrant says that a detector looked at it"),
        ([3], Status.NOT_PERFORMED, "no detector's word is at hand"),
        ([9], Status.NOT_PERFORMED, "no detector's word is at hand"),
    ],
)
def test_the_registrant_is_no_detector(signers: list[int], expected: Status, note: str) -> None:
    """Key 1 registered it, key 5 is of the same name, key 3 is revoked and key 9 unknown."""
    lineage = _lineage()
    body = Finding("f", Severity.INFO, "looked", FindingState.RESOLVED, detector="images")
    indexes = [_said(lineage, "a", body, key(signer)) for signer in signers]
    trust = replace(_trust(lineage), sources=(*SOURCES, TrustedSource("one", key(5).public)))
    check = _check(verify_evidence(_evidence(lineage, "a", indexes), trust), "detection")
    assert (check.status, check.note) == (expected, note)


def test_the_level_is_that_of_the_highest_sensitivity_of_all_inputs() -> None:
    for word, level in zip(Sensitivity, Level, strict=False):
        lineage = Lineage()
        lineage.add_made("a", replace(statement("a"), sensitivity=word))
        lineage.add_made("b", replace(statement("b", [lineage.pin("a")]), sensitivity=Sensitivity.PUBLIC))
        assert _report(lineage, "b", []).required is list(Level)[level + 1]


def test_who_holds_cosignatures_back_holds_no_revocation_back() -> None:
    """What was logged after the last cosigned checkpoint counts if it speaks against the artefact, and else not."""
    witness = Cosigner("witness.example/w", b"\x05" * 32)
    for body, status in (
        (Revocation(RevocationReason.CONSENT_WITHDRAWN), Status.FAILED),
        (Review(Decision.REJECTED), Status.FAILED),
        (Review(Decision.APPROVED), Status.NOT_PERFORMED),
    ):
        lineage = _lineage()
        lineage.log.cosigners = (witness,)
        labels = [lineage.indexes[label] for label in ("c", "b", "a")]
        cosigned = lineage.log.entries_at(labels)
        index = _said(lineage, "c", body, key(2))
        lineage.log.cosigners = ()
        later = lineage.log.entries_at([index])
        trust = lineage.trust(1, 2, witnesses=(encode_vkey(witness.verifier),), quorum=1)
        report = verify_evidence(Evidence(cosigned[0].digest, (*cosigned, *later), keys=(key(1).public,)), trust)
        name = "revocation" if isinstance(body, Revocation) else "review"
        assert _check(report, name).status is status
