"""A witness's state: what it cosigns, what it refuses, and that it never signs two histories."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provenance.errors import (
    ConflictError,
    MalformedError,
    NotFoundError,
    PolicyError,
    ProvenanceError,
    VerificationError,
)
from provenance.log import (
    Checkpoint,
    Cosigner,
    Cosigners,
    LogSigner,
    NoteSigner,
    encode_vkey,
    open_cosigned,
    parse_checkpoint,
    parse_note,
    sign_checkpoint,
)
from provenance.log.add_checkpoint import AddCheckpoint
from provenance.log.algorithm import ML_DSA_44
from provenance.merkle import leaf_hash, prove_consistency, root_of
from provenance.witnesses.state import SizeConflictError, WitnessState

LOG = NoteSigner("log.example/a", b"\x01" * 32)
OTHER = NoteSigner("log.example/b", b"\x02" * 32)
COSIGNER = Cosigner("witness.example/w", b"\x03" * 32)
LEAVES = [leaf_hash(b"%d" % number) for number in range(40)]
FORKED = [*LEAVES[:5], *(leaf_hash(b"other %d" % number) for number in range(35))]


def _proof(leaves: list[bytes], old: int, new: int) -> tuple[bytes, ...]:
    def read(level: int, index: int) -> bytes:
        return root_of(leaves[index << level : (index + 1) << level])

    return tuple(prove_consistency(old, new, read)) if 0 < old < new else ()


def _request(old: int, new: int, *, leaves: list[bytes] = LEAVES, signer: NoteSigner = LOG) -> AddCheckpoint:
    note = sign_checkpoint(Checkpoint(signer.name, new, root_of(leaves[:new])), signer)
    return AddCheckpoint(old, _proof(leaves, old, new), note)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[WitnessState]:
    made = WitnessState(tmp_path / "w.db")
    made.watch(encode_vkey(LOG.verifier))
    yield made
    made.close()


def _size(state: WitnessState) -> int:
    return next(one.size for one in state.logs() if one.origin == LOG.name)


def test_a_log_that_grows_is_cosigned(state: WitnessState) -> None:
    now = 1_700_000_000
    for old, new in ((0, 1), (1, 1), (1, 5), (5, 8), (8, 40)):
        request = _request(old, new)
        line = state.cosign(request, COSIGNER, now)
        opened = open_cosigned(request.note + line, LOG.verifier, [COSIGNER.verifier])
        assert [one.time_s for one in opened.cosignatures] == [now]
        assert _size(state) == new
        now += 10
    # A clock that goes back does not take the times of cosignatures with it.
    line = state.cosign(_request(40, 40), COSIGNER, 5)
    opened = open_cosigned(_request(40, 40).note + line, LOG.verifier, [COSIGNER.verifier])
    assert opened.cosignatures[0].time_s == now - 10


def test_what_is_refused_and_with_which_error(state: WitnessState) -> None:
    state.cosign(_request(0, 8), COSIGNER, 1)
    with pytest.raises(NotFoundError):
        state.cosign(_request(0, 1, signer=OTHER), COSIGNER, 1)
    forged = NoteSigner(LOG.name, b"\x09" * 32)
    with pytest.raises(PolicyError):
        state.cosign(_request(8, 9, signer=forged), COSIGNER, 1)
    for old in (0, 5, 9):
        with pytest.raises(SizeConflictError) as told:
            state.cosign(_request(old, 9), COSIGNER, 1)
        assert told.value.size == 8
    with pytest.raises(MalformedError):
        state.cosign(AddCheckpoint(9, (), _request(0, 8).note), COSIGNER, 1)
    right = _request(8, 12)
    for proof in ((), right.proof[:-1], (*right.proof, bytes(32)), (bytes(32), *right.proof[1:])):
        with pytest.raises(VerificationError):
            state.cosign(AddCheckpoint(8, proof, right.note), COSIGNER, 1)
    with pytest.raises(VerificationError):
        state.cosign(_request(8, 12, leaves=FORKED), COSIGNER, 1)
    with pytest.raises(MalformedError):
        state.cosign(AddCheckpoint(8, (), b"no note"), COSIGNER, 1)
    assert _size(state) == 8
    empty = sign_checkpoint(Checkpoint(LOG.name, 0, root_of([])), LOG)
    with pytest.raises((MalformedError, SizeConflictError)):
        state.cosign(AddCheckpoint(0, (), empty), COSIGNER, 1)


def test_two_roots_of_one_size_are_kept_as_evidence(state: WitnessState) -> None:
    state.cosign(_request(0, 8), COSIGNER, 1)
    for _ in range(3):
        with pytest.raises(SizeConflictError):
            state.cosign(_request(8, 8, leaves=FORKED), COSIGNER, 1)
    ((earlier, later),) = state.evidence(LOG.name)
    first, second = (parse_checkpoint(parse_note(note).text) for note in (earlier, later))
    assert (first.size, second.size) == (8, 8)
    assert first.root != second.root
    assert state.logs()[0].evidence == 1
    assert state.evidence("elsewhere") == ()


def test_keys_of_a_log_change_with_an_overlap(state: WitnessState) -> None:
    state.cosign(_request(0, 3), COSIGNER, 1)
    newer = NoteSigner(LOG.name, b"\x08" * 32)
    with pytest.raises(PolicyError):
        state.cosign(_request(3, 4, signer=newer), COSIGNER, 1)
    state.watch(encode_vkey(newer.verifier))
    state.cosign(_request(3, 4, signer=newer), COSIGNER, 1)
    state.cosign(_request(4, 5), COSIGNER, 1)
    state.forget(encode_vkey(LOG.verifier))
    with pytest.raises(PolicyError):
        state.cosign(_request(5, 6), COSIGNER, 1)
    state.cosign(_request(5, 6, signer=newer), COSIGNER, 1)
    state.forget(encode_vkey(newer.verifier))
    with pytest.raises(NotFoundError):
        state.cosign(_request(6, 7, signer=newer), COSIGNER, 1)
    assert _size(state) == 6  # what was seen is not forgotten
    with pytest.raises(NotFoundError):
        state.forget(encode_vkey(newer.verifier))
    with pytest.raises(MalformedError):
        state.watch(encode_vkey(COSIGNER.verifier))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40), st.booleans()), max_size=25))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_it_never_signs_two_histories(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[int, int, bool]]
) -> None:
    """Against an oracle: the largest tree so far, and whether the next is of the same history."""
    state = WitnessState(tmp_path_factory.mktemp("w") / "w.db")
    state.watch(encode_vkey(LOG.verifier))
    size, history = 0, LEAVES
    for old, new, is_fork in asked:
        leaves = FORKED if is_fork else LEAVES
        same = leaves[:size] == history[:size]
        expected = old == size and new >= size and (same or not size) and old <= new
        try:
            state.cosign(_request(old, new, leaves=leaves), COSIGNER, 1)
            done = True
        except ProvenanceError:
            done = False
        assert done is expected, (old, new, is_fork, size)
        if done:
            size, history = new, leaves
        assert _size(state) == size
    state.close()


def test_of_many_at_once_one_history_is_signed(state: WitnessState) -> None:
    state.cosign(_request(0, 5), COSIGNER, 1)
    signed = []

    def ask(leaves: list[bytes]) -> None:
        try:
            signed.append(state.cosign(_request(5, 20, leaves=leaves), COSIGNER, 1))
        except ConflictError:
            return

    threads = [threading.Thread(target=ask, args=(leaves,)) for leaves in (LEAVES, FORKED) * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(signed) == 1


KILLED = """
import os, sys
sys.path.insert(0, os.getcwd())
from pathlib import Path
from tests.unit.witnesses.test_state import COSIGNER, LOG, _request
from provenance.witnesses.state import WitnessState
state = WitnessState(Path(sys.argv[1]))
size = next(one.size for one in state.logs() if one.origin == LOG.name)
while size < 40:
    state.cosign(_request(size, size + 1), COSIGNER, 1)
    size += 1
    print(size, flush=True)
"""


def test_what_was_signed_is_remembered_through_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    made = WitnessState(path)
    made.watch(encode_vkey(LOG.verifier))
    made.close()
    for count in (1, 7, 3):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(count)]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        again = WitnessState(path)
        assert _size(again) >= int(lines[-1])
        with pytest.raises(SizeConflictError):
            again.cosign(
                _request(_size(again), _size(again), leaves=FORKED) if _size(again) > 5 else _request(39, 40),
                COSIGNER,
                1,
            )
        again.close()


def test_a_log_that_signs_with_ml_dsa_is_cosigned_whichever_of_its_keys_is_watched(tmp_path: Path) -> None:
    ml_dsa = Cosigner(LOG.name, b"\x05" * 32, ML_DSA_44)
    both = LogSigner((LOG, ml_dsa))
    keys = Cosigners((COSIGNER, Cosigner(COSIGNER.name, b"\x06" * 32, ML_DSA_44)))
    for number, watched in enumerate(([ml_dsa.verifier], [LOG.verifier], list(both.verifiers))):
        state = WitnessState(tmp_path / f"w{number}.db")
        for verifier in watched:
            state.watch(encode_vkey(verifier))
        for old, new in ((0, 5), (5, 8)):
            head = Checkpoint(LOG.name, new, root_of(LEAVES[:new]))
            note = sign_checkpoint(head, both)
            lines = state.cosign(AddCheckpoint(old, _proof(LEAVES, old, new), note), keys, 1_700_000_000)
            opened = open_cosigned(note + lines, LOG.verifier, keys.verifiers)
            assert [one.witness for one in opened.cosignatures] == list(keys.verifiers)
        forged = sign_checkpoint(Checkpoint(LOG.name, 9, bytes(32)), NoteSigner(LOG.name, b"\x09" * 32))
        with pytest.raises(PolicyError):
            state.cosign(AddCheckpoint(8, (), forged), keys, 1_700_000_000)
        state.close()
    alone = sign_checkpoint(Checkpoint(LOG.name, 3, root_of(LEAVES[:3])), LogSigner((ml_dsa,)))
    state = WitnessState(tmp_path / "alone.db")
    state.watch(encode_vkey(ml_dsa.verifier))
    assert state.cosign(AddCheckpoint(0, (), alone), COSIGNER, 1_700_000_000).count(b"\n") == 1
    state.close()
