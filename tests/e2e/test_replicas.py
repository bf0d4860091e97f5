"""Replicas on one PostgreSQL database: what happens when they write at once, and when they or the server die."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provenance.errors import ConflictError
from provenance.ledger import Ledger
from provenance.stores import open_store
from tests.conformance.stores.samples import append, assert_whole, envelope
from tests.paths import PROJECT
from tests.postgresql import PostgresServer

REPLICAS = ("a", "b", "c")
EACH = 8
TAKEOVER_S = 5.0
WAIT_S = 120


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "tests.e2e.replica_worker", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=PROJECT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def finish(process: subprocess.Popen[str], stop: str | None = None) -> list[str]:
    """The lines it printed, once it has ended well."""
    out, errors = process.communicate(stop, timeout=WAIT_S)
    assert (process.returncode, errors) == (0, ""), errors
    return out.splitlines()


def make_replica(first: Path, folder: Path) -> Path:
    """A second replica, made as docs/architecture.md says; the folder of blobs is shared."""
    place = folder / ".provenance"
    place.mkdir(parents=True, mode=0o700)
    for name in ("config.toml", "trust.json"):
        shutil.copy2(first / ".provenance" / name, place / name)
    shutil.copytree(first / ".provenance" / "keys", place / "keys")
    (place / "blobs").symlink_to(first / ".provenance" / "blobs", target_is_directory=True)
    return folder


def test_three_processes_register_at_once_and_nothing_is_lost_or_doubled(tmp_path: Path, database: str) -> None:
    first = tmp_path / "a"
    with Ledger.init(first, origin="replicas.example/log", database=database) as ledger:
        ledger.keyring.new("someone", algorithm="ed25519")
    folders = [first, *(make_replica(first, tmp_path / name) for name in REPLICAS[1:])]
    workers = [start("register", folder, name, str(EACH)) for folder, name in zip(folders, REPLICAS, strict=True)]
    indexes = [int(line) for worker in workers for line in finish(worker)]
    assert sorted(indexes) == list(range(len(REPLICAS) * EACH))
    assert not (first / ".provenance" / "ledger.db").exists()
    for folder in folders:
        with Ledger.open(folder) as ledger:
            assert ledger.log.size() == len(indexes)
            names = {f"replicas/{name}-{number}" for name in REPLICAS for number in range(EACH)}
            assert {f"{row.namespace}/{row.name}" for row in ledger.datasets(limit=100)} == names
            report = ledger.fsck()
            assert report.clean, report.findings
            assert ledger.verify("replicas/b-3").verified


def test_two_ledgers_that_were_given_one_database_do_not_mix(tmp_path: Path, database: str) -> None:
    ledgers = [Ledger.init(tmp_path / name, origin=f"{name}.example/log", database=database) for name in ("a", "b")]
    for name, ledger in zip(("a", "b"), ledgers, strict=True):
        with ledger:
            ledger.keyring.new("someone", algorithm="ed25519")
            data = tmp_path / f"data-{name}"
            data.mkdir()
            (data / "rows.csv").write_text(name)
            if name == "a":
                assert ledger.register(data, "some/rows", "1", anchor=False).index == 0
            else:
                with pytest.raises(ConflictError, match=r"expected b\.example/log; got a\.example/log"):
                    ledger.register(data, "other/rows", "1", anchor=False)
                assert ledger.log.size() == 1
    with pytest.raises(ConflictError, match="holds a ledger already"):
        Ledger.init(tmp_path / "c", database=database)


@pytest.mark.parametrize("how", ["idle", "busy"])
def test_another_writes_within_5_s_after_the_holder_of_the_lock_was_killed(database: str, how: str) -> None:
    with open_store(database, create=True) as store:
        with store.transaction() as tx:
            append(tx, [envelope(0)])
        holder = start("hold", database, how)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        time.sleep(0.2)
        holder.kill()
        killed = time.monotonic()
        with store.transaction() as tx:
            append(tx, [envelope(1)])
        assert time.monotonic() - killed < TAKEOVER_S
        holder.communicate(timeout=WAIT_S)
        assert assert_whole(store) == 2, "what the killed one had not committed is not there"


def test_nothing_acknowledged_is_missing_after_the_server_was_stopped_in_the_middle(
    tmp_path: Path, database: str, postgres: PostgresServer
) -> None:
    open_store(database, create=True).close()
    # Into files: a pipe that nobody reads would hold the workers up.
    workers = [start("append", database, name, tmp_path / name) for name in REPLICAS]
    try:
        deadline = time.monotonic() + WAIT_S
        while not all((tmp_path / name).exists() and (tmp_path / name).stat().st_size for name in REPLICAS):
            assert time.monotonic() < deadline, "a worker does not append"
            time.sleep(0.02)
        for _ in range(3):
            wait_for_growth(database, committed(database))
            with postgres.down("immediate"):
                time.sleep(0.3)
        wait_for_growth(database, committed(database))
    finally:
        for worker in workers:
            finish(worker, "stop\n")
    lines = [line for name in REPLICAS for line in (tmp_path / name).read_text().splitlines()]
    failed = [line for line in lines if line.startswith("failed ")]
    assert failed and all(database in line for line in failed)
    with open_store(database) as store:
        size = assert_whole(store)
        stored = [line.split(" ")[1:] for line in lines if line.startswith("stored ")]
        assert size >= len(stored) > 10
        for index, text in stored:
            entry = store.entry(int(index))
            assert entry is not None and entry.envelope.decode() == text
        assert len({index for index, _ in stored}) == len(stored)
        assert store.check() == []


def committed(url: str) -> int:
    with open_store(url, read_only=True) as store:
        return store.size()


def wait_for_growth(url: str, before: int) -> None:
    """Return once ten more entries are there."""
    deadline = time.monotonic() + WAIT_S
    with open_store(url, read_only=True) as store:
        while store.size() < before + 10:
            assert time.monotonic() < deadline, "nobody appends"
            time.sleep(0.02)


def test_a_read_and_a_write_go_on_after_the_server_was_restarted(database: str, postgres: PostgresServer) -> None:
    with open_store(database, create=True) as store:
        with store.transaction() as tx:
            append(tx, [envelope(0)])
        with store.snapshot() as snapshot:
            assert (store.size(), snapshot.size()) == (1, 1)
        with postgres.down():
            pass
        assert store.size() == 1
        with store.snapshot() as snapshot:
            assert snapshot.size() == 1
        with store.transaction() as tx:
            append(tx, [envelope(1)])
        assert assert_whole(store) == 2
