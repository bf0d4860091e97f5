"""Writers that fail or are killed at every step: the tree is whole under its name, or not there, and nothing stays."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from provenance.errors import StoreError
from provenance.merkle.bulk import HashTier
from provenance.stores.trees import open_tree
from provenance.stores.trees import workplace as workplace_module
from provenance.stores.trees.workplace import Workplace
from provenance.stores.trees.writing import BLOCK_LEAVES, TreeWriter
from tests.paths import PROJECT
from tests.unit.stores.trees.making import random_leaves, store, store_sorted


class Failing:
    """A file whose writes count down to a failure, a full disk."""

    def __init__(self, file: IO[bytes], step: Callable[[], None]) -> None:
        self._file, self._step = file, step

    def write(self, data: bytes) -> int:
        self._step()
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def fail_at(number: int, monkeypatch: pytest.MonkeyPatch, fail: Callable[[], None]) -> list[int]:
    """Let the step of this number fail: a file made, a write, a flush to disk, a move. Returns the steps taken."""
    steps: list[int] = []

    def step() -> None:
        steps.append(len(steps))
        if len(steps) == number:
            fail()

    open_descriptor, open_file, fsync, replace = os.open, Workplace.open, os.fsync, Path.replace

    def stepped_descriptor(path: Path, flags: int, mode: int = 0o777, **more: Any) -> int:
        if flags & os.O_EXCL:
            step()
        return open_descriptor(path, flags, mode, **more)

    def failing_file(self: Workplace, name: str) -> IO[bytes]:
        return Failing(open_file(self, name), step)  # type: ignore[return-value]

    def stepped_fsync(descriptor: int) -> None:
        step()
        fsync(descriptor)

    def stepped_replace(self: Path, target: Path) -> Path:
        step()
        return replace(self, target)

    monkeypatch.setattr(os, "open", stepped_descriptor)
    monkeypatch.setattr(Workplace, "open", failing_file)
    monkeypatch.setattr(os, "fsync", stepped_fsync)
    monkeypatch.setattr(Path, "replace", stepped_replace)
    return steps


@pytest.mark.parametrize("kind", ["tree", "index"])
def test_a_disk_that_is_full_at_any_step(kind: str, tmp_path: Path) -> None:
    def full() -> None:
        raise OSError(28, os.strerror(28))

    leaves = random_leaves(400)
    number = 0
    while True:
        number += 1
        with pytest.MonkeyPatch.context() as patch:
            steps = fail_at(number, patch, full)
            try:
                made = store(tmp_path, leaves) if kind == "tree" else store_sorted(tmp_path, leaves, memory_rows=150)
            except StoreError as error:
                assert "No space left" in error.message
                assert [path.name for path in tmp_path.iterdir() if path.suffix not in (".tree", ".index")] == []
                for path in tmp_path.iterdir():  # after its move: whole, if the folder's own sync failed
                    with open_tree(path) as tree:
                        tree.check()
                    path.unlink()
                continue
        made.check()
        made.close()
        assert number > len(steps) >= 6
        return


KILLED = """
import os, signal, sys
from pathlib import Path
import pytest
from tests.unit.stores.trees.making import random_leaves, store, store_sorted
from tests.unit.stores.trees.test_crashes import fail_at

folder, kind = Path(sys.argv[1]), sys.argv[2]
leaves = random_leaves(400)
number = 0
while True:
    number += 1
    child = os.fork()
    if child == 0:
        fail_at(number, pytest.MonkeyPatch(), lambda: os.kill(os.getpid(), signal.SIGKILL))
        store(folder, leaves) if kind == "tree" else store_sorted(folder, leaves, memory_rows=150)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL), code
    left = sorted(path.name for path in folder.iterdir())
    assert code == 0 or any(name.startswith(".tree-") for name in left), left
    for name in left:
        if not name.startswith("."):
            from provenance.stores.trees import open_tree
            with open_tree(folder / name) as tree:
                tree.check()
    # The next writer removes what is left.
    done = store(folder, leaves) if kind == "tree" else store_sorted(folder, leaves)
    assert [path for path in folder.iterdir()] == [done.path], list(folder.iterdir())
    done.path.unlink()
    done.close()
    if code == 0:
        break
print(number)
"""


@pytest.mark.parametrize("kind", ["tree", "index"])
def test_a_process_that_is_killed_at_any_step(kind: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", KILLED, str(tmp_path), kind]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 6


LIMITED = """
import resource, signal, sys
from pathlib import Path
from provenance.errors import StoreError
from tests.unit.stores.trees.making import random_leaves, store, store_sorted

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
for work in (store, lambda folder, leaves: store_sorted(folder, leaves, memory_rows=5_000)):
    try:
        work(Path(sys.argv[1]), random_leaves(100_000))
    except StoreError as error:
        print(error.message)
"""


def test_a_file_that_the_system_does_not_let_grow(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", LIMITED, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("tree cannot be written; got File too large") == 2
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_written_to_is_left_alone(tmp_path: Path) -> None:
    with TreeWriter(tmp_path, tier=HashTier.LANES) as first:
        first.append(random_leaves(BLOCK_LEAVES + 1))
        store(tmp_path, random_leaves(3)).close()
        first.append(random_leaves(1, 2))
        with first.finish() as tree:
            tree.check()
            assert tree.size == BLOCK_LEAVES + 2


def test_a_folder_without_a_lock_is_removed_when_it_is_old(tmp_path: Path) -> None:
    young, old = tmp_path / ".tree-young", tmp_path / ".tree-old"
    for folder in (young, old):
        folder.mkdir()
    os.utime(old, (time.time() - 7_200, time.time() - 7_200))
    Workplace(tmp_path).remove()
    assert list(tmp_path.iterdir()) == [young]


def test_a_folder_that_is_taken_for_a_dead_ones_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = fcntl.flock
    made: list[Path] = []

    def other_writer_first(descriptor: int, operation: int) -> None:
        if operation == fcntl.LOCK_EX and not made:
            made.extend(tmp_path.iterdir())
            # Between the making of the lock's file and its locking.
            workplace_module._remove_if_stale(made[0])
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", other_writer_first)
    place = Workplace(tmp_path)
    assert not made[0].exists() and list(tmp_path.iterdir()) == [place.folder]
    place.open("x").close()
    place.remove()
    assert list(tmp_path.iterdir()) == []
