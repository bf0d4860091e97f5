"""Tables: Parquet to a record root, beside what anybody would write, and beside reading the file alone."""

from __future__ import annotations

import datetime
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from provenance.ledger.records import fingerprint_records
from provenance.tables import open_table
from tests.bench.fingerprint.report import Row, interleaved

_GROUP_ROWS = 125_000
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_PEAK = """
import re, sys
from pathlib import Path
from provenance.ledger.records import fingerprint_records
from provenance.tables import open_table
place, folder, index = sys.argv[1:]
fingerprint_records(open_table(place), folder=Path(folder), with_index=index == "index")
# Not ru_maxrss: that keeps what the process that started this one had.
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024)
"""


def _texts(rng: np.random.Generator, rows: int, low: int, high: int) -> pa.Array:
    lengths = rng.integers(low, high, rows)
    offsets = np.zeros(rows + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    data = rng.integers(97, 123, int(offsets[-1]), dtype=np.uint8)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(data))


def make_table(path: Path, rows: int) -> None:
    """Twelve mixed columns: four integers, three doubles, a boolean, a timestamp, two texts and a category."""
    rng = np.random.default_rng(7)
    writer = None
    for start in range(0, rows, _GROUP_ROWS):
        count = min(_GROUP_ROWS, rows - start)
        table = pa.table(
            {
                "id": pa.array(np.arange(start, start + count)),
                "user": pa.array(rng.integers(0, 1 << 31, count)),
                "count": pa.array(rng.integers(0, 300, count).astype(np.int32)),
                "delta": pa.array(rng.integers(-70_000, 70_000, count), mask=rng.random(count) < 0.02),
                "price": pa.array(rng.random(count) * 1000),
                "score": pa.array(rng.standard_normal(count)),
                "ratio": pa.array(np.round(rng.random(count), 2), mask=rng.random(count) < 0.05),
                "ok": pa.array(rng.random(count) < 0.5),
                "at": pa.array(1_700_000_000_000_000 + rng.integers(0, 10**12, count)).cast(pa.timestamp("us", "UTC")),
                "name": _texts(rng, count, 4, 20),
                "note": _texts(rng, count, 0, 24),
                "kind": pa.array(rng.choice(["alpha", "beta", "gamma", "delta", "epsilon"], count)),
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table, row_group_size=_GROUP_ROWS)
    if writer is not None:
        writer.close()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return round((value - _EPOCH).total_seconds() * 1e6)
    return value


def _by_hand(path: Path, groups: int) -> Callable[[], None]:
    """What anybody would write: rows as Python objects, cbor2, hashlib, nodes with hashlib."""

    def run() -> None:
        file = pq.ParquetFile(path)
        level = []
        for group in range(groups):
            for row in file.read_row_group(group).to_pylist():
                data = cbor2.dumps([_plain(value) for value in row.values()], canonical=True)
                level.append(hashlib.sha256(b"\0" + data).digest())
        while len(level) > 1:
            pairs = zip(level[::2], level[1::2], strict=False)
            level = [hashlib.sha256(b"\1" + a + b).digest() for a, b in pairs] + (level[-1:] if len(level) % 2 else [])

    return run


def _decode(path: Path) -> Callable[[], None]:
    """Reading every row group with both cores, and nothing else."""

    def group(number: int) -> int:
        return int(pq.ParquetFile(path).read_row_group(number, use_threads=False).num_rows)

    def run() -> None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            sum(pool.map(group, range(pq.ParquetFile(path).num_row_groups)))

    return run


def _ours(path: Path, *, index: bool = False, folder: Path | None = None) -> Callable[[], None]:
    def run() -> None:
        fingerprint_records(open_table(path), with_index=index, folder=folder).close()

    return run


def _peak_bytes(path: Path, folder: Path, index: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(path), str(folder), index], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


def run(*, quick: bool, folder: Path) -> list[Row]:
    """Rows for speed and for memory."""
    count = 1_000_000 if quick else 10_000_000
    path = folder / "table.parquet"
    make_table(path, count)
    rounds = 3 if quick else 5
    few = 1
    hand, decode, ours, indexed = interleaved(
        [_by_hand(path, few), _decode(path), _ours(path), _ours(path, index=True, folder=folder / "trees")], rounds
    )
    per_row = [hand / (few * _GROUP_ROWS) * 1e9, *(figure / count * 1e9 for figure in (decode, ours, indexed))]
    text = [f"{figure:,.0f} ns a row" for figure in per_row]
    title = f"Parquet to record root, {count:,} rows, 12 columns"
    rows = [
        Row(title, "to_pylist + cbor2 + hashlib", "at least 12x", per_row[0] / per_row[2], text[2], text[0],
            per_row[0] / per_row[2] >= 12),
        Row(title, "decoding alone, 2 cores", "at least 0.3x", per_row[1] / per_row[2], text[2], text[1],
            per_row[1] / per_row[2] >= 0.3),
        Row(f"{title}, trees and index stored", "decoding alone, 2 cores", "(no goal)", per_row[1] / per_row[3],
            text[3], text[1], None),
    ]  # fmt: skip
    limit = 64 * count + 300 * 10**6
    for kind in ("no index", "index"):
        peak = _peak_bytes(path, folder / "peak", kind)
        rows.append(
            Row(f"peak memory, {count:,} rows, {kind}", "", "at most 64 bytes a row plus 300 MB", None,
                f"{peak / 1e6:,.0f} MB", f"{limit / 1e6:,.0f} MB allowed", peak <= limit)
        )  # fmt: skip
    return rows
