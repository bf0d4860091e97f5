"""Verdicts on random lineages against a naive oracle: one statement deleted, doubled, moved, forged or revoked; and
many revoked from some time on, with the keys of some ended, in a log that was anchored now and then.

PROVENANCE_LONG=1 takes graphs of 10,000 statements.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from provenance.policy import Status, TrustedSource, TrustRoots
from provenance.signature import encode_envelope, parse_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE
from provenance.statement.events import Event, encode_event
from provenance.statement.key_event import KeyAction, KeyEvent, KeyReason, NamedKey, encode_key_event
from provenance.statement.revocation import Revocation, RevocationReason
from provenance.verify import Evidence, EvidenceEntry, Report, verify_evidence
from tests.unit.verify.chain import AnchoringChain
from tests.unit.verify.forge import CREATED, Lineage, key

LONG = bool(os.environ.get("PROVENANCE_LONG"))
SIZES = [10_000] if LONG else [3, 40, 300]
STRANGER = 9


@dataclass
class Model:
    """What the oracle knows: who was made from whom, and what was done to which statement."""

    parents: dict[int, list[int]]
    gone: set[int]
    bad: set[int]
    since: dict[int, int | None] = field(default_factory=dict)
    """What was revoked, and from which second on; None is altogether."""
    anchored: dict[int, int] = field(default_factory=dict)
    """The time of the first block after a statement, in seconds."""

    def reached(self, target: int) -> set[int]:
        """The target and every ancestor to which a way leads through statements that are there."""
        found: set[int] = set()
        waiting = [target]
        while waiting:
            node = waiting.pop()
            if node not in found and node not in self.gone:
                found.add(node)
                waiting += self.parents[node]
        return found

    def is_spared(self, parent: int, child: int) -> bool:
        """Whether a revocation of the parent does not reach the child: a block shows that the child is older."""
        since = self.since[parent]
        return since is not None and self.anchored.get(child, since) < since

    def broken(self, target: int) -> set[int]:
        """Those of them that are wrong themselves, lack one of their parents, or were revoked: the target at all, what
        it was made from before one of its children was there."""
        reached = self.reached(target)
        found = set()
        for node in reached:
            children = [child for child in reached if node in self.parents[child]]
            is_revoked = node in self.since and (
                node == target or not all(self.is_spared(node, child) for child in children)
            )
            if node in self.bad or is_revoked or any(parent in self.gone for parent in self.parents[node]):
                found.add(node)
        return found

    def affected(self, target: int) -> set[int]:
        """Those of them that were made, by whatever way, from something broken, but for what is older than the
        revocation by which alone it is broken."""
        reached, broken = self.reached(target), self.broken(target)
        lacking = {node for node in reached if any(parent in self.gone for parent in self.parents[node])}
        made: set[int] = set()
        for node in sorted(reached):  # parents come before their children
            for parent in self.parents[node]:
                is_hard = parent in made or parent in self.bad or parent in lacking
                if is_hard or (parent in broken and not self.is_spared(parent, node)):
                    made.add(node)
        return made


@dataclass
class World:
    """A lineage, its model, and evidence for its last statement."""

    lineage: Lineage
    model: Model
    target: int
    evidence: Evidence

    def report(self, evidence: Evidence) -> Report:
        trust = TrustRoots(sources=(TrustedSource("one", key(1).public),), logs=(self.lineage.log.vkey,))
        return verify_evidence(evidence, trust)

    def check(self, evidence: Evidence) -> None:
        report = self.report(evidence)
        broken = self.model.broken(self.target)
        assert report.sound == (not broken)
        names = {f"forge/n{node}@1" for node in broken}
        failed = {artefact.name for artefact in report.artefacts if artefact.status is Status.FAILED}
        assert failed == names
        assert set(report.affected) == {f"forge/n{node}@1" for node in self.model.affected(self.target)}
        assert {artefact.name for artefact in report.artefacts} == {
            f"forge/n{node}@1" for node in self.model.reached(self.target)
        }


def _world(size: int, seed: int) -> World:
    chance, lineage = random.Random(seed), Lineage()
    parents: dict[int, list[int]] = {}
    for node in range(size):
        near = range(max(0, node - 12), node)
        parents[node] = sorted(
            chance.sample(near, k=min(len(near), chance.choice((0, 1, 1, 2, 3)) if node < size - 1 else 3))
        )
        lineage.add(f"n{node}", [f"n{parent}" for parent in parents[node]])
    evidence = lineage.evidence(f"n{size - 1}")
    return World(lineage, Model(parents, set(), set()), size - 1, evidence)


@pytest.fixture(scope="module", params=SIZES)
def world(request: pytest.FixtureRequest) -> World:
    return _world(request.param, request.param)


def _victims(world: World, seed: int) -> list[int]:
    """Some of all statements but the target: ancestors, mostly, and a few that are none."""
    chance = random.Random(seed)
    return chance.sample(range(world.target), k=min(world.target, 3 if LONG else 12))


def _entry(world: World, node: int) -> EvidenceEntry:
    return next(entry for entry in world.evidence.entries if entry.digest == world.lineage.pin(f"n{node}").envelope)


def test_what_is_whole_is_sound(world: World) -> None:
    world.check(world.evidence)


def test_one_deleted(world: World) -> None:
    for node in _victims(world, 1):
        entry = _entry(world, node)
        world.model.gone = {node}
        world.check(replace(world.evidence, entries=tuple(one for one in world.evidence.entries if one != entry)))
    world.model.gone = set()


def test_order_and_doubles_change_nothing(world: World) -> None:
    chance = random.Random(2)
    whole = world.report(world.evidence)
    entries = list(world.evidence.entries)
    chance.shuffle(entries)
    assert world.report(replace(world.evidence, entries=tuple(entries))) == whole
    assert world.report(replace(world.evidence, entries=(*entries, entries[0]))) == whole


def test_one_signed_by_a_stranger(world: World) -> None:
    for node in _victims(world, 3):
        # The same payload, under a key that nobody trusts, cannot take the place of what its children pin.
        entry = _entry(world, node)
        payload = parse_envelope(entry.envelope).payload
        forged = replace(entry, envelope=encode_envelope(sign_envelope(payload, PAYLOAD_TYPE, key(STRANGER))))
        world.model.gone = {node}
        world.check(
            replace(world.evidence, entries=tuple(forged if one == entry else one for one in world.evidence.entries))
        )
    world.model.gone = set()


def test_one_with_a_proof_of_another_place(world: World) -> None:
    for node in _victims(world, 4):
        entry, other = _entry(world, node), _entry(world, world.target)
        forged = replace(entry, proof=other.proof)
        world.model.bad = {node}
        evidence = replace(
            world.evidence, entries=tuple(forged if one == entry else one for one in world.evidence.entries)
        )
        report = world.report(evidence)
        assert report.sound == (node not in world.model.reached(world.target))
    world.model.bad = set()


def test_one_revoked(world: World) -> None:
    for node in _victims(world, 5):
        event = Event(world.lineage.pin(f"n{node}"), Revocation(RevocationReason.ERRONEOUS), CREATED)
        envelope = encode_envelope(sign_envelope(encode_event(event), PAYLOAD_TYPE, key(1)))
        said = world.lineage.log.entries_at([world.lineage.log.append(envelope)])
        world.model.bad = {node}
        world.check(replace(world.evidence, entries=(*world.evidence.entries, *said)))
    world.model.bad = set()


def _rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _anchored_lineage(chance: random.Random, size: int, chain: AnchoringChain) -> tuple[Lineage, Model, dict[int, int]]:
    """Statements of two keys, in a log that was anchored five times or so; which key signed which, and whose proof
    leads to which anchor (by the size of the log, the last size if there is none)."""
    lineage, model = Lineage(), Model({}, set(), set())
    signers: dict[int, int] = {}
    waiting: list[int] = []
    for node in range(size):
        near = range(max(0, node - 8), node)
        model.parents[node] = sorted(chance.sample(near, k=min(len(near), chance.choice((0, 1, 1, 2, 3)))))
        signers[node] = chance.choice((1, 1, 1, 2))
        parents = [f"n{parent}" for parent in model.parents[node]]
        lineage.add(f"n{node}", parents, signer=key(signers[node]))
        waiting.append(node)
        if chance.random() < 5 / size:
            receipt = chain.anchor(lineage.log)
            model.anchored.update(dict.fromkeys(waiting, receipt.block_time_s))
            waiting = []
    return lineage, model, signers


def _proven(lineage: Lineage, model: Model, chain: AnchoringChain) -> list[EvidenceEntry]:
    """Every statement, in the first anchor after it, if there is one."""
    sizes = {receipt.block_time_s: receipt.size for receipt in chain.receipts}
    size = len(model.parents)
    return [
        entry
        for node in range(size)
        for entry in lineage.log.entries_at([node], sizes.get(model.anchored.get(node, -1), size))
    ]


@pytest.mark.parametrize("seed", range(60))
def test_many_revoked_from_some_time_on(seed: int) -> None:
    chance, chain = random.Random(seed), AnchoringChain()
    size = 2_000 if LONG else chance.choice((4, 12, 40))
    lineage, model, signers = _anchored_lineage(chance, size, chain)
    entries = _proven(lineage, model, chain)
    # Between two blocks, at one's very second, before the first and after the last.
    times = [1_000_000_000, 4_000_000_000]
    times += [receipt.block_time_s + shift for receipt in chain.receipts for shift in (0, 1, -1)]
    said = []
    for node in chance.sample(range(size), k=min(size, chance.randint(0, 4))):
        words = [chance.choice([*times, *times, None]) for _ in range(chance.choice((1, 1, 2)))]
        model.since[node] = None if None in words else min(word for word in words if word is not None)
        for since in words:
            body = Revocation(RevocationReason.ERRONEOUS, None if since is None else _rfc3339(since))
            event = Event(lineage.pin(f"n{node}"), body, CREATED)
            said.append(encode_envelope(sign_envelope(encode_event(event), PAYLOAD_TYPE, key(1))))
    if chance.random() < 0.4:
        ended = chance.choice([*times, None])
        event_of_key = KeyEvent(
            NamedKey.of(key(2).public.pem),
            KeyAction.REVOKED,
            "2099-01-01T00:00:00Z",
            reason=chance.choice(list(KeyReason)),
            since=None if ended is None else _rfc3339(min(ended, 4_000_000_000)),
        )
        said.append(encode_envelope(sign_envelope(encode_key_event(event_of_key), PAYLOAD_TYPE, key(2))))
        model.bad = {
            node
            for node, signer in signers.items()
            if signer == 2 and not (ended is not None and model.anchored.get(node, ended) < ended)
        }
    said = list(dict.fromkeys(said))
    indexes = [lineage.log.append(envelope) for envelope in said]
    target = size - 1
    trust = TrustRoots(
        sources=(TrustedSource("one", key(1).public), TrustedSource("two", key(2).public)),
        logs=(lineage.log.vkey,),
        anchors=chain.anchors,
        blocks=chain.blocks,
    )
    evidence = Evidence(
        entries[target].digest, (*entries, *lineage.log.entries_at(indexes)), anchors=tuple(chain.receipts)
    )
    report = verify_evidence(evidence, trust)
    broken = model.broken(target)
    assert report.sound == (not broken)
    failed = {artefact.name for artefact in report.artefacts if artefact.status is Status.FAILED}
    assert failed == {f"forge/n{node}@1" for node in broken}
    assert set(report.affected) == {f"forge/n{node}@1" for node in model.affected(target)}
    assert set(report.revoked) == {f"forge/n{node}@1" for node in model.since if node in model.reached(target)}
