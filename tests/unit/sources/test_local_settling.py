"""Writers through shared memory maps: what they store is found, though it need not leave a time on the file."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from provenance.errors import SourceError
from provenance.fingerprint import Algorithm
from provenance.sources import Reading, open_source
from provenance.sources.local import cache, settling
from provenance.sources.local.hashing import hash_file
from provenance.sources.local.listing import Identity, identify

PAGES = 2_048
_PAGE = mmap.PAGESIZE


class Map:
    """A file that is mapped for writing, all its pages dirty, its descriptor closed."""

    def __init__(self, path: Path, pages: int) -> None:
        path.write_bytes(bytes(_PAGE * pages))
        self._libc, self._size = ctypes.CDLL(None, use_errno=True), _PAGE * pages
        self._libc.mmap.restype = ctypes.c_void_p
        self._libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        descriptor = os.open(path, os.O_RDWR)
        self._place = self._libc.mmap(
            None, self._size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, descriptor, 0
        )
        os.close(descriptor)
        for page in range(pages):
            self.store(page, 1)

    def store(self, page: int, value: int) -> None:
        ctypes.memset(self._place + page * _PAGE, value, 1)

    def close(self) -> None:
        self._libc.munmap(ctypes.c_void_p(self._place), ctypes.c_size_t(self._size))


@pytest.fixture
def mapped(tmp_path: Path) -> Iterator[Map]:
    (tmp_path / "set").mkdir()
    found = Map(tmp_path / "set" / "a", PAGES)
    yield found
    found.close()


def _state(path: Path) -> Identity:
    return identify(path.lstat())


@pytest.fixture(params=["lease", "whole", "file"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way to have pages written back; a tmpfs has none of them."""
    monkeypatch.setattr(settling, "_written_back", {})
    if request.param != "lease":
        monkeypatch.setattr(settling, "_kind", lambda _device: "overlay")
    if request.param == "file":
        monkeypatch.setattr(settling, "_write_back_all", lambda _descriptor: False)


def test_such_a_store_leaves_no_time_at_all(tmp_path: Path, mapped: Map) -> None:
    """What all this is about: if it did, the other tests would show nothing."""
    path = tmp_path / "set" / "a"
    time.sleep(0.05)
    before = _state(path), sha256(path.read_bytes()).digest()
    mapped.store(7, 2)
    assert _state(path) == before[0]
    assert sha256(path.read_bytes()).digest() != before[1]


@pytest.mark.usefixtures("_way")
def test_a_store_while_a_file_is_read_is_a_change(tmp_path: Path, mapped: Map) -> None:
    path = tmp_path / "set" / "a"
    time.sleep(0.05)
    stored: list[int] = []

    def advance(_count: int) -> None:
        if not stored:
            stored.append(1)
            mapped.store(PAGES - 1, 2)

    with pytest.raises(SourceError, match="changed while it was read"):
        hash_file(str(path), _state(path), Algorithm.SHA256, advance)
    assert stored


@pytest.mark.usefixtures("_way")
def test_a_store_after_a_file_was_remembered_has_it_read_again(
    tmp_path: Path, mapped: Map, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "RACY_NS", 0)
    reading = Reading(cache=tmp_path / "cache")
    time.sleep(0.05)
    first = open_source(tmp_path / "set", reading).fingerprint()
    for value in range(2, 6):
        time.sleep(0.05)
        mapped.store(3, value)
        again = open_source(tmp_path / "set", reading).fingerprint()
        assert again.digest != first.digest
        assert again.files[0].digest.raw == sha256((tmp_path / "set" / "a").read_bytes()).digest()
        first = again


@pytest.mark.usefixtures("_way")
def test_many_small_files_that_are_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same by a crew of processes."""
    monkeypatch.setattr(cache, "RACY_NS", 0)
    folder = tmp_path / "many"
    folder.mkdir()
    maps = [Map(folder / f"{number:04}", 1) for number in range(1_200)]
    try:
        reading = Reading(cache=tmp_path / "cache")
        time.sleep(0.05)
        first = open_source(folder, reading).fingerprint()
        time.sleep(0.05)
        maps[700].store(0, 9)
        again = open_source(folder, reading).fingerprint()
        changed = [entry.path for old, entry in zip(first.files, again.files, strict=True) if old != entry]
        assert changed == ["0700"]
        assert again.reread is not None
        assert "0700" in again.reread
    finally:
        for one in maps:
            one.close()


def test_memory_file_systems_are_never_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a").write_bytes(b"a")
    monkeypatch.setattr(cache, "RACY_NS", -(10**12))
    reading = Reading(cache=tmp_path / "cache")
    for kind, reread in (("tmpfs", ("a",)), ("ext4", ())):
        monkeypatch.setattr(settling, "_kind", lambda _device, kind=kind: kind)
        open_source(tmp_path / "set", reading).fingerprint()
        assert open_source(tmp_path / "set", reading).fingerprint().reread == reread


def test_a_memory_file_system_is_known() -> None:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        pytest.skip("no memory file system at /dev/shm")
    assert not settling.keeps_times(folder.stat().st_dev)


def test_no_lease_is_left_and_no_signal_comes(tmp_path: Path) -> None:
    """A writer that comes after is neither held up nor are we told of it."""
    path = tmp_path / "a"
    path.write_bytes(b"a")
    told: list[int] = []
    before = signal.signal(signal.SIGIO, lambda number, _frame: told.append(number))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        settling.settle(descriptor, _state(path))
        started = time.monotonic()
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        assert time.monotonic() - started < 1
    finally:
        os.close(descriptor)
        signal.signal(signal.SIGIO, before)
    assert not told


def test_an_old_file_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a")

    def refuse(*_of: object) -> None:
        raise AssertionError

    monkeypatch.setattr("provenance.sources.local.hashing.settle", refuse)
    monkeypatch.setattr("provenance.sources.local.hashing.RECENT_NS", -(10**12))
    assert hash_file(str(path), _state(path), Algorithm.SHA256, lambda _count: None) == sha256(b"a").digest()
