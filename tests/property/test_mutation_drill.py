"""A drill: 200 random edits of files and of records, every one caught and located.

Short: a few hundred kilobytes. With PROVENANCE_LONG=1: 1 GiB of files, a million rows.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from provenance.fingerprint import ChangeKind, FileList, diff_files
from provenance.fingerprint.chunks import DamageKind
from provenance.ledger.chunking import locate_damage, make_chunk_map
from provenance.ledger.record_differences import compare_tables
from provenance.ledger.records import fingerprint_records
from provenance.sources import open_source
from provenance.tables import open_table

LONG = os.environ.get("PROVENANCE_LONG") == "1"
EDITS = 200
FILES, FILE_BYTES, CHUNK_BYTES = (64, 16 * 2**20, 2**20) if LONG else (24, 20_000, 2**12)
ROWS = 1_000_000 if LONG else 2_000
FILE_EDITS = ("bit", "truncate", "append", "swap", "rename", "remove", "add", "same size")
RECORD_EDITS = ("value", "below printing precision", "null", "swap", "sign of zero", "type", "name", "order", "append")


Change = tuple[ChangeKind, str]


def _edit_file(
    rng: random.Random, folder: Path, kind: str, aside: Path
) -> tuple[set[Change], tuple[DamageKind, int, int] | None]:
    """Edit one file (its old self kept in `aside`); what must be reported, and in which bytes."""
    one, other = rng.sample(sorted(path.name for path in folder.iterdir()), 2)
    path = folder / one
    shutil.copy2(path, aside / one)
    size = path.stat().st_size
    match kind:
        case "bit" | "same size":
            with path.open("r+b") as file:
                place = rng.randrange(size)
                file.seek(place)
                byte = file.read(1)[0]
                file.seek(place)
                file.write(bytes([byte ^ (1 << rng.randrange(8))]))
            if kind == "same size":
                os.utime(path, ns=(10**18, 10**18))
            begin = place // CHUNK_BYTES * CHUNK_BYTES
            damage = DamageKind.CHANGED, begin, min(begin + CHUNK_BYTES, size)
        case "truncate":
            kept = size - rng.randrange(1, size)
            os.truncate(path, kept)
            damage = DamageKind.MISSING, kept, size
        case "append":
            with path.open("ab") as file:
                more = file.write(b"\0" * rng.randrange(1, 9))
            damage = DamageKind.ADDED, size, size + more
        case "swap":
            path.rename(folder / "held")
            (folder / other).rename(path)
            (folder / "held").rename(folder / other)
            return {(ChangeKind.SWAPPED, min(one, other))}, None
        case "rename":
            path.rename(folder / "other name")
            return {(ChangeKind.RENAMED, one)}, None
        case "remove":
            path.unlink()
            return {(ChangeKind.REMOVED, one)}, None
        case _:
            (folder / "new").write_bytes(b"new")
            return {(ChangeKind.ADDED, "new")}, None
    return {(ChangeKind.CHANGED, one)}, damage


def test_every_edit_of_a_file_is_caught_and_located(tmp_path: Path) -> None:
    rng = random.Random("files")
    folder, aside = tmp_path / "set", tmp_path / "aside"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number:03}").write_bytes(rng.randbytes(FILE_BYTES + number))
    source = open_source(folder)
    before = source.fingerprint()
    assert isinstance(before.files, FileList)
    chunks = make_chunk_map(source, before, chunk_bytes=CHUNK_BYTES)
    source.check_unchanged()
    for number in range(EDITS):
        aside.mkdir()
        whole = {path.name: path.stat().st_ino for path in folder.iterdir()}
        expected, damage = _edit_file(rng, folder, FILE_EDITS[number % len(FILE_EDITS)], aside)
        after = open_source(folder).fingerprint()
        assert after.digest != before.digest
        assert {(change.kind, change.path) for change in diff_files(before.files, after.files)} == expected
        located = locate_damage(folder, chunks, before, after)
        assert set(located) == ({path for _, path in expected} if damage is not None else set())
        ranges = {(one.kind, one.begin, one.end) for found in located.values() for one in found}
        assert damage is None or damage in ranges
        assert {kind for kind, _, _ in ranges} <= {damage and damage[0], DamageKind.UNCHECKED}
        _restore(folder, aside, whole)
    assert open_source(folder).fingerprint().digest == before.digest


def _restore(folder: Path, aside: Path, whole: dict[str, int]) -> None:
    """Every file under its name again: swapped ones by their inodes, the edited one from its copy."""
    held = {path.stat().st_ino: path for path in folder.iterdir()}
    for name, inode in whole.items():
        if inode in held and held[inode].name != name:
            held[inode].rename(folder / f"back {name}")
    for path in list(folder.iterdir()):
        if path.name.startswith("back "):
            path.rename(folder / path.name.removeprefix("back "))
        elif path.name not in whole:
            path.unlink()
    for path in aside.iterdir():
        shutil.copy2(path, folder / path.name)
    shutil.rmtree(aside)


def _table(rng: np.random.Generator) -> pa.Table:
    return pa.table(
        {
            "id": np.arange(ROWS),
            "value": np.round(rng.random(ROWS) * 100, 3),
            "zero": np.zeros(ROWS),
            "text": pa.array([f"text {number % 97}" for number in range(ROWS)]),
        }
    )


def _edit_table(rng: random.Random, table: pa.Table, kind: str) -> tuple[pa.Table, set[tuple[int, str]]]:
    """The edited table, and the rows and columns that must be named; empty where the schema or length says it."""
    row, other = rng.sample(range(ROWS), 2)

    def put(column: str, value: Any) -> pa.Table:
        index = table.schema.get_field_index(column)
        data = table[column].combine_chunks()
        piece = pa.array([value], data.type)
        return table.set_column(index, column, pa.concat_arrays([data.slice(0, row), piece, data.slice(row + 1)]))

    match kind:
        case "value":
            return put("text", "other"), {(row, "text")}
        case "below printing precision":
            value = table["value"][row].as_py()
            return put("value", float(np.nextafter(value, 1e9))), {(row, "value")}
        case "null":
            return put("id", None), {(row, "id")}
        case "sign of zero":
            return put("zero", -0.0), {(row, "zero")}
        case "swap":
            order = np.arange(ROWS)
            order[[row, other]] = order[[other, row]]
            return table.take(order), {(number, "id") for number in (row, other)}
        case "type":
            return table.set_column(0, "id", table["id"].cast(pa.int32())), set()
        case "name":
            return table.rename_columns(["key", *table.column_names[1:]]), set()
        case "order":
            return table.select(["value", "id", "zero", "text"]), set()
    return pa.concat_tables([table, table.slice(row, 1)]), set()


def test_every_edit_of_a_record_is_caught_and_located() -> None:
    rng = random.Random("records")
    table = _table(np.random.default_rng(5))
    before = fingerprint_records(open_table(table), with_index=False).fingerprint
    for number in range(EDITS):
        kind = RECORD_EDITS[number % len(RECORD_EDITS)]
        edited, expected = _edit_table(rng, table, kind)
        after = fingerprint_records(open_table(edited), with_index=False).fingerprint
        assert (after.root, after.schema, after.count) != (before.root, before.schema, before.count), kind
        difference = compare_tables(open_table(table), open_table(edited))
        assert not difference.same
        found = {(change.row, name) for change in difference.rows for name in change.names}
        assert expected <= found, kind
        if kind != "swap":
            assert found == expected or not expected, kind
        if kind in ("type", "name", "order"):
            assert not difference.same_schema
        if kind == "append":
            assert (difference.before, difference.after, difference.changed) == (ROWS, ROWS + 1, 0)
