"""A store that failed once works again: no connection outlives its failure."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from provenance.errors import StoreError
from provenance.stores.sqlite import connections
from provenance.stores.sqlite import store as module
from provenance.stores.sqlite.store import SqliteStore


def _append(store: SqliteStore, number: int) -> None:
    with store.transaction() as tx:
        tx.append_entries(number, [b"envelope"])


def test_a_file_that_could_not_be_opened_for_writing_once_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite falls back to reading where it may not write, says so at the first write, and would keep to it."""
    genuine, modes = connections.connect, list[str]()

    def connect(path: Path, mode: str, timeout_s: float) -> sqlite3.Connection:
        modes.append(mode)
        return genuine(path, "ro" if len(modes) == 1 else mode, timeout_s)

    with SqliteStore(tmp_path / "ledger.db", create=True) as store:
        monkeypatch.setattr(module, "connect", connect)
        with pytest.raises(StoreError, match="cannot be written"):
            _append(store, 0)
        _append(store, 0)
        _append(store, 1)
        assert modes == ["rw", "rw"]
        assert store.size() == 2


def test_an_error_on_a_disk_without_space_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What SQLite calls an I/O error when its shared memory does not fit."""
    from provenance.stores.sqlite import failures

    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    error.sqlite_errorname = "SQLITE_IOERR_SHMSIZE"
    assert "refused to read or write" in str(failures.translated(error, tmp_path / "ledger.db", "opening it"))
    monkeypatch.setattr(failures, "_SHARED_MEMORY_BYTES", 2**62)
    told = failures.translated(error, tmp_path / "ledger.db", "opening it")
    assert "the disk is full" in str(told)
    assert told.hint is not None and "free some space" in told.hint
