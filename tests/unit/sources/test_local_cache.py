"""The cache spares reading, and never changes a result: whatever is touched, forged, damaged or killed."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from provenance.errors import SourceError
from provenance.fingerprint import Algorithm, Fingerprint
from provenance.sources import Reading, local, open_source
from provenance.sources.local import cache as caches
from provenance.sources.local import listing, run
from tests.paths import PROJECT

OLD_NS = 10**18


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "dataset"
    (made / "d").mkdir(parents=True)
    for name in ("a", "b", "c", "d/x", "d/é"):
        (made / name).write_bytes(f"content of {name}".encode())
    return made


@pytest.fixture(autouse=True)
def no_wait_for_times_to_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of these tests were written just now: they count as old, unless a test says otherwise."""
    monkeypatch.setattr(caches, "RACY_NS", -(10**12))


def _take(folder: Path, tmp_path: Path, algorithm: Algorithm = Algorithm.SHA256) -> Fingerprint:
    found = open_source(folder, Reading(cache=tmp_path / "cache", algorithm=algorithm)).fingerprint()
    plain = open_source(folder, Reading(algorithm=algorithm)).fingerprint()
    assert found == plain
    assert plain.reread is None
    return found


def _file(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "cache" / "files").iterdir()
    return found


def test_what_was_not_touched_is_not_read_again(folder: Path, tmp_path: Path) -> None:
    names = ("a", "b", "c", "d/x", "d/é")
    assert _take(folder, tmp_path).reread == names
    assert _take(folder, tmp_path).reread == ()
    (folder / "b").write_bytes(b"other")
    assert _take(folder, tmp_path).reread == ("b",)
    (folder / "new").write_bytes(b"new")
    assert _take(folder, tmp_path).reread == ("new",)
    (folder / "a").unlink()
    assert _take(folder, tmp_path).reread == ()
    (folder / "c").rename(folder / "e")
    assert _take(folder, tmp_path).reread == ("e",)
    assert _take(folder, tmp_path).reread == ()


def test_each_algorithm_and_place_has_a_cache_of_its_own(folder: Path, tmp_path: Path) -> None:
    _take(folder, tmp_path)
    assert len(_take(folder, tmp_path, Algorithm.BLAKE3).reread or ()) == 5
    assert _take(folder, tmp_path).reread == _take(folder, tmp_path, Algorithm.BLAKE3).reread == ()
    folder.rename(tmp_path / "moved")
    assert len(_take(tmp_path / "moved", tmp_path).reread or ()) == 5


def test_nobody_else_may_read_it(folder: Path, tmp_path: Path) -> None:
    _take(folder, tmp_path)
    assert stat.S_IMODE(_file(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(_file(tmp_path).parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("change", ["same size, time set back", "touched", "replaced", "swapped", "mode"])
def test_whatever_leaves_a_trace_is_read_again(folder: Path, tmp_path: Path, change: str) -> None:
    _take(folder, tmp_path)
    path, before = folder / "b", (folder / "b").stat()
    match change:
        case "same size, time set back":
            path.write_bytes(b"CONTENT of b")
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        case "touched":
            os.utime(path, ns=(OLD_NS, OLD_NS))
        case "replaced":
            path.rename(tmp_path / "aside")
            path.write_bytes((tmp_path / "aside").read_bytes())
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        case "swapped":
            path.rename(tmp_path / "aside")
            (folder / "c").rename(path)
            (tmp_path / "aside").rename(folder / "c")
        case _:
            path.chmod(0o600)
    found = _take(folder, tmp_path)
    assert found.reread == (("b", "c") if change == "swapped" else ("b",))


def test_a_file_written_within_the_margin_is_read_again_until_it_is_old(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second write in the same tick leaves the same times: only what was old when it was hashed is kept."""
    monkeypatch.setattr(caches, "RACY_NS", 10**12)
    _take(folder, tmp_path)
    assert len(_take(folder, tmp_path).reread or ()) == 5
    monkeypatch.setattr(caches, "RACY_NS", -(10**12))
    _take(folder, tmp_path)
    assert _take(folder, tmp_path).reread == ()


def test_the_margin_is_longer_than_any_file_systems_tick() -> None:
    import importlib

    assert importlib.reload(caches).RACY_NS == 2_000_000_000


def test_a_write_in_the_same_tick_is_seen(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for _ in range(20):
        (folder / "b").write_bytes(b"one")
        first = _take(folder, tmp_path)
        (folder / "b").write_bytes(b"two")
        assert _take(folder, tmp_path).digest != first.digest


def test_a_damaged_cache_is_no_cache(folder: Path, tmp_path: Path) -> None:
    expected = _take(folder, tmp_path)
    path = _file(tmp_path)
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x40]) + good[place + 1 :])
        found = open_source(folder, Reading(cache=tmp_path / "cache")).fingerprint()
        assert found == expected
        assert len(found.reread or ()) == 5, place
    for length in (0, 7, 55, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:length])
        assert len(_take(folder, tmp_path).reread or ()) == 5


def test_a_cache_of_another_place_is_none(folder: Path, tmp_path: Path) -> None:
    _take(folder, tmp_path)
    path = _file(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    for name in ("a", "b"):
        os.link(folder / name, other / name)
    (tmp_path / "cache").rename(tmp_path / "kept")
    _take(other, tmp_path)
    _file(tmp_path).write_bytes((tmp_path / "kept" / "files" / path.name).read_bytes())
    assert _take(other, tmp_path).reread == ("a", "b")


def test_a_cache_that_cannot_be_written_is_none(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"a file")
    assert len(_take(folder, tmp_path).reread or ()) == 5


def test_a_change_of_what_is_read_again_is_noticed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _take(folder, tmp_path)
    (folder / "b").write_bytes(b"other")
    genuine = run._hash_file

    def hashing(*arguments: object) -> bytes:
        digest = genuine(*arguments)  # type: ignore[arg-type]
        (folder / "b").write_bytes(b"again")
        return digest

    monkeypatch.setattr(run, "_hash_file", hashing)
    with pytest.raises(SourceError, match="changed while it was read"):
        open_source(folder, Reading(cache=tmp_path / "cache")).fingerprint()


def test_check_unchanged_looks_at_what_the_cache_spared(folder: Path, tmp_path: Path) -> None:
    _take(folder, tmp_path)
    source = open_source(folder, Reading(cache=tmp_path / "cache"))
    source.fingerprint()
    source.check_unchanged()
    (folder / "c").write_bytes(b"later")
    with pytest.raises(SourceError, match="changed") as raised:
        source.check_unchanged()
    assert raised.value.where == str(folder / "c")


def _counting_listings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    listed: list[Path] = []

    def counting(root: Path, *arguments: Any) -> list[str]:
        listed.append(root)
        return listing.list_names(root, *arguments)

    monkeypatch.setattr(local, "list_names", counting)
    return listed


def _age(monkeypatch: pytest.MonkeyPatch, *, old: bool) -> None:
    """Whether folders count as changed longer ago than a tick."""
    monkeypatch.setattr(listing, "TICK_NS", -(10**12) if old else 10**12)


def _cached(folder: Path, tmp_path: Path) -> tuple[str, ...]:
    found = open_source(folder, Reading(cache=tmp_path / "cache")).fingerprint().reread
    assert found is not None
    return found


def test_names_are_listed_again_unless_nothing_was_read_or_no_folder_changed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _take(folder, tmp_path)
    listed = _counting_listings(monkeypatch)
    assert _cached(folder, tmp_path) == ()
    assert len(listed) == 1
    _age(monkeypatch, old=False)
    (folder / "b").write_bytes(b"other")
    assert _cached(folder, tmp_path) == ("b",)
    assert len(listed) == 3
    _age(monkeypatch, old=True)
    (folder / "b").write_bytes(b"another")
    assert _cached(folder, tmp_path) == ("b",)
    assert len(listed) == 4
    open_source(folder).fingerprint()
    assert len(listed) == 5
    _age(monkeypatch, old=False)
    open_source(folder).fingerprint()
    assert len(listed) == 7


@pytest.mark.parametrize("change", ["added", "added deep", "removed", "renamed", "folder"])
@pytest.mark.parametrize("aged", [True, False])
def test_a_name_that_comes_or_goes_while_few_are_read_is_noticed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, aged: bool
) -> None:
    _take(folder, tmp_path)
    _age(monkeypatch, old=aged)
    (folder / "b").write_bytes(b"other")
    genuine = run._hash_file

    def hashing(*arguments: Any) -> bytes:
        digest = genuine(*arguments)
        match change:
            case "added":
                (folder / "new").touch()
            case "added deep":
                (folder / "d" / "new").touch()
            case "removed":
                (folder / "d" / "x").unlink()
            case "renamed":
                (folder / "a").rename(folder / "new")
            case _:
                (folder / "e").mkdir()
                (folder / "e" / "new").touch()
        return digest

    monkeypatch.setattr(run, "_hash_file", hashing)
    with pytest.raises(SourceError, match="changed while it was read") as raised:
        _cached(folder, tmp_path)
    names = {"added": "new", "added deep": "d/new", "removed": "d/x", "renamed": "a", "folder": "e/new"}
    assert raised.value.where == str(folder / names[change])


def test_a_cache_that_would_gain_nothing_is_left_as_it_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _take(folder, tmp_path)
    before = _file(tmp_path).stat()
    monkeypatch.setattr(caches, "RACY_NS", 10**12)
    (folder / "b").write_bytes(b"too young")
    assert _take(folder, tmp_path).reread == ("b",)
    assert _file(tmp_path).stat() == before
    monkeypatch.setattr(caches, "RACY_NS", -(10**12))
    assert _take(folder, tmp_path).reread == ("b",)
    assert _take(folder, tmp_path).reread == ()
    assert _file(tmp_path).stat() != before


def test_a_time_ahead_is_never_trusted(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that was set back: nothing says when such a file was written last."""
    monkeypatch.setattr(caches, "RACY_NS", 2 * 10**9)
    ahead = time.time_ns() + 10**12
    for name in ("a", "b", "c", "d/x", "d/é"):
        os.utime(folder / name, ns=(ahead, ahead))
    for _ in range(3):
        assert len(_take(folder, tmp_path).reread or ()) == 5


@pytest.mark.parametrize("seed", range(6))
def test_random_edits_are_read_again_and_nothing_else_is(folder: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(60):
        path = folder / f"s{number % 5}" / f"{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(chance.randbytes(chance.randrange(40)))
    _take(folder, tmp_path)
    for _ in range(8):
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        touched: set[Path] = set()
        for path in chance.sample(paths, chance.randrange(6)):
            match chance.randrange(5):
                case 0:
                    path.write_bytes(chance.randbytes(path.stat().st_size))
                    touched.add(path)
                case 1:
                    path.unlink()
                    touched.discard(path)
                case 2:
                    path.rename(path.with_name(path.name + "x"))
                    touched.add(path.with_name(path.name + "x"))
                case 3:
                    os.utime(path, ns=(OLD_NS, OLD_NS))
                    touched.add(path)
                case _:
                    path.with_name(path.name + "new").write_bytes(b"new")
                    touched.add(path.with_name(path.name + "new"))
        found = _take(folder, tmp_path)
        expected = sorted((path.relative_to(folder).as_posix() for path in touched if path.exists()), key=str.encode)
        assert list(found.reread or ()) == expected
    assert _take(folder, tmp_path).reread == ()


def test_rows_that_differ_are_found() -> None:
    chance = random.Random(2)
    for _ in range(300):
        width, count = chance.choice([1, 3, 40]), chance.randrange(0, 40)
        one = bytearray(chance.randbytes(width * count))
        other = bytearray(one)
        expected = sorted(chance.sample(range(count), chance.randrange(count + 1)))
        for row in expected:
            other[width * row + chance.randrange(width)] ^= 1 + chance.randrange(255)
        assert caches._differing(bytes(one), bytes(other), width) == expected


def test_runs_of_ones() -> None:
    chance = random.Random(3)
    for _ in range(300):
        flags = bytearray(chance.randrange(2) for _ in range(chance.randrange(30)))
        runs = list(caches._runs(flags))
        assert [place for start, stop in runs for place in range(start, stop)] == [p for p, f in enumerate(flags) if f]
        assert all(before[1] < after[0] for before, after in pairwise(runs))


_SLOW = """
import sys, time
from pathlib import Path
from provenance.sources import Reading, open_source
from provenance.sources.local import cache, run
cache.RACY_NS = -(10**12)
run._SAVE_S = 0.05
genuine = run._hash_file
def slow(*arguments):
    time.sleep(0.03)
    return genuine(*arguments)
run._hash_file = slow
print("begun", flush=True)
open_source(sys.argv[1], Reading(cache=Path(sys.argv[2]))).fingerprint()
"""


def test_a_killed_run_goes_on_where_it_was(folder: Path, tmp_path: Path) -> None:
    for number in range(200):
        (folder / f"{number:03}").write_bytes(b"%d" % number)
    command = [sys.executable, "-c", _SLOW, str(folder), str(tmp_path / "cache")]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        deadline = time.monotonic() + 30
        while not list((tmp_path / "cache").glob("files/*.cache")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    found = _take(folder, tmp_path)
    assert 0 < len(found.reread or ()) < 205


_SLOW_CREW = """
import sys, time
from pathlib import Path
from provenance.sources import Reading, open_source
from provenance.sources.local import cache, crew, run, work
cache.RACY_NS = -(10**12)
run._SAVE_S = 0.05
crew.BATCH = work.BATCH = work._TELL_FILES = 16
genuine, made = work.Work._hash_contents, crew.Crew.__init__
def slow(*arguments):
    time.sleep(0.03)
    return genuine(*arguments)
def telling(self, *arguments):
    made(self, *arguments)
    print(*[member.pid for member in self._members], flush=True)
work.Work._hash_contents, crew.Crew.__init__ = slow, telling
open_source(sys.argv[1], Reading(cache=Path(sys.argv[2]))).fingerprint()
"""


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_killed_run_of_several_processes_goes_on_and_leaves_none(folder: Path, tmp_path: Path) -> None:
    for number in range(1_200):
        (folder / f"{number:04}").write_bytes(b"%d" % number)
    command = [sys.executable, "-c", _SLOW_CREW, str(folder), str(tmp_path / "cache")]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        members = [int(pid) for pid in process.stdout.readline().split()]
        deadline = time.monotonic() + 30
        while not list((tmp_path / "cache").glob("files/*.cache")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    while any(map(_is_running, members)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert members
    assert not any(map(_is_running, members))
    done = set(caches.Cache(tmp_path / "cache", str(folder), Algorithm.SHA256).load().names)
    found = _take(folder, tmp_path)
    assert 0 < len(done) < 1_205
    assert {entry.path for entry in found.files} - done == set(found.reread or ())


def test_runs_at_the_same_time_do_not_disturb_each_other(folder: Path, tmp_path: Path) -> None:
    expected = open_source(folder).fingerprint()

    def take(_: int) -> Fingerprint:
        return open_source(folder, Reading(cache=tmp_path / "cache")).fingerprint()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda n: take(n).digest, range(40))) == {expected.digest}
    assert _take(folder, tmp_path).reread == ()
    assert len(list((tmp_path / "cache" / "files").iterdir())) == 1


def test_a_huge_file_in_its_place_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a").write_bytes(b"a")
    monkeypatch.setattr(caches, "RACY_NS", -(10**12))
    reading = Reading(cache=tmp_path / "cache")
    open_source(tmp_path / "set", reading).fingerprint()
    (path,) = (tmp_path / "cache").rglob("*.cache")
    good = path.read_bytes()
    read: list[int] = []
    genuine = caches.Cache._parse

    def parse(self: caches.Cache, data: bytes) -> caches.Remembered:
        read.append(len(data))
        return genuine(self, data)

    monkeypatch.setattr(caches.Cache, "_parse", parse)
    for head in (b"", good[:56], good[:8] + b"\0" * 48):
        path.write_bytes(head)
        os.truncate(path, 4 * 2**30 - 4_096)
        assert open_source(tmp_path / "set", reading).fingerprint().reread == ("a",)
    assert max(read, default=0) < 2**20
