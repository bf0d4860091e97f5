"""Verdicts on random lineages against a naive oracle: one statement deleted, doubled, moved, forged or revoked.

PROVENANCE_LONG=1 takes graphs of 10,000 statements.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, replace

import pytest

from provenance.policy import Status, TrustedSource, TrustRoots
from provenance.signature import encode_envelope, parse_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE
from provenance.statement.events import Event, encode_event
from provenance.statement.revocation import Revocation, RevocationReason
from provenance.verify import Evidence, EvidenceEntry, Report, verify_evidence
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

    def broken(self, target: int) -> set[int]:
        """Those of them that are wrong themselves, or lack one of their parents."""
        return {
            node
            for node in self.reached(target)
            if node in self.bad or any(parent in self.gone for parent in self.parents[node])
        }

    def affected(self, target: int) -> set[int]:
        """Those of them that were made, by whatever way, from something broken."""
        reached, tainted = self.reached(target), self.broken(target)
        made: set[int] = set()
        for node in sorted(reached):  # parents come before their children
            if any(parent in tainted or parent in made for parent in self.parents[node]):
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
