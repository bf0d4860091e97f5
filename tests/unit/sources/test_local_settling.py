"""Writers through shared memory maps: what they store is found, though it need not leave a time on the file."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from provenance.errors import SourceError
from provenance.fingerprint import Algorithm
from provenance.sources import Reading, open_source
from provenance.sources.local import cache, run, settling
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
    if request.param != "lease":
        monkeypatch.setattr(settling, "_kind_of", lambda _descriptor: ("overlay", ""))
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
        monkeypatch.setattr(settling, "_kind_of", lambda _descriptor, kind=kind: (kind, ""))
        open_source(tmp_path / "set", reading).fingerprint()
        assert open_source(tmp_path / "set", reading).fingerprint().reread == reread


def test_a_memory_file_system_is_known() -> None:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        pytest.skip("no memory file system at /dev/shm")
    assert not settling.keeps_times(folder)
    assert settling.keeps_times(Path(__file__))
    assert settling.keeps_times("/no/such/path")


def test_no_lease_is_left_and_no_signal_comes(tmp_path: Path) -> None:
    """A writer that comes after is neither held up nor are we told of it."""
    path = tmp_path / "a"
    path.write_bytes(b"a")
    told: list[int] = []
    before = signal.signal(signal.SIGIO, lambda number, _frame: told.append(number))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        settling.settle(descriptor, _state(path), "a")
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


# A write call whose source is cold: its time is set when it begins, its data come in over seconds.
_SLOW_WRITER = """
import mmap, os, sys
source = os.open(sys.argv[1], os.O_RDONLY)
os.posix_fadvise(source, 0, 0, os.POSIX_FADV_DONTNEED)
data = mmap.mmap(source, 0, prot=mmap.PROT_READ)
data.madvise(mmap.MADV_RANDOM)
target = os.open(sys.argv[2], os.O_WRONLY | int((sys.argv + ["0"])[3]))
print("begins", flush=True)
os.write(target, data)
print("ends", flush=True)
"""


def _takes_direct_writes(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_DIRECT))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("cached", [False, True])
def test_a_write_call_that_takes_long_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bool, direct: bool
) -> None:
    monkeypatch.setattr(cache, "RACY_NS", 0)
    source, target, size = tmp_path / "source", tmp_path / "set" / "a", (24 if direct else 96) * 2**20
    target.parent.mkdir()
    for path, value in ((source, b"\2"), (target, b"\1")):
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)  # of one piece: what is overwritten past the cache must be
            file.write(value * size)
            file.flush()
            os.fsync(file.fileno())
    old, new = sha256(b"\1" * size).digest(), sha256(b"\2" * size).digest()
    reading = Reading(cache=tmp_path / "cache") if cached else Reading()
    if direct and not _takes_direct_writes(target):
        pytest.skip("this file system takes no direct writes")
    before = target.stat()
    words = [sys.executable, "-c", _SLOW_WRITER, str(source), str(target), str(os.O_DIRECT if direct else 0)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "begins\n"
        time.sleep(0.1)
        with contextlib.suppress(SourceError):
            assert open_source(tmp_path / "set", reading).fingerprint().files[0].digest.raw in (old, new)
        writer.wait(60)
    assert open_source(tmp_path / "set", reading).fingerprint().files[0].digest.raw == new
    assert os.listxattr(target) == []
    assert target.stat().st_ino == before.st_ino


def test_to_wait_for_calls_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"text")
    before = path.stat()
    with path.open("rb") as file:
        settling._wait_for_calls(file.fileno())
        assert file.read() == b"text"
    after = path.stat()
    assert (before.st_ctime_ns, before.st_mtime_ns, before.st_size) == (
        after.st_ctime_ns, after.st_mtime_ns, after.st_size,
    )  # fmt: skip


def test_remembered_files_are_looked_at_again_if_another_was_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A is remembered, B mapped and dirty: stores to A, then to B, after the look. {A old, B new} never was."""
    folder = tmp_path / "set"
    folder.mkdir()
    one, other = Map(folder / "a", 1), Map(folder / "b", 1)
    try:
        os.sync()
        monkeypatch.setattr(cache, "RACY_NS", 0)
        monkeypatch.setattr(run, "RECENT_NS", 0)
        reading = Reading(cache=tmp_path / "cache")
        time.sleep(0.05)
        open_source(folder, reading).fingerprint()
        assert open_source(folder, reading).fingerprint().reread == ()
        other.store(0, 7)
        time.sleep(0.1)
        stored: list[int] = []

        def progress(_done: object) -> None:
            if not stored:
                stored.append(1)
                one.store(0, 2)
                other.store(0, 2)

        with pytest.raises(SourceError, match="changed while it was read"):
            open_source(folder, reading).fingerprint(progress)
        assert stored
    finally:
        one.close()
        other.close()


def test_what_was_held_is_not_remembered_for_a_minute(
    tmp_path: Path, mapped: Map, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "RACY_NS", 0)
    reading = Reading(cache=tmp_path / "cache")
    time.sleep(0.05)
    open_source(tmp_path / "set", reading).fingerprint()
    assert open_source(tmp_path / "set", reading).fingerprint().reread == ("a",)
    mapped.close()
    time.sleep(0.05)
    open_source(tmp_path / "set", reading).fingerprint()
    assert open_source(tmp_path / "set", reading).fingerprint().reread == ()


_OVERLAYS = {"on a disk": True, "volatile": False, "in memory": False}


@pytest.mark.parametrize("where", _OVERLAYS)
def test_overlays_that_are_never_written_back_are_not_remembered(tmp_path: Path, where: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount an overlay")
    above = Path(tempfile.mkdtemp(dir="/dev/shm")) if where == "in memory" else tmp_path / "above"
    lower, upper, work, merged = tmp_path / "lower", above / "upper", above / "work", tmp_path / "merged"
    for folder in (lower, upper, work, merged):
        folder.mkdir(parents=True)
    more = ",volatile" if where == "volatile" else ""
    options = f"lowerdir={lower},upperdir={upper},workdir={work}{more}"
    done = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(merged)], capture_output=True)
    try:
        if done.returncode:
            pytest.skip("this kernel mounts no overlay here")
        (merged / "a").write_bytes(b"a")
        assert settling.keeps_times(merged / "a") is _OVERLAYS[where]
    finally:
        subprocess.run(["umount", str(merged)], capture_output=True, check=False)
        if where == "in memory":
            shutil.rmtree(above, ignore_errors=True)


_THROUGH_A_READ_ONLY_MOUNT = """
import os, subprocess, sys
folder, mirror = sys.argv[1:3]
subprocess.run(["mount", "--bind", folder, mirror], check=True)
subprocess.run(["mount", "-o", "remount,bind,ro", mirror], check=True)
from provenance.errors import SourceError
from provenance.sources import open_source
writer = os.open(folder + "/a", os.O_WRONLY)
try:
    open_source(mirror).fingerprint()
except SourceError as error:
    print(error.what)
os.close(writer)
print(open_source(mirror).fingerprint().files[0].path)
"""


def test_a_writer_behind_a_read_only_mount_is_an_error(tmp_path: Path) -> None:
    folder, mirror = tmp_path / "set", tmp_path / "mirror"
    folder.mkdir()
    mirror.mkdir()
    (folder / "a").write_bytes(b"text")
    with (folder / "a").open("rb") as file:
        if settling._kind_of(file.fileno())[0] not in settling._LEASING:
            pytest.skip("no lease tells of writers here")
    words = ["unshare", "-m", sys.executable, "-c", _THROUGH_A_READ_ONLY_MOUNT, str(folder), str(mirror)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if "Operation not permitted" in done.stderr:
        pytest.skip("only root may mount here")
    assert done.stdout.splitlines() == [
        "somebody writes to the file, and through a read-only mount that cannot be waited for", "a",
    ], done.stderr  # fmt: skip
