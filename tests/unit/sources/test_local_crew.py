"""Many files, hashed by several processes: the result of one, changes noticed, no process left behind."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import blake3
import psutil
import pytest

from provenance.encoding import Digest
from provenance.errors import SourceError
from provenance.fingerprint import Algorithm, FileEntry, Fingerprint, fingerprint_files
from provenance.merkle.compiled import extensions
from provenance.sources import Progress, Reading, local, open_source
from provenance.sources.local import cache, calls, crew, hashing, side_by_side, work

FILES = local._MANY_FILES + 57
BIG = 3 * hashing.SMALL_BYTES + 11


PYTHON = pytest.mark.parametrize("system_calls", ["python"], indirect=True)
"""For tests that lie to the calls from Python."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """More than a thousand small files in a few folders, and some large ones."""
    rng = random.Random(7)
    made = tmp_path / "dataset"
    for number in range(FILES):
        place = made / f"d{number % 7}" / f"f{number:05}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(rng.randbytes(rng.choice([0, 1, 63, 64, 65, 300, 5_000])))
    for number in range(9):
        (made / f"big{number}").write_bytes(rng.randbytes(BIG + number))
    (made / "é").write_bytes(b"x")
    return made


@pytest.fixture(autouse=True, params=["python", "compiled"])
def system_calls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test with calls from Python, and with those of compiled code, to which nothing was changed just now."""
    monkeypatch.setenv(calls.ENVIRONMENT, "0" if request.param == "python" else "1")
    calls.compiled_calls.cache_clear()
    if request.param == "compiled":
        if calls.compiled_calls() is None:
            pytest.skip("the project was built without a C compiler")
        monkeypatch.setattr(hashing, "RECENT_NS", -(10**15))
    yield
    calls.compiled_calls.cache_clear()


@pytest.fixture(autouse=True)
def no_process_stays() -> Iterator[None]:
    before = {child.pid for child in psutil.Process().children()}
    yield
    assert {child.pid for child in psutil.Process().children()} <= before


@pytest.fixture(autouse=True)
def only_threads_of_the_test_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries that other tests used may have left some; no crew member runs them."""
    before = set(threading.enumerate())
    monkeypatch.setattr(threading, "active_count", lambda: 1 + len(set(threading.enumerate()) - before))


def _oracle(folder: Path, algorithm: Algorithm) -> Fingerprint:
    entries = []
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            raw = hashlib.sha256(data).digest() if algorithm is Algorithm.SHA256 else blake3.blake3(data).digest()
            entries.append(FileEntry(path.relative_to(folder).as_posix(), len(data), Digest(raw), algorithm))
    return fingerprint_files(entries)


@pytest.mark.parametrize("tier", ["hashlib", "lanes", "extensions"])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_the_result_is_that_of_reading_one_file_after_another(
    folder: Path, algorithm: Algorithm, tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from provenance.machine import calibration

    if tier == "extensions" and extensions() is None:
        pytest.skip("the processor has no SHA extensions, or there was no C compiler")
    monkeypatch.setenv(calibration.ENVIRONMENT, tier)
    calibration.choice.cache_clear()
    made = _crews(monkeypatch)
    found = open_source(folder, Reading(algorithm=algorithm)).fingerprint()
    calibration.choice.cache_clear()
    expected = _oracle(folder, algorithm)
    assert found == expected
    assert tuple(found.files) == tuple(expected.files)
    assert found.files == tuple(expected.files)
    assert len(made) == 1


def _crews(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Counts the crews that are made."""
    made: list[object] = []
    genuine = crew.Crew.__init__

    def counting(self: crew.Crew, *arguments: Any) -> None:
        made.append(self)
        genuine(self, *arguments)

    monkeypatch.setattr(crew.Crew, "__init__", counting)
    return made


def test_a_process_with_threads_makes_none_and_comes_to_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, stop = _crews(monkeypatch), threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        found = open_source(folder).fingerprint()
    finally:
        stop.set()
        thread.join()
    assert made == []
    assert found == open_source(folder).fingerprint()
    assert len(made) == 1


def test_progress_is_told_in_bytes_and_files(folder: Path) -> None:
    seen: list[Progress] = []
    found = open_source(folder).fingerprint(seen.append)
    total = found.document.total_bytes
    assert seen[-1] == Progress(total, total, found.document.file_count, found.document.file_count)
    assert [p.done_bytes for p in seen] == sorted(p.done_bytes for p in seen)
    assert len(seen) > 4


def test_a_callback_that_fails_ends_it(folder: Path) -> None:
    class Stop(Exception):
        pass

    def stop(_: Progress) -> None:
        raise Stop

    with pytest.raises(Stop):
        open_source(folder).fingerprint(stop)


CHANGES: dict[str, Callable[[Path], object]] = {
    "rewritten": lambda folder: (folder / "d3" / "f00003").write_bytes(b"other"),
    "appended": lambda folder: (folder / "big0").open("ab").write(b"x"),
    "removed": lambda folder: (folder / "d3" / "f00003").unlink(),
    "added": lambda folder: (folder / "d3" / "new").write_bytes(b""),
    "linked": lambda folder: (folder.parent / "link").replace(folder / "d3" / "f00003"),
}
NAMES = {"rewritten": "d3/f00003", "appended": "big0", "removed": "d3/f00003", "added": "d3/new", "linked": "d3/f00003"}


# Names are looked at once more while the members look: what is added then is of the dataset or not.
MOMENTS = [
    (change, phase)
    for change in CHANGES
    for phase in ("_look", "_read", "_read_batch", "_hash", "_hash_contents", "_check")
    if (change, phase) != ("added", "_check")
]


@pytest.mark.parametrize(("change", "phase"), MOMENTS)
def test_a_change_at_any_time_is_noticed_and_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, phase: str
) -> None:
    """The change happens once, in the member that has the file, before or after what it does in that phase."""
    mark = tmp_path / "done"
    if change == "linked":
        (tmp_path / "link").symlink_to("f00010")
    genuine = getattr(work.Work, phase)
    is_before = phase in ("_read", "_hash", "_check")

    def acting(self: Any, *arguments: Any) -> Any:
        owned = self._names[self._share.start : self._share.stop]
        # A file that comes is nobody's; of a large one it is not known who reads it.
        if NAMES[change] not in (*owned, *(["d3/new", "big0"] if phase != "_check" else [])):
            return genuine(self, *arguments)
        done = None if is_before else genuine(self, *arguments)
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            pass
        else:
            CHANGES[change](folder)
        return genuine(self, *arguments) if is_before else done

    monkeypatch.setattr(work.Work, phase, acting)
    reading = Reading()
    if phase in ("_look", "_hash"):
        # Something is remembered of each file, and none is as it was: so all are looked at before they are read.
        monkeypatch.setattr(cache, "RACY_NS", -(10**12))
        reading = Reading(cache=tmp_path / "cache")
        with monkeypatch.context() as patch:
            patch.setattr(work.Work, phase, genuine)
            open_source(folder, reading).fingerprint()
        for path in folder.rglob("*"):
            os.utime(path)
    try:
        found = open_source(folder, reading).fingerprint()
    except SourceError as error:
        assert error.where == str(folder / NAMES[change])
    else:
        # It may be that the file was read, or listed, after it had changed: then what is now is what was read.
        assert phase in ("_read", "_read_batch", "_hash_contents")
        assert change in ("rewritten", "appended")
        assert found == _oracle(folder, Algorithm.SHA256)
    assert mark.exists()


def test_a_folder_that_takes_the_place_of_the_dataset_is_noticed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = work.Work._finish
    for path in folder.glob("big*"):  # those are found by their whole path, and would be missed
        path.unlink()
    shutil.copytree(folder, tmp_path / "copy")

    def swapping(self: work.Work, held: int) -> None:
        if self._share.start == 0:
            folder.rename(tmp_path / "aside")
            (tmp_path / "copy").rename(folder)
        genuine(self, held)

    monkeypatch.setattr(work.Work, "_finish", swapping)
    with pytest.raises(SourceError, match="changed while it was read") as raised:
        open_source(folder).fingerprint()
    assert raised.value.where == str(folder)


@PYTHON
def test_a_file_of_this_very_moment_is_read_when_a_further_write_would_show(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time of change is so near that another write could leave the same: reading waits, and looks again."""
    path = folder / "d3" / "f00003"
    genuine = hashing.let_clock_tick

    def writing(found: Any) -> None:
        genuine(found)
        path.write_bytes(b"again")

    monkeypatch.setattr(hashing, "let_clock_tick", writing)
    path.write_bytes(b"once!")
    view = memoryview(bytearray(hashing.BUFFER_BYTES))
    monkeypatch.chdir(folder)
    with pytest.raises(SourceError, match="changed while it was read") as raised:
        hashing.read_small(f"{folder}/", ["d3/f00003"], view)
    assert raised.value.where == str(path)
    monkeypatch.setattr(hashing, "let_clock_tick", genuine)
    _, contents, _ = hashing.read_small(f"{folder}/", ["d3/f00003"], view)
    assert contents == [b"again"]


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("size", [10, BIG, BIG + 9])
def test_a_large_file_that_changes_before_it_is_read_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, algorithm: Algorithm, size: int
) -> None:
    genuine = hashing.open_listed

    def cutting(path: str, identity: Any) -> int:
        descriptor = genuine(path, identity)
        if path.endswith("big8"):
            os.truncate(path, size)
        return descriptor

    for module in (hashing, side_by_side):
        monkeypatch.setattr(module, "open_listed", cutting)
    with pytest.raises(SourceError, match="changed while it was read") as raised:
        open_source(folder, Reading(algorithm=algorithm)).fingerprint()
    assert raised.value.where == str(folder / "big8")


def test_a_member_that_is_killed_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work.Work, "_check", lambda self: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(SourceError, match="a hashing process ended"):
        open_source(folder).fingerprint()


@PYTHON
@pytest.mark.parametrize(("call", "name"), [("read", "d3/f00500"), ("readv", "middle")])
def test_what_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, name: str) -> None:
    genuine = getattr(os, call)

    def failing(descriptor: int, what: Any) -> Any:
        place = f"/proc/self/fd/{descriptor}"
        if Path(place).is_file() and Path(place).readlink() == folder / name:
            raise OSError(5, "Input/output error")
        return genuine(descriptor, what)

    (folder / "middle").write_bytes(bytes(hashing._TINY_BYTES + 1))
    monkeypatch.setattr(os, call, failing)
    with pytest.raises(SourceError, match="Input/output error") as raised:
        open_source(folder).fingerprint()
    assert raised.value.where == str(folder / name)


@PYTHON
@pytest.mark.parametrize("pieces", [1, 700])
def test_files_that_come_in_pieces(folder: Path, monkeypatch: pytest.MonkeyPatch, pieces: int) -> None:
    """A file system may give less than was asked for."""
    (folder / "middle").write_bytes(random.Random(3).randbytes(hashing._TINY_BYTES + 1_000))
    read, readv = os.read, os.readv

    def some(descriptor: int, count: int) -> bytes:
        return read(descriptor, min(count, pieces) if Path(f"/proc/self/fd/{descriptor}").is_file() else count)

    monkeypatch.setattr(os, "read", some)
    monkeypatch.setattr(os, "readv", lambda descriptor, views: readv(descriptor, [views[0][: max(pieces, 97)]]))
    assert open_source(folder).fingerprint() == _oracle(folder, Algorithm.SHA256)


@PYTHON
@pytest.mark.parametrize("size", [0, 1, hashing._TINY_BYTES - 1, hashing._TINY_BYTES, hashing._TINY_BYTES + 1])
def test_a_file_that_is_shorter_or_longer_than_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    view = memoryview(bytearray(hashing.BUFFER_BYTES))
    monkeypatch.chdir(tmp_path)
    genuine = os.fstat
    for more in (-1, 1):
        if size + more < 0:
            continue
        opened: list[int] = []

        def lying(descriptor: int, opened: list[int] = opened, more: int = more) -> Any:
            opened.append(descriptor)
            true = genuine(descriptor)
            fields = ("st_mode", "st_dev", "st_ino", "st_mtime_ns", "st_ctime_ns")
            return SimpleNamespace(st_size=true.st_size + more, **{name: getattr(true, name) for name in fields})

        with pytest.MonkeyPatch.context() as patch, pytest.raises(SourceError, match="changed while it was read"):
            patch.setattr(os, "fstat", lying)
            hashing.read_small(f"{tmp_path}/", ["file"], view)
        with pytest.raises(OSError, match="Bad file descriptor"):
            genuine(opened[0])


@pytest.mark.parametrize("call", ["fork", "pipe"])
@pytest.mark.parametrize("calls", [0, 1])
def test_a_system_that_gives_no_more_processes_is_read_without(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, calls: int
) -> None:
    genuine, made = getattr(os, call), [0]

    def refusing() -> Any:
        made[0] += 1
        if made[0] > calls:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return genuine()

    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refusing)
        found = open_source(folder).fingerprint()
    assert found == _oracle(folder, Algorithm.SHA256)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_process_that_ignores_how_children_end_makes_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, before = _crews(monkeypatch), signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        found = open_source(folder).fingerprint()
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert (found, made) == (_oracle(folder, Algorithm.SHA256), [])


def test_descriptors_of_any_number_are_listened_to(folder: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4_096, hard), hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_100)]
    try:
        assert open_source(folder).fingerprint() == _oracle(folder, Algorithm.SHA256)
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("given", [0, 1])
def test_where_the_system_gives_few_threads_and_no_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: int
) -> None:
    for number in range(1_100):
        (tmp_path / f"{number:04}").write_bytes(b"%d" % number)
    expected = open_source(tmp_path).fingerprint().digest
    alive = list[threading.Thread]()
    genuine = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        alive[:] = [one for one in alive if one.is_alive()]
        if len(alive) >= given:
            raise RuntimeError("can't start new thread")
        genuine(thread)
        alive.append(thread)

    def fork() -> int:
        raise BlockingIOError

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(os, "fork", fork)
    assert open_source(tmp_path).fingerprint().digest == expected
