"""A dataset that somebody goes on writing to: every fingerprint is of one state that it really had, or an error."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provenance.errors import SourceError
from provenance.sources import Reading, open_source

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
