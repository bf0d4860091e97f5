"""Fingerprints made by a Ray cluster of several processes: those made here, also when a worker is killed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from provenance.engines import open_engine
from provenance.engines.base import Engine
from provenance.fingerprint import Algorithm
from provenance.ledger.fingerprinting import Wanted, find_fingerprint
from provenance.ledger.records import fingerprint_records
from provenance.sources import Progress, Reading, open_source
from provenance.tables import open_table

pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="Ray is not locked for Python 3.14: it has no wheel"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Engine]:
    with open_engine("ray") as engine:
        yield engine


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of several sizes, and a table of many row groups in two shards."""
    made = tmp_path_factory.mktemp("cluster")
    rng = np.random.default_rng(3)
    for number in range(40):
        (made / f"file{number:02}.bin").write_bytes(rng.bytes(int(rng.integers(0, 400_000))))
    for shard in range(2):
        rows = 50_000
        table = pa.table(
            {
                "id": np.arange(rows) + shard * rows,
                "value": rng.random(rows),
                "text": pa.array([f"row {number}" if number % 97 else None for number in range(rows)]),
            }
        )
        pq.write_table(table, made / f"part{shard}.parquet", row_group_size=5_000)
    return made


def _workers() -> list[int]:
    """The cluster's processes that run tasks now."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if (process.info["cmdline"] or [""])[0].startswith("ray::_apply")
    ]


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_files_hashed_by_the_cluster_are_those_hashed_here(cluster: Engine, folder: Path, algorithm: Algorithm) -> None:
    reading = Reading(algorithm=algorithm)
    here = open_source(folder, reading).fingerprint()
    seen: list[Progress] = []
    assert open_source(folder, reading).fingerprint(seen.append, workers=cluster) == here
    assert seen[-1].done_bytes == seen[-1].total_bytes == here.document.total_bytes


def test_records_hashed_by_the_cluster_are_those_hashed_here(cluster: Engine, folder: Path) -> None:
    table = open_table([folder / "part0.parquet", folder / "part1.parquet"])
    here = fingerprint_records(table)
    assert here.fingerprint.count == 100_000
    there = fingerprint_records(table, workers=cluster)
    assert (there.fingerprint, there.schema) == (here.fingerprint, here.schema)


def test_a_killed_worker_changes_nothing(cluster: Engine, folder: Path) -> None:
    here = open_source(folder).fingerprint()
    killed: list[int] = []

    def kill(progress: Progress) -> None:
        """Kills whoever works on this, once, in the middle of it."""
        if progress.done_files >= 5 and not killed:
            for pid in _workers()[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    table = open_table([folder / "part0.parquet", folder / "part1.parquet"])
    expected = fingerprint_records(table).fingerprint
    for _ in range(20):
        assert open_source(folder).fingerprint(kill, workers=cluster) == here
        assert fingerprint_records(table, workers=cluster, progress=kill).fingerprint == expected
        if killed:
            break
    assert killed


def test_the_engine_is_named_where_a_fingerprint_is_wanted(cluster: Engine, folder: Path) -> None:
    wanted = Wanted(reading=Reading(algorithm=Algorithm.BLAKE3), records=True, engine="ray")
    here = find_fingerprint(folder, Wanted(reading=Reading(algorithm=Algorithm.BLAKE3), records=True))
    assert find_fingerprint(folder, wanted).fingerprint == here.fingerprint
