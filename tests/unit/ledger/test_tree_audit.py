"""fsck of stored trees: what is damaged, exchanged or gone is told, each for what it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from provenance.ledger import Ledger
from provenance.ledger.fingerprinting import Wanted
from provenance.ledger.fsck_report import FsckReport
from provenance.ledger.records import fingerprint_records
from provenance.ledger.tree_audit import TreeAudit
from provenance.tables import open_table

ROWS = 1_000


@pytest.fixture
def kept(ledger: Ledger, tmp_path: Path) -> Iterator[Ledger]:
    pq.write_table(pa.table({"id": [number // 2 for number in range(ROWS)]}), tmp_path / "rows.parquet")
    ledger.register(tmp_path / "rows.parquet", "a/b", "1", anchor=False, wanted=Wanted(records=True, chunks=True))
    yield ledger


def _file(ledger: Ledger, suffix: str) -> Path:
    (path,) = ledger.layout.trees.glob(f"*{suffix}")
    return path


def test_trees_that_are_whole_are_counted(kept: Ledger) -> None:
    report = kept.fsck()
    assert (report.clean, report.notes, report.trees) == (True, [], 2)


@pytest.mark.parametrize("suffix", [".tree", ".index"])
@pytest.mark.parametrize("part", range(5))
def test_a_flipped_bit_is_found(kept: Ledger, suffix: str, part: int) -> None:
    path = _file(kept, suffix)
    data = bytearray(path.read_bytes())
    data[(len(data) - 1) * part // 4] ^= 4
    path.chmod(0o600)
    path.write_bytes(data)
    report = kept.fsck()
    assert not report.clean
    assert all(finding.startswith("records of entry 0: ") for finding in report.findings)


@pytest.mark.parametrize("suffix", [".tree", ".index"])
def test_a_tree_that_is_gone_is_a_note(kept: Ledger, suffix: str) -> None:
    _file(kept, suffix).unlink()
    report = kept.fsck()
    assert report.clean
    assert report.notes[0].startswith("records of entry 0: the records' tree is not kept here")


def test_a_whole_tree_of_other_rows_is_found(kept: Ledger, tmp_path: Path) -> None:
    other = fingerprint_records(open_table(pa.table({"id": range(7)})), folder=tmp_path / "other")
    other.close()
    for suffix in (".tree", ".index"):
        target = _file(kept, suffix)
        target.unlink()
        (source,) = (tmp_path / "other").glob(f"*{suffix}")
        shutil.copy(source, target)
        assert any("stored tree is another one" in finding for finding in kept.fsck().findings)


def test_a_chunk_map_that_is_gone_is_a_note(kept: Ledger, tmp_path: Path) -> None:
    digest = kept.proofs("a/b@1").statement.parameters.chunks
    assert digest is not None
    kept.blobs.remove(digest)
    report = kept.fsck()
    assert (report.clean, report.notes) == (True, ["entry 0: its chunk map is not kept here"])


def test_an_index_of_another_table_of_the_same_rows_is_found(tmp_path: Path) -> None:
    """Each file is whole, and so are both roots: only together they show that row numbers are of another table."""
    made = [fingerprint_records(open_table(pa.table({"a": rows})), folder=tmp_path) for rows in ([1, 2, 3], [3, 2, 1])]
    paths = sorted(tmp_path.glob("*.index"))
    for result in made:
        result.close()
    held = paths[0].read_bytes()
    paths[0].write_bytes(paths[1].read_bytes())
    paths[1].write_bytes(held)
    report = FsckReport()
    audit = TreeAudit(tmp_path, report)
    for number, result in enumerate(made):
        audit.add(number, result.fingerprint)
    audit.run()
    assert len(report.findings) == 2
    assert all("of the index is not that of the row it names" in finding for finding in report.findings)
    assert report.trees == 4


def test_a_statement_of_another_count_is_found(tmp_path: Path) -> None:
    result = fingerprint_records(open_table(pa.table({"a": [1, 1, 2]})), folder=tmp_path)
    result.close()
    report = FsckReport()
    audit = TreeAudit(tmp_path, report)
    audit.add(0, replace(result.fingerprint, count=4))
    audit.run()
    assert report.findings == ["records of entry 0: a tree has 3 leaves, the statement says 4"]
