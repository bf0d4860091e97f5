"""Two trusted logs: their indexes are no order, and where no block decides, it counts against whoever takes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from provenance.log import NoteSigner
from provenance.policy import Status, TrustedSource, TrustRoots
from provenance.signature import PrivateKey, encode_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE, BlockReference
from provenance.statement.events import Body, Event, encode_event
from provenance.statement.finding import Finding, FindingState, Severity
from provenance.statement.key_event import KeyAction, KeyEvent, KeyReason, NamedKey, encode_key_event
from provenance.statement.review import Decision, Review
from provenance.verify import Evidence, EvidenceEntry, Report, verify_evidence
from tests.unit.verify.chain import AnchoringChain
from tests.unit.verify.forge import CREATED, Lineage, Log, key, sign, statement

LATER = "2026-11-01T00:00:00Z"
CONFIRMED = Finding("f", Severity.HIGH, "poisoned", FindingState.CONFIRMED)
DISMISSED = replace(CONFIRMED, state=FindingState.DISMISSED)
REJECTED, APPROVED = Review(Decision.REJECTED, ("all",)), Review(Decision.APPROVED, ("all",))


@dataclass
class TwoLogs:
    """`forge/a@1` in an old log of many entries, a young log, and a chain that anchors either."""

    line: Lineage = field(default_factory=Lineage)
    young: Log = field(default_factory=lambda: Log(signer=NoteSigner("young.example/log", b"\x09" * 32)))
    chain: AnchoringChain = field(default_factory=AnchoringChain)
    said: list[EvidenceEntry] = field(default_factory=list)
    names: tuple[str, ...] = ("one", "two", "three")

    def __post_init__(self) -> None:
        self.line.add("a")
        for number in range(10):
            self.old.append(b"filler %d" % number)

    @property
    def old(self) -> Log:
        return self.line.log

    def say(
        self, log: Log, body: Body, signer: PrivateKey, created: str = CREATED, after: BlockReference | None = None
    ) -> None:
        event = Event(self.line.pin("a"), body, created, after)
        self._log(log, encode_event(event), signer)

    def end(self, log: Log, which: PrivateKey, reason: KeyReason, after: BlockReference | None = None) -> None:
        event = KeyEvent(NamedKey.of(which.public.pem), KeyAction.REVOKED, CREATED, reason=reason, not_before=after)
        self._log(log, encode_key_event(event), which)

    def rotate(self, log: Log, which: PrivateKey, to: PrivateKey) -> None:
        successor = NamedKey.of(to.public.pem)
        event = KeyEvent(NamedKey.of(which.public.pem), KeyAction.ROTATED, CREATED, successor)
        self._log(log, encode_key_event(event), which)

    def _log(self, log: Log, payload: bytes, signer: PrivateKey) -> None:
        index = log.append(encode_envelope(sign_envelope(payload, PAYLOAD_TYPE, signer)))
        self.said.append(log.entry(index))

    def anchor(self, log: Log) -> BlockReference:
        """Anchor a log as it is, so that the entry that was logged last is proven in it; the block."""
        receipt = self.chain.anchor(log)
        return BlockReference(receipt.chain_id, receipt.block_number, receipt.block_hash)

    def trust(self) -> TrustRoots:
        sources = [TrustedSource(name, key(number).public) for number, name in enumerate(self.names, 1)]
        return self.line.trust(
            sources=tuple(sources),
            logs=(self.old.vkey, self.young.vkey),
            anchors=self.chain.anchors,
            blocks=self.chain.blocks,
        )

    def report(self, said: Sequence[EvidenceEntry] | None = None) -> Report:
        evidence = self.line.evidence("a")
        entries = (*evidence.entries, *(self.said if said is None else said))
        evidence = replace(evidence, entries=entries, anchors=tuple(self.chain.receipts))
        return verify_evidence(evidence, self.trust(), contents=self.line.content("a"))


def test_a_retired_keys_thief_settles_nothing_by_a_younger_log() -> None:
    logs = TwoLogs()
    logs.say(logs.old, CONFIRMED, key(2))
    logs.end(logs.old, key(2), KeyReason.RETIRED)
    assert not logs.report().sound
    logs.say(logs.young, DISMISSED, key(2), LATER)
    assert not logs.report().sound


def test_a_younger_log_takes_back_what_a_block_proves_to_be_older_than_the_end() -> None:
    logs = TwoLogs()
    logs.say(logs.old, REJECTED, key(2))
    logs.say(logs.young, APPROVED, key(2), LATER)
    assert logs.report().sound
    taken_back = logs.anchor(logs.young)
    logs.end(logs.old, key(2), KeyReason.RETIRED, after=taken_back)
    assert logs.report().sound
    # The same words, and an end that names no block: nothing says what was first.
    others = TwoLogs()
    others.say(others.old, REJECTED, key(2))
    others.say(others.young, APPROVED, key(2), LATER)
    others.anchor(others.young)
    others.end(others.old, key(2), KeyReason.RETIRED)
    assert not others.report().sound


def test_what_a_key_took_back_is_older_than_each_of_its_ends() -> None:
    logs = TwoLogs()
    logs.say(logs.old, REJECTED, key(2))
    logs.say(logs.old, APPROVED, key(2), LATER)
    logs.end(logs.old, key(2), KeyReason.RETIRED)
    assert logs.report().sound
    logs.end(logs.young, key(2), KeyReason.SUPERSEDED)  # perhaps the first
    assert not logs.report().sound


def test_a_warning_of_a_key_that_ended_in_another_log_counts_unless_a_block_proves_it_late() -> None:
    logs = TwoLogs()
    logs.end(logs.old, key(2), KeyReason.RETIRED)
    ended = logs.anchor(logs.old)
    logs.say(logs.young, REJECTED, key(2), LATER)
    assert not logs.report().sound
    logs.said.pop()
    logs.say(logs.young, REJECTED, key(2), LATER, after=ended)
    assert logs.report().sound


@pytest.mark.parametrize("named", [True, False])
def test_somebody_else_settles_across_logs_by_a_block_alone(named: bool) -> None:
    logs = TwoLogs()
    logs.say(logs.old, CONFIRMED, key(2))
    warned = logs.anchor(logs.old)
    logs.say(logs.young, DISMISSED, key(3), LATER, after=warned if named else None)
    assert logs.report().sound is named


def test_of_one_second_and_two_logs_what_speaks_against_holds() -> None:
    for first, second in ((REJECTED, APPROVED), (APPROVED, REJECTED)):
        logs = TwoLogs()
        logs.say(logs.old, first, key(2))
        logs.say(logs.young, second, key(2))
        assert not logs.report().sound
        assert not logs.report(logs.said[::-1]).sound
    logs = TwoLogs()
    logs.say(logs.old, REJECTED, key(2))
    logs.say(logs.old, APPROVED, key(2))
    assert logs.report().sound  # of one log, the last


def test_two_logs_that_name_two_successors_name_none() -> None:
    logs = TwoLogs()
    logs.say(logs.old, REJECTED, key(2))
    logs.rotate(logs.old, key(2), key(3))
    logs.say(logs.old, APPROVED, key(3), LATER)
    assert logs.report().sound
    logs.rotate(logs.young, key(2), key(9))
    assert not logs.report().sound
    # The same one, named in both logs, is no doubt.
    logs.said.pop()
    logs.rotate(logs.young, key(2), key(3))
    assert logs.report().sound


def test_a_rotation_in_another_log_than_the_end_lets_nobody_take_back() -> None:
    logs = TwoLogs()
    logs.say(logs.old, REJECTED, key(2))
    logs.rotate(logs.young, key(2), key(3))
    logs.say(logs.old, APPROVED, key(3), LATER)
    assert logs.report().sound
    logs.end(logs.old, key(2), KeyReason.RETIRED)
    assert not logs.report().sound


def test_a_key_that_ended_in_one_log_still_ends_another_in_the_other_unless_a_block_proves_it_late() -> None:
    def report(*, named: bool) -> Report:
        logs = TwoLogs(names=("museum", "museum"))
        logs.end(logs.old, key(2), KeyReason.RETIRED)
        ended = logs.anchor(logs.old)
        event = KeyEvent(NamedKey.of(key(1).public.pem), KeyAction.REVOKED, CREATED, reason=KeyReason.COMPROMISED)
        event = replace(event, not_before=ended if named else None)
        logs._log(logs.young, encode_key_event(event), key(2))
        return logs.report()

    assert not report(named=False).sound
    assert report(named=True).sound


@pytest.mark.parametrize("named", [True, False])
def test_an_edge_between_two_logs_is_decided_by_a_block_or_not_performed(named: bool) -> None:
    logs = TwoLogs()
    anchored = logs.anchor(logs.old)
    made = statement("b", [logs.line.pin("a")], not_before=anchored if named else None)
    child = logs.young.entry(logs.young.append(sign(made, key(1))))
    entries = (child, logs.line.entry("a"))
    evidence = Evidence(child.digest, entries, anchors=tuple(logs.chain.receipts))
    report = verify_evidence(evidence, logs.trust())
    (edge,) = [check for check in report.checks if check.id == "lineage.edge"]
    (whole,) = [check for check in report.checks if check.id == "lineage"]
    expected = Status.PASSED if named else Status.NOT_PERFORMED
    assert (edge.status, whole.status, report.sound) == (expected, expected, True)
