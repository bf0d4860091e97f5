"""A log in a folder: regular files only, and no larger than they may be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provenance.errors import LogError, MalformedError
from provenance.log import EntriesPath, TilePath
from provenance.logs import open_log


def test_files_are_read_at_their_paths(tmp_path: Path) -> None:
    (tmp_path / "tile/0/000.p").mkdir(parents=True)
    (tmp_path / "tile/0/000.p/2").write_bytes(b"h" * 64)
    (tmp_path / "checkpoint").write_bytes(b"note\n")
    for address in (str(tmp_path), f"file://{tmp_path}"):
        log = open_log(address)
        assert (log.checkpoint(), log.read(TilePath(0, 0, 2)), log.is_local) == (b"note\n", b"h" * 64, True)
        assert log.read(TilePath(0, 0)) is None
        assert log.read(EntriesPath(0)) is None
        log.close()


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "tile/0").mkdir(parents=True)
    os.mkfifo(tmp_path / "checkpoint")
    os.mkfifo(tmp_path / "tile/0/000")
    (tmp_path / "tile/0/001").mkdir()
    log = open_log(str(tmp_path))
    assert log.read(TilePath(0, 0)) is None
    assert log.read(TilePath(0, 1)) is None
    with pytest.raises(LogError, match="no log here"):
        log.checkpoint()


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tile/0").mkdir(parents=True)
    (tmp_path / "tile/0/000").write_bytes(bytes(8_193))
    with pytest.raises(LogError, match="too large"):
        open_log(str(tmp_path)).read(TilePath(0, 0))


@pytest.mark.parametrize("place", ["x\x00y", "/proc/self/mem/x"])
def test_odd_places_hold_no_log(place: str) -> None:
    with pytest.raises(LogError):
        open_log(place).checkpoint()


@pytest.mark.parametrize("address", ["", "gopher://x", "s3://b/c"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(MalformedError, match="not the address"):
        open_log(address)
