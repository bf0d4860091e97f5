"""The verdict over a lineage: each way a parent can be wrong, what it affects, and a naive oracle on random graphs."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from provenance.encoding import Digest, b64encode
from provenance.errors import MalformedError
from provenance.log import NoteSigner
from provenance.policy import Level, Status, TrustedSource, TrustRoots
from provenance.statement import Pin
from provenance.verify import (
    Check,
    ContentFinding,
    Evidence,
    EvidenceEntry,
    Report,
    encode_bundle,
    parse_bundle,
    verify_bundle,
    verify_evidence,
)
from tests.unit.verify.forge import Lineage, Log, key, name, pin, sign, statement

PASSED, FAILED, NOT = Status.PASSED, Status.FAILED, Status.NOT_PERFORMED


def _failed(report: Report, check_id: str) -> list[Check]:
    return [check for check in report.failures if check.id == check_id]


def _chain(*labels: str) -> Lineage:
    lineage = Lineage()
    before: list[str] = []
    for label in labels:
        lineage.add(label, before, origin=None if before else "https://forge.example")
        before = [label]
    return lineage


def _verify(lineage: Lineage, evidence: Evidence, target: str) -> Report:
    return verify_evidence(evidence, lineage.trust(), contents=lineage.content(target))


# ---- bundle surgery ------------------------------------------------------------------------------------------------


def test_a_whole_lineage_passes_at_d2_and_its_order_in_the_bundle_means_nothing() -> None:
    lineage = _chain("a", "b", "c", "d")
    report = _verify(lineage, lineage.evidence("d"), "d")
    assert (report.sound, report.level, report.missing) == (
        True,
        Level.D2,
        ("quality", "anchor.receipt", "anchor.block"),
    )
    assert [artefact.depth for artefact in report.artefacts] == [0, 1, 2, 3]
    whole = lineage.evidence("d")
    for _ in range(5):
        entries = random.sample(whole.entries, len(whole.entries))
        assert _verify(lineage, replace(whole, entries=tuple(entries)), "d") == report


@pytest.mark.parametrize("missing", ["a", "b", "c"])
def test_a_missing_parent_is_missed_by_name(missing: str) -> None:
    lineage = _chain("a", "b", "c", "d")
    kept = [label for label in "cba" if label != missing]
    report = _verify(lineage, lineage.evidence("d", *kept), "d")
    (edge,) = _failed(report, "lineage.edge")
    assert (edge.note, edge.where) == ("parent is missing", f"forge/{missing}@1")
    assert edge.subject == f"forge/{chr(ord(missing) + 1)}@1"
    assert not report.sound


def test_a_bundle_without_its_target_or_with_an_entry_twice_is_malformed() -> None:
    lineage = _chain("a", "b")
    whole = lineage.evidence("b")
    with pytest.raises(MalformedError, match="target"):
        parse_bundle(encode_bundle(replace(whole, entries=whole.entries[1:])))
    for position in range(2):
        for copy in (whole.entries[position], replace(whole.entries[position], proof=whole.entries[0].proof)):
            with pytest.raises(MalformedError, match="twice"):
                parse_bundle(encode_bundle(replace(whole, entries=(*whole.entries, copy))))
    with pytest.raises(MalformedError, match="twice"):
        parse_bundle(encode_bundle(replace(whole, keys=(key(1).public, key(1).public))))


def test_every_entry_of_a_bundle_is_needed_and_none_can_be_forged() -> None:
    """Each entry in turn is replaced by one that says something else, by an outsider's, or by one from elsewhere."""
    lineage = _chain("a", "b", "c")
    lineage.add("x", signer=key(1))
    whole = lineage.evidence("c", "b", "a")
    forged: list[Callable[[str], bytes]] = [
        lambda label: sign(replace(lineage.statements[label], license="MIT"), key(9)),
        lambda label: sign(replace(lineage.statements[label], license="MIT"), key(1)),
        lambda label: lineage.log.envelopes[lineage.indexes["x"]],
        lambda label: b"{}",
    ]
    for position, label in enumerate("cba"):
        for forge in forged:
            forgery = EvidenceEntry(forge(label), whole.entries[position].proof)
            entries = (*whole.entries[:position], forgery, *whole.entries[position + 1 :])
            target = forgery.digest if position == 0 else whole.target
            report = _verify(lineage, replace(whole, entries=entries, target=target), "c")
            assert not report.sound, (label, forge)
            assert report.level in (None, Level.D0) or position > 0


def test_entries_nobody_asked_for_change_nothing() -> None:
    lineage = _chain("a", "b")
    expected = _verify(lineage, lineage.evidence("b"), "b")
    lineage.add("stranger", signer=key(9))
    more = lineage.evidence("b", "a", "stranger")
    assert {c.subject for c in _verify(lineage, more, "b").checks} == {c.subject for c in expected.checks}
    assert _verify(lineage, more, "b").sound
    garbage = replace(more, entries=(*more.entries, EvidenceEntry(b"garbage", b"proof")))
    assert _verify(lineage, garbage, "b") == _verify(lineage, more, "b")


def test_garbage_that_a_pin_leads_to_is_named() -> None:
    lineage = _chain("a")
    garbage = EvidenceEntry(b"garbage", b"proof")
    lineage.add_made("b", statement("b", [lineage.pin("a"), Pin(name("g"), Digest.of(b"g"), garbage.digest)]))
    evidence = lineage.evidence("b", "a")
    report = _verify(lineage, replace(evidence, entries=(*evidence.entries, garbage)), "b")
    assert not report.sound
    assert any(check.subject.startswith("envelope ") for check in report.failures)


# ---- pins ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"name": name("other")}, "parent has another name"),
        ({"digest": Digest.of(b"other")}, "parent has another digest"),
        ({"envelope": Digest.of(b"other")}, "parent is missing"),
    ],
)
def test_a_pin_that_does_not_fit_its_parent(change: dict[str, Any], note: str) -> None:
    lineage = _chain("a")
    wrong: Pin = replace(lineage.pin("a"), **change)
    lineage.add_made("b", statement("b", [wrong]))
    report = _verify(lineage, lineage.evidence("b"), "b")
    assert [edge.note for edge in _failed(report, "lineage.edge")] == [note]
    assert not report.sound


def test_two_parents_swapped_in_the_pins() -> None:
    lineage = Lineage()
    lineage.add("a")
    lineage.add("b")
    a, b = lineage.pin("a"), lineage.pin("b")
    lineage.add_made("c", statement("c", [replace(a, envelope=b.envelope), replace(b, envelope=a.envelope)]))
    report = _verify(lineage, lineage.evidence("c"), "c")
    assert [edge.note for edge in _failed(report, "lineage.edge")] == ["parent has another name"] * 2


def test_a_parent_logged_after_its_child() -> None:
    log = Log()
    parent = statement("a")
    envelope = sign(parent, key(1))
    child = statement("b", [pin(parent, envelope)])
    entries = [log.append(sign(child, key(1))), log.append(envelope)]
    evidence = Evidence(log.entry(0).digest, tuple(log.entry(index) for index in entries))
    report = verify_evidence(evidence, Lineage(log).trust())
    (edge,) = _failed(report, "lineage.edge")
    assert (edge.note, edge.found) == ("parent was logged after its child", "1")


@pytest.mark.parametrize("fault", ["untrusted", "revoked", "other namespace", "bad proof", "no proof", "content"])
def test_a_faulty_parent_breaks_its_children_and_no_one_else(fault: str) -> None:
    lineage = Lineage()
    signer = key({"untrusted": 9, "revoked": 2, "other namespace": 3}.get(fault, 1))
    lineage.add("root")
    lineage.add("faulty", ["root"], signer=signer)
    lineage.add("sound", ["root"])
    lineage.add("child", ["faulty"])
    lineage.add("target", ["child", "sound"])
    sources = (
        TrustedSource("one", key(1).public),
        TrustedSource("two", key(2).public, revoked=True),
        TrustedSource("three", key(3).public, namespaces=("elsewhere",)),
    )
    evidence = lineage.evidence("target", "child", "sound", "faulty", "root")
    if "proof" in fault:
        proof = lineage.entry("faulty").proof
        wrong = (
            proof.replace(b"\n\n", b"\n" + b64encode(b"\0" * 32).encode() + b"\n\n") if fault == "bad proof" else b"no"
        )
        entries = list(evidence.entries)
        entries[3] = replace(entries[3], proof=wrong)
        evidence = replace(evidence, entries=tuple(entries))
    contents = lineage.content("target")
    if fault == "content":
        contents |= {"forge/faulty@1": ContentFinding(Digest.of(b"other"), "/there")}
    report = verify_evidence(evidence, lineage.trust(sources=sources), contents=contents)
    assert not report.sound
    # The target's own checks still hold, and so does its level: only what it was made from is broken.
    assert report.level is Level.D2
    assert "lineage" not in report.missing or report.level is Level.D2
    if fault == "no proof":
        assert [edge.where for edge in _failed(report, "lineage.edge")] == ["forge/faulty@1"]
        assert any(check.subject == "forge/faulty@1" for check in _failed(report, "log.inclusion"))
        assert report.affected == ("forge/target@1",)
    else:
        assert {check.subject for check in report.failures if check.id != "lineage"} == {"forge/faulty@1"}
        assert report.affected == ("forge/child@1", "forge/target@1")
    statuses = {artefact.name: artefact.status for artefact in report.artefacts}
    assert statuses["forge/sound@1"] is statuses["forge/root@1"] is PASSED


def test_a_root_without_an_origin_leaves_the_lineage_open() -> None:
    lineage = Lineage()
    lineage.add("a", origin=None)
    lineage.add("b", ["a"])
    report = _verify(lineage, lineage.evidence("b"), "b")
    (check,) = [check for check in report.checks if check.id == "lineage"]
    assert (check.status, report.sound) == (NOT, True)
    assert "declares no origin" in check.note


# ---- one name, one statement; one log, one history -----------------------------------------------------------------


def test_an_ancestor_of_the_same_name_lends_the_target_none_of_its_passes() -> None:
    lineage = Lineage()
    lineage.add("a")  # by a trusted key
    lineage.add("b", ["a"], signer=key(1))
    impostor = statement("a", [lineage.pin("b")], content="something else")
    lineage.add_made("impostor", impostor, key(9))
    report = verify_evidence(
        lineage.evidence("impostor", "a", "b"), lineage.trust(), contents=lineage.content("impostor")
    )
    assert report.target == "forge/a@1"
    assert not report.sound
    assert report.level is Level.D1
    assert "trust" in report.missing
    (double,) = _failed(report, "lineage.name")
    assert double.subject == "forge/a@1"


def test_two_roots_for_one_size_are_a_fork() -> None:
    """The log showed one history to the parent's holder and another to the child's."""
    parent = statement("a")
    envelope = sign(parent, key(1))
    child = sign(statement("b", [pin(parent, envelope)]), key(1))
    one, other = Log(), Log()
    for log in (one, other):
        log.append(envelope)
        log.append(child)
    one.append(sign(statement("x"), key(1)))
    other.append(sign(statement("y"), key(1)))
    evidence = Evidence(one.entry(1).digest, (one.entry(1), other.entry(0)))
    report = verify_evidence(evidence, Lineage(one).trust())
    (fork,) = _failed(report, "log.consistency")
    assert fork.note == "the log signed two roots for one size"
    assert not report.sound


def test_checkpoints_of_several_sizes_leave_the_lineage_open() -> None:
    lineage = _chain("a", "b")
    evidence = replace(lineage.evidence("b"), entries=(lineage.entry("b"), lineage.entry("a", size=1)))
    report = _verify(lineage, evidence, "b")
    assert [c.status for c in report.checks if c.id in ("log.consistency", "lineage")] == [NOT, NOT]
    assert report.sound


def test_two_logs_may_take_part() -> None:
    lineage, other = _chain("a"), Log()
    other.signer = NoteSigner("second.example/log", b"\x09" * 32)
    child = sign(statement("b", [lineage.pin("a")]), key(1))
    other.append(sign(statement("x"), key(1)))
    entry = other.entry(other.append(child))
    evidence = Evidence(entry.digest, (entry, lineage.entry("a")))
    report = verify_evidence(evidence, lineage.trust(logs=(lineage.log.vkey, other.vkey)))
    assert not [check for check in report.checks if check.id == "log.consistency"]
    assert report.sound
    assert not verify_evidence(evidence, lineage.trust()).sound


# ---- size ----------------------------------------------------------------------------------------------------------


def _calls(lineage: Lineage, target: str, trust: TrustRoots) -> int:
    """How many Python functions are called: what no other process on the machine changes."""
    evidence, calls = lineage.evidence(target), 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        report = verify_evidence(evidence, trust)
    finally:
        sys.setprofile(None)
    assert len(report.artefacts) == len(lineage.statements)
    assert report.sound is (trust == lineage.trust())
    return calls


@pytest.mark.parametrize("broken", [False, True])
def test_the_work_grows_with_the_lineage_and_not_with_its_square(broken: bool) -> None:
    """Also where every statement is broken and so affects every later one."""
    calls = {}
    for size in (10, 500, 2_000):  # the first imports what is imported late
        lineage = _chain(*(f"n{number}" for number in range(size)))
        calls[size] = _calls(lineage, f"n{size - 1}", lineage.trust(9) if broken else lineage.trust())
    assert calls[2_000] < 5 * calls[500], calls


def test_diamonds_are_walked_once() -> None:
    """Forty diamonds in a row have 2^40 paths."""
    lineage = Lineage()
    lineage.add("top0")
    for number in range(40):
        for side in "lr":
            lineage.add(f"{side}{number}", [f"top{number}"])
        lineage.add(f"top{number + 1}", [f"l{number}", f"r{number}"])
    assert _calls(lineage, "top40", lineage.trust()) < 1_000_000


# ---- a naive oracle ------------------------------------------------------------------------------------------------


@dataclass
class Made:
    """A statement of a random lineage and everything that is wrong with it."""

    label: str
    envelope: bytes
    parents: list[tuple[int, str]]
    """(which, what is wrong with the pin)"""
    key: int
    origin: bool
    index: int = -1
    present: bool = True
    proven: bool = True
    content: str = "none"
    entry: EvidenceEntry = field(default_factory=lambda: EvidenceEntry(b"", b""))
    statement: Any = None


def _random_lineage(chance: random.Random) -> tuple[list[Made], Log]:
    made: list[Made] = []
    for number in range(chance.randint(1, 7)):
        parents = [
            (p, chance.choice(["", "", "", "", "", "digest", "name"])) for p in range(number) if chance.random() < 0.4
        ]
        pins = []
        for which, wrong in parents:
            right = pin(made[which].statement, made[which].envelope)
            changes: dict[str, Any] = {"digest": {"digest": Digest.of(b"x")}, "name": {"name": name(f"w{which}")}}
            pins.append(replace(right, **changes.get(wrong, {})))
        origin = bool(chance.random() < 0.9)
        signer = chance.choice([1] * 12 + [2, 9])
        said = statement(f"n{number}", pins, origin="https://x.example" if origin else None)
        made.append(Made(str(said.name), sign(said, key(signer)), parents, signer, origin, statement=said))
    log = Log()
    order = list(range(len(made)))
    if chance.random() < 0.15:
        chance.shuffle(order)
    for which in order:
        made[which].index = log.append(made[which].envelope)
    for one in made:
        one.entry = log.entry(one.index)
        one.present = one is made[-1] or chance.random() < 0.95
        one.content = chance.choice(["none"] * 6 + ["right", "right", "wrong"])
        if chance.random() < 0.04 and len(made) > 1:
            one.proven, genuine = False, b"index %d\n" % one.index
            one.index = (one.index + 1) % len(made)
            one.entry = replace(one.entry, proof=one.entry.proof.replace(genuine, b"index %d\n" % one.index))
    return made, log


def _oracle(made: list[Made]) -> dict[str, Any]:
    """The verdict, worked out path by path from the written rules alone."""

    def ancestors(which: int) -> set[int]:
        found: set[int] = set()
        for parent, _ in made[which].parents:
            if made[parent].present:
                found |= {parent} | ancestors(parent)
        return found

    def broken(which: int) -> bool:
        one = made[which]
        edges = any(
            wrong
            or not made[parent].present
            or (one.proven and made[parent].proven and made[parent].index >= one.index)
            for parent, wrong in one.parents
        )
        return one.key != 1 or not one.proven or edges or one.content == "wrong"

    target = len(made) - 1
    within = ancestors(target) | {target}
    faults = {which for which in within if broken(which)}
    own = made[target]
    level = 0
    if own.content == "right" and own.proven:
        level = 2 if own.key == 1 else 1
    open_end = any(not made[which].parents and not made[which].origin for which in within)
    return {
        "verified": not faults,
        "level": level,
        "lineage": "failed" if faults else "not performed" if open_end else "passed",
        "artefacts": {made[which].label for which in within},
        "affected": {made[which].label for which in within if ancestors(which) & faults},
        "broken": {made[which].label for which in faults},
    }


def test_random_lineages_are_judged_as_a_naive_oracle_judges_them() -> None:
    verdicts = []
    for seed in range(400):
        made, log = _random_lineage(random.Random(seed))
        target = made[-1]
        entries = [one.entry for one in made if one.present]
        random.Random(seed).shuffle(entries)
        sources = (TrustedSource("one", key(1).public), TrustedSource("two", key(2).public, revoked=True))
        expected = _oracle(made)
        contents = {
            one.label: ContentFinding(one.statement.digest if one.content == "right" else Digest.of(b""), "there")
            for one in made
            if one.content != "none" and one.label in expected["artefacts"]
        }
        evidence = Evidence(target.entry.digest, tuple(entries))
        bundle = encode_bundle(evidence)
        report = verify_bundle(bundle, TrustRoots(sources, (log.vkey,)), contents=contents)
        found = {
            "verified": report.sound,
            "level": report.level,
            "lineage": next(str(check.status) for check in report.checks if check.id == "lineage"),
            "artefacts": {artefact.name for artefact in report.artefacts},
            "affected": set(report.affected),
            "broken": {check.subject for check in report.failures if check.id != "lineage"},
        }
        assert found == expected, (seed, report.failures)
        assert {a.name for a in report.artefacts if a.status is FAILED} == expected["broken"]
        inherited = {a.name for a in report.artefacts if a.status is Status.AFFECTED}
        assert inherited == expected["affected"] - expected["broken"]
        verdicts.append(report.sound)
    assert 60 < sum(verdicts) < 340
