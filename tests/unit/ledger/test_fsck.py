"""fsck finds every kind of damage: each byte string and row of the log is damaged in the file itself."""

from __future__ import annotations

import random
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from provenance.encoding import Digest
from provenance.errors import ProvenanceError, SignerError, StoreError
from provenance.ledger import FsckReport, Ledger


def _edit(folder: Path, *statements: str, **values: Any) -> None:
    """Run SQL on the closed ledger's file, with no constraint in the way."""
    with closing(sqlite3.connect(folder / ".provenance" / "ledger.db")) as database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            assert database.execute(statement, values).rowcount != 0, statement
        database.commit()


def _flip(folder: Path, table: str, column: str, where: str, position: int) -> None:
    """Flip one bit of one value, a byte string or text."""
    with closing(sqlite3.connect(folder / ".provenance" / "ledger.db")) as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        (value,) = database.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchone()
        raw = bytearray(value if isinstance(value, bytes) else value.encode())
        raw[position] ^= 1
        changed = bytes(raw) if isinstance(value, bytes) else raw.decode()
        assert database.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (changed,)).rowcount == 1
        database.commit()


def _fsck(folder: Path, *, independent: bool = False) -> FsckReport:
    with Ledger.open(folder, check_shown=False) as ledger:
        return ledger.fsck(independent=independent)


def test_a_sound_ledger_is_clean_for_both_implementations(copy: Path) -> None:
    report = _fsck(copy, independent=True)
    assert (report.clean, report.findings, report.notes) == (True, [], [])
    assert report.to_json() == {
        "clean": True,
        "entries": 3,
        "tiles": 1,
        "checkpoints": 3,
        "blobs": 5,
        "anchors": 2,
        "trees": 0,
        "independentRoots": 2,
        "independentProofs": 3,
        "notes": [],
        "findings": [],
    }


FLIPS = [
    ("segments", "data", "first = 0", 42, "entry 0: its leaf hash"),
    ("segments", "data", "first = 1", -40, "entry 1: its leaf hash"),
    ("segments", "data", "first = 2", 2, "entry 2: its leaf hash"),
    ("segments", "data", "first = 1", 0, "entry 1: entry bundle is cut"),
    ("segments", "data", "first = 1", 1, "entry 1: entry bundle"),
    ("tiles", "data", "level = 0", 0, "tile 0/0"),
    ("tiles", "data", "level = 0", 95, "tile 0/0"),
    ("checkpoint", "note", "id = 1", 2, "checkpoint of size 3"),
    ("checkpoint", "note", "id = 1", 25, "checkpoint of size 3"),
    ("checkpoint", "note", "id = 1", -20, "checkpoint of size 3"),
    ("checkpoint", "root", "id = 1", 3, "checkpoint says"),
    ("kept_checkpoints", "note", "size = 2", 25, "checkpoint of size 2"),
    ("kept_checkpoints", "note", "size = 2", -20, "checkpoint of size 2"),
    ("kept_checkpoints", "root", "size = 2", 0, "kept checkpoint of size 2"),
    ("outbox", "receipt", "size = 2", 10, "anchor 2"),
    ("outbox", "receipt", "size = 2", -100, "anchor 2"),
    ("outbox", "receipt", "size = 3", 1_500, "anchor 3"),
    ("outbox", "root", "size = 2", 0, "anchor 2"),
    ("outbox", "tx", "size = 2", 0, "anchor 2"),
    ("outbox", "raw", "size = 2", 9, "anchor 2"),
    ("outbox", "contract", "size = 2", 9, "anchor 2"),
    ("outbox", "publisher", "size = 2", 9, "anchor 2"),
    ("outbox", "origin", "size = 2", 0, "anchor 2"),
    ("datasets", "name", "entry_index = 0", 0, "index of entry 0"),
    ("datasets", "version", "entry_index = 0", 0, "index of entry 0"),
    ("datasets", "digest", "entry_index = 1", 0, "index of entry 1"),
    ("datasets", "file_root", "entry_index = 1", 0, "index of entry 1"),
    ("datasets", "kind", "entry_index = 2", 0, "index of entry 2"),
    ("datasets", "sensitivity", "entry_index = 2", 0, "index of entry 2"),
    ("datasets", "license", "entry_index = 2", 0, "index of entry 2"),
    ("datasets", "keyid", "entry_index = 0", 0, "index of entry 0"),
    ("datasets", "created", "entry_index = 0", 0, "index of entry 0"),
    ("datasets", "manifest", "entry_index = 0", 0, "index of entry 0"),
    ("datasets", "oms", "entry_index = 0", 0, "index of entry 0"),
    ("parents", "name", "child = 1", 0, "index of entry 1: the parents"),
    ("parents", "digest", "child = 2 AND position = 1", 0, "index of entry 2: the parents"),
    ("files", "path", "dataset = 0 AND path = 'a'", 0, "index of entry 0: the file a"),
    ("files", "digest", "dataset = 0 AND path = 'b'", 31, "index of entry 0: the file b"),
]


@pytest.mark.parametrize(("table", "column", "where", "position", "finding"), FLIPS)
def test_a_flipped_bit_is_found(copy: Path, table: str, column: str, where: str, position: int, finding: str) -> None:
    _flip(copy, table, column, where, position)
    report = _fsck(copy)
    assert any(finding in found for found in report.findings), report.findings


EDITS = [
    ("DELETE FROM segments WHERE first = 0", "entry 0 is missing"),
    ("DELETE FROM segments WHERE first = 1", "entry 1 is missing"),
    ("DELETE FROM segments WHERE first = 2", "checkpoint says 3"),
    ("UPDATE segments SET count = 2 WHERE first = 1", "entries 1 to 2: entry bundle has a wrong width"),
    ("DELETE FROM tiles", "tile 0/0"),
    ("UPDATE tiles SET data = substr(data, 1, 64)", "tile 0/0"),
    ("UPDATE tiles SET data = CAST(data || data AS BLOB)", "tile 0/0"),
    ("DELETE FROM checkpoint", "no checkpoint"),
    ("UPDATE checkpoint SET size = 2", "checkpoint says 2"),
    ("UPDATE checkpoint SET size = 4", "checkpoint says 4"),
    ("DELETE FROM kept_checkpoints WHERE size = 2", "anchor 2: its checkpoint of size 2 is missing"),
    ("UPDATE kept_checkpoints SET size = 1 WHERE size = 2", "kept checkpoint of size 1"),
    ("DELETE FROM outbox WHERE size = 2", "the anchor it was kept for is missing"),
    ("UPDATE outbox SET receipt = NULL WHERE size = 2", "anchor 2: it has no receipt"),
    ("UPDATE outbox SET size = 1 WHERE size = 2", "anchor 2"),
    ("UPDATE outbox SET chain_id = 1 WHERE size = 2", "anchor 2: its receipt is of another anchor"),
    (
        "UPDATE outbox SET receipt = (SELECT receipt FROM outbox WHERE size = 3) WHERE size = 2",
        "anchor 2: its receipt is of another anchor",
    ),
    ("DELETE FROM datasets WHERE entry_index = 0", "index of entry 0"),
    ("DELETE FROM parents WHERE child = 2 AND position = 1", "index of entry 2: the parents"),
    ("UPDATE parents SET parent_entry = NULL WHERE child = 1", "index of entry 1: the parents"),
    ("UPDATE parents SET parent_entry = 1 WHERE child = 2 AND position = 1", "index of entry 2: the parents"),
    ("DELETE FROM files WHERE path = 'a'", "index of entry 0: the file a"),
    ("UPDATE segments SET data = (SELECT data FROM segments WHERE first = 0) WHERE first = 1", "entry 1"),
    ("UPDATE segments SET data = x'00027b7d' WHERE first = 1", "entry 1"),
    ("UPDATE segments SET data = CAST(data || x'00' AS BLOB) WHERE first = 1", "entry 1: entry bundle is cut"),
]


@pytest.mark.parametrize(("statement", "finding"), EDITS)
def test_an_edited_or_deleted_row_is_found(copy: Path, statement: str, finding: str) -> None:
    _edit(copy, statement)
    report = _fsck(copy)
    assert any(finding in found for found in report.findings), report.findings
    assert report.to_json()["clean"] is False


@pytest.mark.parametrize("statement", [edit for edit, _ in EDITS if "segments" in edit or "tiles" in edit])
def test_the_independent_auditor_sees_damage_to_the_log_too(copy: Path, statement: str) -> None:
    _edit(copy, statement)
    report = _fsck(copy, independent=True)
    assert any(found.startswith("pymerkle") for found in report.findings) or "substr" in statement or "||" in statement


def test_two_entries_swapped_with_their_leaves_are_found(copy: Path) -> None:
    _edit(
        copy,
        "UPDATE segments SET first = 10 WHERE first = 0",
        "UPDATE segments SET first = 0 WHERE first = 1",
        "UPDATE segments SET first = 1 WHERE first = 10",
    )
    findings = _fsck(copy, independent=True).findings
    assert any("tile 0/0" in found for found in findings)
    assert any(found.startswith("pymerkle") for found in findings)


def _blob(ledger: Ledger, index: int, which: str) -> Path:
    digest: Digest = getattr(ledger.datasets()[index], which)
    return ledger.layout.blobs / digest.hex[:2] / digest.hex[2:]


@pytest.mark.parametrize("which", ["manifest", "oms"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: bytes([data[0] ^ 1]) + data[1:],
        lambda data: b"",
    ],
)
def test_a_damaged_blob_is_found_and_an_erased_one_is_no_damage(
    copy: Path, which: str, damage: Callable[[bytes], bytes]
) -> None:
    with Ledger.open(copy, check_shown=False) as ledger:
        path = _blob(ledger, 0, which)
        data = path.read_bytes()
        path.write_bytes(damage(data))
        assert any(found.startswith("blob ") for found in ledger.fsck().findings)
        path.unlink()
        report = ledger.fsck()
        assert report.clean
        assert any("is not kept here" in note for note in report.notes)
        assert ledger.verify("h/raw", ask_chain=False).sound


def test_a_key_that_is_not_trusted_is_a_note_and_a_wrong_signature_a_finding(copy: Path) -> None:
    with Ledger.open(copy, check_shown=False) as ledger:
        ledger.keyring.revoke("lab")
        assert ledger.fsck().clean  # what it signed was logged all the same
        trust = ledger.keyring.trust()
        ledger.keyring.write_trust(type(trust)())
        report = ledger.fsck()
        assert report.clean
        assert len(report.notes) == 3


def test_a_ledger_whose_log_key_was_exchanged_is_not_clean(copy: Path, tmp_path: Path) -> None:
    with Ledger.init(tmp_path / "other", origin="history.example/log") as other:
        key = other.keyring.log_key_path.read_bytes()
    (copy / ".provenance" / "keys" / "log.key").write_bytes(key)
    with pytest.raises(SignerError, match="holds another key"):
        _fsck(copy)
    (copy / ".provenance" / "keys" / "log.json").unlink()  # the list too: then it is that key's log, it says
    findings = _fsck(copy).findings
    assert len([found for found in findings if "checkpoint of size" in found]) == 3


def test_bytes_of_the_file_flipped_at_random_are_found_or_harmless(history: Path, tmp_path: Path) -> None:
    """Whatever fsck calls clean still verifies, receipts and all; and nothing but our errors comes out."""
    chance, outcomes = random.Random(3), {"refused": 0, "found": 0, "harmless": 0}
    original = (history / ".provenance" / "ledger.db").read_bytes()
    shutil.copytree(history, tmp_path / "flipped")
    place = tmp_path / "flipped" / ".provenance"
    for _ in range(120):
        damaged = bytearray(original)
        damaged[chance.randrange(100, len(damaged))] ^= 1 << chance.randrange(8)
        for leftover in place.glob("ledger.db-*"):
            leftover.unlink()
        (place / "ledger.db").write_bytes(damaged)
        try:
            with Ledger.open(tmp_path / "flipped") as ledger:
                if not ledger.fsck(independent=True).clean:
                    outcomes["found"] += 1
                    continue
                outcomes["harmless"] += 1
                report = ledger.verify("h/model", ask_chain=False)
                assert report.sound
                assert len(report.artefacts) == 3
                assert [row.size for row in ledger.anchors()] == [2, 3]
        except ProvenanceError as error:
            assert isinstance(error, StoreError)
            outcomes["refused"] += 1
    print(outcomes)
    assert outcomes["found"] > 5


def test_an_audit_without_the_auditor_says_how_to_get_it(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymerkle", None)
    with Ledger.open(copy, check_shown=False) as ledger, pytest.raises(StoreError, match="not installed"):
        ledger.fsck(independent=True)


def test_progress_reaches_its_end(copy: Path) -> None:
    seen: list[tuple[int, int]] = []
    with Ledger.open(copy, check_shown=False) as ledger:
        ledger.fsck(progress=lambda done, total: seen.append((done, total)))
    assert seen == [(3, 3)]
