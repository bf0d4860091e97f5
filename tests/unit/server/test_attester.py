"""The checks that are under way behind an attester's HTTP edge: one a log, bounded, waited for a bounded time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from provenance.encoding import Digest
from provenance.ledger.attesting import Attester, AttesterSettings
from provenance.log import Checkpoint, encode_vkey
from provenance.log.add_checkpoint import encode_add_checkpoint
from provenance.log.following import Head
from provenance.merkle import CompactRange
from provenance.server.attester import Attestations, refused
from provenance.server.witness import witness_app
from provenance.witnesses.attested import Attested, AttestedState, Progress
from provenance.witnesses.refusal import AttestationRefusedError, Refusal, RefusalKind, parse_refusal
from provenance.witnesses.state import WitnessState
from tests.unit.ledger.test_attesting import KEY, policy
from tests.unit.server.client import body_of, call, scope_of
from tests.unit.witnesses.test_state import COSIGNER, LOG, _request

HEAD = Head(b"note", Checkpoint("forge.example/log", 3, bytes(32)))


class Held(Attester):
    """An attester that is done when it is told to be, and then with what it is told."""

    def __init__(self, state: AttestedState) -> None:
        super().__init__(state, AttesterSettings("attester.example/a", KEY, policy()))
        self.release, self.begun, self.ends = threading.Event(), 0, list[Exception]()

    def attest(self, head: Head, seen: Head | None) -> None:
        self.begun += 1
        assert self.release.wait(20)
        if self.ends:
            raise self.ends[-1]
        one = head.checkpoint
        progress = Progress(one.origin, 0, one.size, one.root, CompactRange(), head.note, Digest.of(b""))
        self.state.advance(Attested(progress, b"signed"), since=None)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    with closing(WitnessState(tmp_path / "w.db")) as state:
        state.watch(encode_vkey(LOG.verifier))
    with closing(AttestedState(tmp_path / "w.db")) as attested:
        yield Held(attested)


def test_many_who_ask_wait_for_one_and_no_longer_than_they_may(held: Held) -> None:
    checks = Attestations(held, wait_s=0.2)

    async def run() -> list[BaseException | None]:
        return await asyncio.gather(*(checks.require(HEAD, None) for _ in range(20)), return_exceptions=True)

    for error in asyncio.run(run()):
        assert isinstance(error, AttestationRefusedError)
        assert error.refusal == Refusal(RefusalKind.CHECKING, "entries", "0 of 3 entries are checked")
        assert refused(error).status_code == 503
    assert held.begun == 1
    held.release.set()
    deadline = time.monotonic() + 20
    while not held.state.is_attested(HEAD.checkpoint):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    asyncio.run(checks.require(HEAD, None))
    assert held.begun == 1


def test_only_so_many_logs_are_checked_at_once(held: Held) -> None:
    checks = Attestations(held, wait_s=0.1)

    async def run() -> list[BaseException | None]:
        heads = [Head(b"", Checkpoint(f"log.example/{number}", 1, bytes(32))) for number in range(12)]
        return await asyncio.gather(*(checks.require(head, None) for head in heads), return_exceptions=True)

    found = [error.refusal.kind for error in asyncio.run(run()) if isinstance(error, AttestationRefusedError)]
    assert sorted(found) == sorted([RefusalKind.CHECKING] * 8 + [RefusalKind.UNAVAILABLE] * 4)
    held.ends.append(AttestationRefusedError(Refusal(RefusalKind.REFUSED, "policy", "no", 1)))
    held.release.set()


def test_a_refusal_stands_for_a_moment_and_a_defect_tells_nothing(held: Held, caplog: pytest.LogCaptureFixture) -> None:
    held.release.set()
    held.ends.append(ZeroDivisionError("secret"))
    with pytest.raises(AttestationRefusedError, match="unavailable") as caught:
        asyncio.run(Attestations(held).require(HEAD, None))
    assert "secret" not in str(caught.value)
    held.ends.append(AttestationRefusedError(Refusal(RefusalKind.REFUSED, "policy", "no", 1)))
    checks, begun = Attestations(held, again_s=60), held.begun
    for _ in range(5):
        with pytest.raises(AttestationRefusedError, match="entry 1: policy: no"):
            asyncio.run(checks.require(HEAD, None))
    assert held.begun == begun + 1


def test_what_was_not_attested_is_not_cosigned_whatever_the_edge_thinks(held: Held, tmp_path: Path) -> None:
    class Blind(Attestations):
        async def require(self, head: Head, seen: Head | None) -> None:
            return

    with closing(WitnessState(tmp_path / "w.db")) as state:
        app = witness_app(state, COSIGNER, attestations=Blind(held))
        body = encode_add_checkpoint(_request(0, 5))
        answer = call(app, scope_of("POST", "/add-checkpoint", {"content-length": str(len(body))}), body_of([body]))
        assert answer.status == 503
        assert parse_refusal(answer.body).kind is RefusalKind.CHECKING
        assert state.last(LOG.name).size == 0
