"""Many writers at once, and writers killed at any moment."""

from __future__ import annotations

import itertools
import os
import random
import select
import subprocess
import sys
import time

import pytest

from provenance.errors import StoreError
from provenance.stores import DatasetRow, OutboxRow, Store, open_store
from tests.conformance.stores.samples import assert_whole, dataset, envelope
from tests.paths import PROJECT

ROUNDS = 25


def start(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.conformance.stores.appender", *arguments]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_two_processes_of_eight_threads_lose_and_repeat_nothing(location: str) -> None:
    open_store(location, create=True).close()
    for process in [start("threads", location, name, "8", "40") for name in "ab"]:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    with open_store(location) as store:
        assert assert_whole(store) == 2 * 8 * 40
        expected = sorted(b"%s %d %d" % (n, i, j) for n, i, j in itertools.product((b"a", b"b"), range(8), range(40)))
        assert sorted(row.envelope for row in store.entries(0, 1_000)) == expected
        assert store.check() == []


def kill_after(process: subprocess.Popen[bytes], seconds: float) -> list[str]:
    """What the process had acknowledged when it was killed, so long after it had opened the store."""
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    assert select.select([pipe], [], [], 60)[0], "the process did not open the store"
    output = os.read(pipe, 65_536)
    assert output, process.communicate()[1].decode()
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([pipe], [], [], left)[0]:
            part = os.read(pipe, 65_536)
            assert part, process.communicate()[1].decode()
            output += part
    process.kill()
    rest, errors = process.communicate(timeout=60)
    assert errors == b""
    complete, _, _ = (output + rest).rpartition(b"\n")
    return complete.decode().split("\n")


def kept_sizes(store: Store) -> list[int]:
    """Sizes of all kept checkpoints, page by page."""
    sizes: list[int] = []
    while page := store.checkpoints(after_size=sizes[-1] if sizes else None):
        sizes += [row.size for row in page]
    return sizes


def anchored_sizes(store: Store) -> list[int | None]:
    """Sizes of all anchors, page by page; each still as it was signed."""
    rows: list[OutboxRow] = []
    while page := store.anchors(after_id=rows[-1].id if rows else 0, states=["signed"]):
        rows += page
    return [row.size for row in rows]


def indexed(store: Store) -> list[int]:
    """Entry indexes of all datasets, page by page; each row as it was added."""
    rows: list[DatasetRow] = []
    while page := store.datasets_page(after=rows[-1].entry_index if rows else None):
        rows += page
    assert rows == [dataset(row.entry_index) for row in rows]
    return [row.entry_index for row in rows]


def test_what_was_acknowledged_survives_kill_9(location: str) -> None:
    rng = random.Random(20_260_102)
    acknowledged, grew = 0, 0
    for round_ in range(ROUNDS):
        lines = kill_after(start("forever", location), rng.uniform(0.02, 0.25))
        sizes = [int(line) for line in lines if line.isdigit()]
        grew += bool(sizes)
        acknowledged = max([acknowledged, *sizes])
        if not acknowledged and "open" not in lines:
            continue
        with open_store(location) as store:
            size = assert_whole(store)
            assert size >= acknowledged, f"round {round_}"
            assert [row.envelope for row in store.entries(0, size)] == [envelope(i) for i in range(size)]
            kept = kept_sizes(store)
            assert anchored_sizes(store) == kept
            assert indexed(store) == [0, *kept[:-1]][: len(kept)]
            assert store.index_size() == size == (kept[-1] if kept else 0)
            assert store.check() == []
            acknowledged = size
    assert grew >= ROUNDS // 2, "the machine was too slow for this test to say anything"


def test_kill_9_while_the_store_is_made(location: str) -> None:
    """Whenever it comes, the next `create` opens a sound store."""
    rng = random.Random(7)
    for _ in range(6):
        process = start("forever", location)
        time.sleep(rng.uniform(0.05, 0.25))
        process.kill()
        process.communicate(timeout=60)
        with open_store(location, create=True) as store:
            assert_whole(store)
            assert store.check() == []


def test_many_processes_make_one_store(location: str) -> None:
    processes = [start("forever", location) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
    for process in processes:
        process.kill()
        process.communicate(timeout=60)
    with open_store(location) as store:
        size = assert_whole(store)
        assert [row.envelope for row in store.entries(0, size)] == [envelope(i) for i in range(size)]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_is_refused_its_parents_store(location: str) -> None:
    with open_store(location, create=True) as store:
        store.size()
        child = os.fork()
        if child == 0:
            verdict = 1
            try:
                store.size()
            except StoreError:
                try:
                    with store.transaction():
                        pass
                except StoreError:
                    verdict = 0
            finally:
                os._exit(verdict)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert store.size() == 0
