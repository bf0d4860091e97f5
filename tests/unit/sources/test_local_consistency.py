"""A dataset that somebody goes on writing to: every fingerprint is of one state that it really had, or an error."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from provenance.errors import SourceError
from provenance.fingerprint import Algorithm
from provenance.sources import Reading, local, open_source
from provenance.sources.local import cache, listing
from provenance.sources.local.listing import Identity

FILES = 1_100
GENERATIONS = 40
SECONDS = 4.0

# Files are written in the order of their numbers, over and over: in every state that the dataset really has, some first
# ones are of one generation and the others of the one before.
_WRITER = """
import os, random, sys, time
from pathlib import Path
root, count, way = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng, generation = random.Random(1), 1
while True:
    for number in range(count):
        path = root / f"{number % 5}" / f"{number:05}"
        data = b"%d:%d" % (number, generation)
        if way == "rename":
            (root.parent / "draft").write_bytes(data)
            os.replace(root.parent / "draft", path)
        else:
            descriptor = os.open(path, os.O_WRONLY)
            os.pwrite(descriptor, data, 0)
            os.close(descriptor)
        if rng.random() < 0.15:
            time.sleep(rng.random() * 0.12)
    generation += 1
"""


def _data(number: int, generation: int) -> bytes:
    return b"%d:%d" % (number, generation)


@contextmanager
def _writing(folder: Path, way: str) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(folder), str(FILES), way]) as process:
        try:
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("way", ["rename", "write"])
def test_every_fingerprint_is_of_a_state_that_was(tmp_path: Path, way: str, cached: bool) -> None:
    folder = tmp_path / "set"
    for number in range(FILES):
        path = folder / f"{number % 5}" / f"{number:05}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_data(number, 0))
    known = {
        hashlib.sha256(_data(number, generation)).digest(): generation
        for number in range(FILES)
        for generation in range(GENERATIONS)
    }
    reading = Reading(cache=tmp_path / "cache") if cached else Reading()
    taken = refused = 0
    with _writing(folder, way):
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline or not taken:
            try:
                found = open_source(folder, reading).fingerprint()
            except SourceError as error:
                assert error.what in ("file changed while it was read", "no such file or folder")
                refused += 1
                continue
            taken += 1
            by_number = {int(entry.path[2:]): known[entry.digest.raw] for entry in found.files}
            generations = [by_number[number] for number in range(FILES)]
            assert generations == sorted(generations, reverse=True)
            assert generations[0] - generations[-1] in (0, 1)
            if generations[0] >= GENERATIONS - 2:
                break
    assert taken


def test_a_folder_renamed_in_while_files_are_looked_at_mixes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that come with a renamed folder keep their times: only the folder's own tell of it."""
    folder, new = tmp_path / "set", tmp_path / "new"
    for path, data in ((folder / "a", b"a1"), (folder / "sub" / "b", b"b1"), (new / "b", b"b2")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    monkeypatch.setattr(cache, "RACY_NS", -(10**12))
    reading = Reading(cache=tmp_path / "cache")
    open_source(folder, reading).fingerprint()
    time.sleep(0.1)
    genuine, calls = listing.identities, [0]

    def between(base: str, names: Sequence[str], **options: bool) -> list[Identity]:
        calls[0] += 1
        if calls[0] > 1:
            return genuine(base, names, **options)
        first = genuine(base, names[:1], **options)
        (folder / "a").write_bytes(b"a2")
        (folder / "sub").rename(tmp_path / "old")
        new.rename(folder / "sub")
        return first + genuine(base, names[1:], **options)

    monkeypatch.setattr(local, "identities", between)
    with pytest.raises(SourceError, match="changed while it was read") as raised:
        open_source(folder, reading).fingerprint()
    assert raised.value.where == str(folder / "a")


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "names that are not UTF-8"])
def test_whatever_lies_in_the_place_of_a_cache_is_as_good_as_none(tmp_path: Path, kind: str) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a").write_bytes(b"a")
    expected = open_source(tmp_path / "set").fingerprint()
    kept = cache.Cache(tmp_path / "cache", str(tmp_path / "set"), Algorithm.SHA256)
    kept.path.parent.mkdir(parents=True)
    if kind == "folder":
        kept.path.mkdir()
    elif kind == "pipe":
        os.mkfifo(kept.path)
    elif kind == "link":
        kept.path.symlink_to(tmp_path / "set" / "a")
    else:
        head = cache._HEAD.pack(cache._MAGIC, 1, 1, kept._key)
        body = head + b"\xff" + bytes(104)
        kept.path.write_bytes(body + hashlib.sha256(body).digest())
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    assert kept.load() is cache.NOTHING
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert open_source(tmp_path / "set", Reading(cache=tmp_path / "cache")).fingerprint() == expected


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_an_ignore_file_that_is_no_file_is_named_and_leaks_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ".provenanceignore"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    writer = os.open(path, os.O_RDWR) if kind == "pipe" else -1  # a pipe that somebody holds open is not at its end
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(SourceError) as raised:
        open_source(tmp_path).fingerprint()
    assert raised.value.where == str(path)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    if writer >= 0:
        os.close(writer)
