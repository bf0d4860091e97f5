"""A log that went back behind what it showed, or forked from it, is not opened, and both checkpoints say so."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from provenance.errors import ProvenanceError, StoreError, WitnessError
from provenance.ledger import Ledger
from provenance.ledger.log_publisher import publish_ledger
from provenance.ledger.rollback import FILE, remember_shown, shown_checkpoint
from provenance.log import Cosigner, encode_vkey, parse_vkey
from provenance.log.fault import FaultKind, LogFaultError, encode_evidence, verify_fork
from provenance.publishers import open_publisher
from provenance.statement.usage import Usage

DATABASE = ("ledger.db", "ledger.db-wal", "ledger.db-shm")


def _keep(place: Path, at: Path) -> None:
    """Copy the database alone."""
    at.mkdir()
    for name in DATABASE:
        if (place / ".provenance" / name).exists():
            shutil.copy2(place / ".provenance" / name, at / name)


def _put_back(place: Path, at: Path) -> None:
    for name in DATABASE:
        (place / ".provenance" / name).unlink(missing_ok=True)
        if (at / name).exists():
            shutil.copy2(at / name, place / ".provenance" / name)


@pytest.fixture
def gone_back(copy: Path, tmp_path: Path) -> Path:
    """A ledger whose database was put back from before its last anchor."""
    with Ledger.open(copy):
        pass
    _keep(copy, tmp_path / "old")
    with Ledger.open(copy) as ledger:
        ledger.state("h/raw", Usage("x"), key="lab")
        outcome = ledger.anchor()
        shown = shown_checkpoint(ledger.layout.directory)
        assert shown is not None
        assert shown[1].size == outcome.size == ledger.log.size()
    _put_back(copy, tmp_path / "old")
    return copy


def test_a_database_put_back_from_an_old_copy_is_not_opened(gone_back: Path) -> None:
    with pytest.raises(LogFaultError, match="went back") as caught:
        Ledger.open(gone_back)
    fault = caught.value
    assert fault.kind is FaultKind.WENT_BACK
    with Ledger.open(gone_back, check_shown=False) as ledger:
        assert fault.later == ledger.log.checkpoint().note
        verifier = parse_vkey(ledger.keyring.vkey)
    assert fault.earlier is not None
    with pytest.raises(ProvenanceError):  # that it went back is no proof to others: they may have an old copy
        verify_fork(encode_evidence(fault), verifier)


def test_a_fork_is_evidence_for_anybody(gone_back: Path) -> None:
    shown = (gone_back / ".provenance" / FILE).read_bytes()
    (gone_back / ".provenance" / FILE).unlink()  # whoever does it on purpose
    with Ledger.open(gone_back) as ledger:
        for number in range(3):
            ledger.state("h/raw", Usage(f"y{number}"), key="lab")
        verifier = parse_vkey(ledger.keyring.vkey)
    (gone_back / ".provenance" / FILE).write_bytes(shown)
    with pytest.raises(LogFaultError, match="forked") as caught:
        Ledger.open(gone_back)
    evidence = encode_evidence(caught.value)
    earlier, later = verify_fork(evidence, verifier)
    assert earlier.size < later.size
    for place in range(0, len(evidence), 7):
        changed = bytearray(evidence)
        changed[place] ^= 1
        try:
            found = verify_fork(bytes(changed), verifier)
        except ProvenanceError:
            continue
        assert found == (earlier, later)


def test_what_is_remembered_only_grows_and_is_private(copy: Path) -> None:
    with Ledger.open(copy) as ledger:
        folder = ledger.layout.directory
        first = ledger.log.checkpoint().note
        ledger.remember_shown(first)
        ledger.state("h/raw", Usage("x"), key="lab")
        second = ledger.log.checkpoint().note
        remember_shown(folder, second)
        remember_shown(folder, first)
    assert (folder / FILE).read_bytes() == second
    assert (folder / FILE).stat().st_mode & 0o777 == 0o600
    (folder / FILE).write_bytes(second[:-9])
    with pytest.raises(StoreError, match="damaged"):
        Ledger.open(copy)


def test_what_was_published_is_remembered_and_waits_for_the_quorum(copy: Path, tmp_path: Path) -> None:
    with Ledger.open(copy) as ledger:
        ledger.state("h/raw", Usage("x"), key="lab")
        publisher = open_publisher(f"file://{tmp_path / 'public'}")
        size = publish_ledger(ledger, publisher).size
        shown = shown_checkpoint(ledger.layout.directory)
        assert shown is not None
        assert shown[1].size == size
        witness = encode_vkey(Cosigner("w.example/w", b"\x01" * 32).verifier)
        with ledger.keyring.editing_trust():
            trust = ledger.keyring.trust()
            ledger.keyring.write_trust(replace(trust, witnesses=(witness,), quorum=1))
        ledger.state("h/raw", Usage("y"), key="lab")
        with pytest.raises(WitnessError, match="too few"):
            publish_ledger(ledger, publisher)
        publisher.close()


def test_damage_is_no_fork(copy: Path) -> None:
    with Ledger.open(copy) as ledger:
        ledger.remember_shown(ledger.log.checkpoint().note)
        database = ledger.layout.database
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE tiles SET data = zeroblob(length(data))")
    connection.close()
    with Ledger.open(copy) as ledger:
        assert any("tile 0/0" in finding for finding in ledger.fsck().findings)
