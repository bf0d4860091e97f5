"""Compiled system calls: what calls from Python find, within the memory they are given, whatever lies there."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provenance.merkle import compiled as compiled_hashes
from provenance.sources.local import calls, hashing, listing
from provenance.sources.local.ignore import IgnoreRules
from provenance.sources.local.listing import IDENTITY, identify, identities, pack

PROJECT = Path(calls.__file__).parents[3]
NEVER_NS = 2**62
"""Later than any clock says."""
ENOUGH, LARGEST = 20_000, 4_096


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[calls.Calls]:
    """The compiled calls, in a folder of our own; no descriptor stays open."""
    monkeypatch.setenv(calls.ENVIRONMENT, "1")
    calls.compiled_calls.cache_clear()
    found = calls.compiled_calls()
    if found is None:
        assert not any(map(shutil.which, ("cc", "gcc", "clang"))), "there is a compiler, and yet nothing was built"
        pytest.skip("the project was built without a C compiler")
    monkeypatch.chdir(tmp_path)
    before = _open_descriptors()
    yield found
    assert _open_descriptors() == before
    calls.compiled_calls.cache_clear()


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _files(count: int, seed: int) -> list[str]:
    rng, names = random.Random(seed), []
    for number in range(count):
        name = (
            rng.choice(["", "a/", "a/b é/", "z" * 200 + "/"]) + f"{number:03}" + rng.choice(["", " x", "ü", "\n", "\\"])
        )
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(rng.randbytes(rng.choice([0, 1, 63, 64, 1_000, LARGEST - 1, LARGEST])))
        names.append(name)
    return names


def _odd(name: str, kind: str) -> None:
    path = Path(name)
    if kind == "link":
        path.with_name(f"{path.name}.target").write_bytes(b"x")
        path.symlink_to(f"{path.name}.target")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "large":
        path.write_bytes(bytes(LARGEST + 1))


def test_they_find_what_calls_from_python_find(compiled: calls.Calls) -> None:
    for seed in range(20):
        names = _files(40, seed)
        assert compiled.look(names) == pack(identities("", names))
        view = memoryview(bytearray(ENOUGH + LARGEST + 1))
        start = 0
        while start < len(names):
            packed, contents = compiled.read(names[start:], NEVER_NS, LARGEST, ENOUGH, view)
            some = names[start : start + len(contents)]
            assert some
            assert packed == pack(identities("", some))
            assert [bytes(content) for content in contents] == [Path(name).read_bytes() for name in some]
            start += len(some)
        assert compiled.same(names, pack(identities("", names))) == len(names)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "missing", "large", "name too long"])
@pytest.mark.parametrize("place", [0, 1, 6, 11])
def test_what_is_odd_ends_a_batch_and_nothing_else(compiled: calls.Calls, kind: str, place: int) -> None:
    names = _files(11, place)
    odd = "o" * 300 if kind == "name too long" else "odd"
    _odd(odd, kind)
    names.insert(place, odd)
    view = memoryview(bytearray(2**20))
    packed, contents = compiled.read(names, NEVER_NS, LARGEST, 2**19, view)
    assert len(contents) == place
    assert packed == pack(identities("", names[:place]))
    looked = len(compiled.look(names)) // IDENTITY.size
    assert looked == (len(names) if kind == "large" else place)


def test_a_file_that_was_changed_too_lately_is_left_to_the_caller(compiled: calls.Calls) -> None:
    names = _files(3, 1)
    times = [Path(name).stat().st_ctime_ns for name in names]
    view = memoryview(bytearray(2**20))
    for limit in (*times, times[0] - 1):
        _, contents = compiled.read(names, limit, LARGEST, 2**19, view)
        expected = next((place for place, altered in enumerate(times) if altered > limit), 3)
        assert len(contents) == expected


@pytest.mark.parametrize("field", range(5))
def test_what_is_not_the_same_is_told(compiled: calls.Calls, field: int) -> None:
    names = _files(9, 3)
    packed = bytearray(pack(identities("", names)))
    for place in (0, 4, 8):
        for bit in (0, 63):
            other = bytearray(packed)
            other[IDENTITY.size * place + 8 * field + bit // 8] ^= 1 << (bit % 8)
            assert compiled.same(names, other) == place
    Path(names[5]).write_bytes(b"other")
    assert compiled.same(names, packed) == 5
    Path(names[2]).unlink()
    assert compiled.same(names, packed) == 2
    assert compiled.same(names, packed[: IDENTITY.size]) == 1
    assert compiled.same([], b"") == 0


def test_memory_beyond_what_was_given_is_never_touched(compiled: calls.Calls) -> None:
    names = _files(60, 5)
    for enough in (0, 1, LARGEST, ENOUGH):
        whole = bytearray(b"\xa5" * (enough + LARGEST + 1 + 4_096))
        room = enough + LARGEST + 1
        _, contents = compiled.read(names, NEVER_NS, LARGEST, enough, memoryview(whole)[:room])
        assert whole[room:] == b"\xa5" * 4_096
        assert sum(map(len, contents[:-1])) < max(enough, 1)
        assert compiled.read(names, NEVER_NS, LARGEST, enough, memoryview(whole)[: room - 1]) == (b"", [])


def test_names_of_a_folder(compiled: calls.Calls, tmp_path: Path) -> None:
    _files(50, 9)
    for folder in (tmp_path, tmp_path / "a", tmp_path / "a" / "b é"):
        names, kinds = compiled.names_in(str(folder)) or ([], "")
        with os.scandir(folder) as found:
            expected = sorted((entry.name, "f" if entry.is_file() else "d") for entry in found)
        assert sorted(zip(names, kinds, strict=True)) == expected
    for kind in ("link", "pipe"):
        (tmp_path / kind).mkdir()
        _odd(f"{kind}/odd", kind)
        names, kinds = compiled.names_in(str(tmp_path / kind)) or ([], "")
        assert dict(zip(names, kinds, strict=True))["odd"] == "?"
    Path("raw").mkdir()
    Path(os.fsdecode(b"raw/\xff\xfe")).touch()
    assert compiled.names_in("raw") == ([os.fsdecode(b"\xff\xfe")], "f")
    Path("empty").mkdir()
    assert compiled.names_in("empty") == ([], "")
    assert compiled.names_in("nowhere") is None
    assert compiled.names_in("raw/nowhere") is None


def test_threads_that_list_at_once_get_each_their_own_names(compiled: calls.Calls, tmp_path: Path) -> None:
    folders = {}
    for letter in "abcd":
        (tmp_path / letter).mkdir()
        folders[letter] = {f"{letter * 40}{number:04}" for number in range(2_000)}
        for name in folders[letter]:
            (tmp_path / letter / name).touch()

    def listed(letter: str) -> bool:
        names, kinds = compiled.names_in(str(tmp_path / letter)) or ([], "")
        return set(names) == folders[letter] and kinds == "f" * len(names)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(listed, list(folders) * 50))


def test_a_folder_with_more_names_than_there_is_room_for(
    compiled: calls.Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        (tmp_path / f"{number:04}").touch()
    for names_bytes, names in ((50, 10), (51, 10), (49, 10), (50, 9), (4, 10), (0, 0)):
        with monkeypatch.context() as patch:
            patch.setattr(calls, "_NAMES_BYTES", names_bytes)
            patch.setattr(calls, "_NAMES", names)
            fresh = calls.Calls(ctypes.CDLL(str(Path(calls.__file__).with_name(calls.LIBRARY))))
            found = fresh.names_in(str(tmp_path))
        assert (found is not None) == (names_bytes >= 50 and names >= 10)


def test_a_listing_is_the_same_with_and_without(
    compiled: calls.Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _files(60, 11)
    (tmp_path / "left out").mkdir()
    (tmp_path / "left out" / "x").touch()
    asked: list[str] = []
    genuine = calls.Calls.names_in

    def noting(self: calls.Calls, folder: str) -> tuple[list[str], str] | None:
        asked.append(folder)
        return genuine(self, folder)

    monkeypatch.setattr(calls.Calls, "names_in", noting)
    monkeypatch.setattr(listing, "_FEW_NAMES", 0)
    found: list[tuple[list[str], dict[str, listing.Identity]]] = []
    for turned in ("1", "0"):
        monkeypatch.setenv(calls.ENVIRONMENT, turned)
        calls.compiled_calls.cache_clear()
        folders: dict[str, listing.Identity] = {}
        names = listing.list_names(tmp_path, IgnoreRules(()), tmp_path / "left out", folders)
        found.append((names, folders))
        assert bool(asked) == (turned == "1")
        asked.clear()
    assert found[0] == found[1]
    assert len(found[0][0]) == 60


def test_a_batch_with_odd_files_is_read_by_both(compiled: calls.Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled calls up to the first odd one, Python from there; whatever is read is what is there."""
    names = _files(30, 13)
    Path("big").write_bytes(bytes(hashing.SMALL_BYTES + 1))
    names[10:10] = ["big"]
    monkeypatch.setattr(hashing, "RECENT_NS", -(10**15))
    view = memoryview(bytearray(hashing.BUFFER_BYTES))
    packed, contents, large = hashing.read_batch("/", names, view, compiled)
    assert large == [10]
    assert packed == pack([identify(os.lstat(name)) for name in names])
    assert [bytes(content) for content in contents.pieces] == [
        Path(name).read_bytes() for name in names if name != "big"
    ]
    assert hashing.read_batch("/", names, view, None)[0] == packed


@pytest.mark.parametrize("content", ["", "\x7fELF", "int x;", "long provenance_calls_version(void) { return 999; }"])
def test_a_library_that_is_not_ours_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.delenv(calls.ENVIRONMENT, raising=False)
    monkeypatch.setattr(calls, "__file__", str(tmp_path / "calls.py"))
    library = tmp_path / calls.LIBRARY
    if content.endswith((";", "}")) and shutil.which("cc"):
        command = ["cc", "-shared", "-fPIC", "-x", "c", "-o", str(library), "-"]
        subprocess.run(command, input=content, text=True, check=True)
    else:
        library.write_text(content)
    calls.compiled_calls.cache_clear()
    assert calls.compiled_calls() is None
    calls.compiled_calls.cache_clear()


@pytest.mark.parametrize("compiler", ["cc", "false", "no-such-compiler", "cc --no-such-flag"])
def test_a_wheel_is_built_with_them_or_without(tmp_path: Path, compiler: str) -> None:
    if compiler == "cc" and not shutil.which("cc"):
        pytest.skip("there is no C compiler")
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "scripts/build_compiled.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(PROJECT / name, tmp_path / name)
    (tmp_path / "provenance").mkdir()
    (tmp_path / "provenance" / "__init__.py").touch()
    libraries = {
        "provenance/sources/local/calls.c": calls.LIBRARY,
        "provenance/merkle/sha256.c": compiled_hashes.LIBRARY,
    }
    made = [(Path(source).parent / library).as_posix() for source, library in libraries.items()]
    for source, library in zip(libraries, made, strict=True):
        (tmp_path / source).parent.mkdir(parents=True)
        shutil.copy(PROJECT / source, tmp_path / source)
        (tmp_path / library).write_bytes(b"of other source")
    environment = {**os.environ, "CC": compiler, calls.ENVIRONMENT: "1"}
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "made"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "made").iterdir()
    names = zipfile.ZipFile(wheel).namelist()
    has = compiler == "cc"
    assert [library in names for library in made] == [has] * 2
    assert [(tmp_path / library).exists() for library in made] == [has] * 2
    assert ("py3-none-any" in wheel.name) == (not has)
    assert ("was not built" in done.stderr) == (not has)
