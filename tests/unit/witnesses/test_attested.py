"""An attester's state: nothing is cosigned that no attestation ends with; what it says when it does not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.encoding import Digest
from provenance.errors import MalformedError, NotFoundError
from provenance.log import encode_vkey, parse_checkpoint, parse_note
from provenance.merkle import CompactRange, root_of
from provenance.witnesses.attested import MAX_FINDINGS, MAX_SIZE, Attested, AttestedState, Finding, Progress
from provenance.witnesses.refusal import Refusal, RefusalKind, encode_refusal, parse_refusal
from provenance.witnesses.state import NotAttestedError, WitnessState
from tests.unit.witnesses.test_state import COSIGNER, LEAVES, LOG, _request


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with closing(WitnessState(tmp_path / "w.db")) as state:
        state.watch(encode_vkey(LOG.verifier))
    return tmp_path / "w.db"


@pytest.fixture
def state(path: Path) -> Iterator[AttestedState]:
    with closing(AttestedState(path)) as made:
        yield made


def progress(size: int, began: int = 0) -> Progress:
    """That so many entries were checked."""
    return Progress(
        LOG.name, began, size, root_of(LEAVES[:size]), CompactRange(), _request(0, size).note, Digest.of(b"")
    )


def test_only_what_was_attested_is_cosigned(path: Path, state: AttestedState) -> None:
    with closing(WitnessState(path)) as witness:
        with pytest.raises(NotAttestedError):
            witness.cosign(_request(0, 5), COSIGNER, 1, only_attested=True)
        assert witness.last(LOG.name).size == 0  # it is as if it had not been asked
        state.advance(Attested(progress(4), b"four"), since=None)
        for size in (5, 3):
            with pytest.raises(NotAttestedError):
                witness.cosign(_request(0, size), COSIGNER, 1, only_attested=True)
        state.advance(Attested(progress(5), b"five"), since=4)
        assert witness.cosign(_request(0, 5), COSIGNER, 1, only_attested=True)
        other = [*LEAVES[:4], *reversed(LEAVES[4:])]
        state.advance(Attested(progress(8), b"eight"), since=5)
        with pytest.raises(NotAttestedError):  # the size is attested, with another root
            witness.cosign(_request(5, 8, leaves=[*LEAVES[:5], *other[5:]]), COSIGNER, 1, only_attested=True)


def test_it_is_there_after_it_was_opened_again(path: Path, state: AttestedState) -> None:
    checkpoint = parse_checkpoint(parse_note(_request(0, 4).note).text)
    state.advance(Attested(progress(4), b"four", [(b"k" * 32, 2)], [("key", 3)]), since=None)
    state.set_place(LOG.name, "https://log.example/")
    with closing(AttestedState(path)) as again:
        found = again.progress(LOG.name)
        assert found is not None and again.is_attested(checkpoint)
        assert (found.size, found.root, found.note) == (4, checkpoint.root, _request(0, 4).note)
        assert again.attestation(LOG.name, 4) == b"four"
        assert (again.registered(LOG.name, b"k" * 32), again.registered(LOG.name, b"l" * 32)) == (2, None)
        assert (again.revoked(LOG.name, "key"), again.revoked("other", "key")) == (3, None)
        assert again.place(LOG.name) == "https://log.example/"
        assert again.sizes(LOG.name) == (4,) and again.sizes(LOG.name, after=4) == ()
    assert state.attestation(LOG.name, 2**64 - 1) is None


def test_an_attestation_and_how_far_it_reaches_are_one(path: Path, state: AttestedState) -> None:
    """A file that fails while it is written to has both or none."""
    state.advance(Attested(progress(4), b"four"), since=None)
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TRIGGER no BEFORE INSERT ON attestations BEGIN SELECT RAISE(ABORT, 'full'); END")
        db.commit()
        with pytest.raises(Exception, match="full"):
            state.advance(Attested(progress(5), b"five", [(b"k" * 32, 4)]), since=4)
        found = state.progress(LOG.name)
        assert found is not None and found.size == 4
        assert state.registered(LOG.name, b"k" * 32) is None
        db.execute("DROP TRIGGER no")
        db.commit()
    state.advance(Attested(progress(5), b"five"), since=4)


def test_findings_are_bounded_and_one_of_a_kind(state: AttestedState) -> None:
    for number in range(MAX_FINDINGS + 5):
        state.keep_finding(Finding(LOG.name, number, "policy", "first", number))
    assert len(state.findings(LOG.name)) == MAX_FINDINGS
    state.keep_finding(Finding(LOG.name, MAX_FINDINGS, "policy", "second", 10_000, b"leaf", b"evidence"))
    found = state.findings(LOG.name)
    assert len(found) == MAX_FINDINGS
    assert found[0] == Finding(LOG.name, MAX_FINDINGS, "policy", "second", 10_000, b"leaf", b"evidence")


def test_only_what_failed_is_waived(state: AttestedState) -> None:
    state.keep_finding(Finding(LOG.name, 3, "withheld", "no file", 1))
    for entry in (3, 4, MAX_SIZE + 1):
        with pytest.raises(NotFoundError):
            state.waive(LOG.name, entry, "because", 2)
    state.keep_finding(Finding(LOG.name, 4, "policy", "x", 1, b"leaf", b"evidence"))
    assert state.waive(LOG.name, 4, "because", 2).leaf == b"leaf"
    assert state.waiver(LOG.name, 4) == state.waivers(LOG.name)[0]
    assert state.waiver("other.example/log", 4) is None


@given(
    st.sampled_from(RefusalKind), st.sampled_from(["signature", "withheld"]), st.text(max_size=600),
    st.none() | st.integers(0, 2**64 - 1),
)  # fmt: skip
def test_a_refusal_is_read_back_and_holds_no_line_of_its_own(
    kind: RefusalKind, check: str, reason: str, entry: int | None
) -> None:
    data = encode_refusal(Refusal(kind, check, reason, entry))
    found = parse_refusal(data)
    assert (found.kind, found.check, found.entry) == (kind, check, entry)
    assert encode_refusal(found) == data
    assert data.count(b"\n") == (3 if entry is None else 4)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff", b"attester refused\n", b"attester maybe\ncheck: a\nreason: b\n",
        b"attester refused\ncheck: a\nreason: b", b"attester refused\ncheck: a\nreason: b\nmore: c\n",
        b"attester refused\ncheck: a\nentry: 01\nreason: b\n",
        b"attester refused\ncheck: a\nreason: " + b"x" * 5_000 + b"\n",
    ],
)  # fmt: skip
def test_what_is_no_refusal_is_none(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_refusal(data)
