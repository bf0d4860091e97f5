"""Sorted trees equal Python's sorted set, however little memory they get and however often rows come again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import MalformedError, StoreError
from provenance.merkle import EMPTY_ROOT, root_of
from provenance.merkle.bulk import Hashes, HashTier
from provenance.stores.trees.runs import RunFile
from provenance.stores.trees.sorting import SortedTreeWriter
from provenance.stores.trees.writing import TreeWriter
from tests.unit.stores.trees.making import as_list, random_leaves, store_sorted


def check(folder: Path, leaves: Hashes, memory_rows: int, step: int, pool: ThreadPoolExecutor | None = None) -> None:
    listed = as_list(leaves)
    expected = sorted(set(listed))
    first = {leaf: row for row, leaf in reversed(list(enumerate(listed)))}
    with SortedTreeWriter(folder, tier=HashTier.LANES, pool=pool, memory_rows=memory_rows) as writer:
        for start in range(0, len(leaves), step):
            writer.append(leaves[start : start + step])
        tree = writer.finish()
        assert writer.distinct == len(expected)
    with tree:
        assert as_list(tree.leaves()) == expected
        assert tree.root == root_of(expected)
        assert tree.companions(np.arange(tree.size)).tolist() == [first[leaf] for leaf in expected]
        tree.check()
        assert [path for path in folder.iterdir() if path != tree.path] == []


@pytest.mark.parametrize("memory_rows", [1, 2, 3, 64, 1_000, 10_000])
@pytest.mark.parametrize("distinct", [1, 5, 3_000])
def test_any_memory_and_any_repetition(memory_rows: int, distinct: int, tmp_path: Path) -> None:
    chosen = np.random.default_rng(distinct).integers(0, distinct, 3_000)
    leaves = random_leaves(distinct)[chosen]
    size = 300 if memory_rows < 64 else 3_000
    check(tmp_path, leaves[:size], memory_rows, 700)


@pytest.mark.parametrize("memory_rows", [5, 50, 10_000])
def test_leaves_that_crowd_together(memory_rows: int, tmp_path: Path) -> None:
    leaves = random_leaves(500)
    leaves[:200, :20] = 0
    leaves[200:400, :31] = 255
    leaves[400] = 0
    leaves[401] = 255
    check(tmp_path, leaves, memory_rows, 33)


@given(st.lists(st.integers(0, 12), max_size=80), st.integers(1, 30), st.integers(1, 30), st.sampled_from([0, 8, 31]))
@settings(max_examples=40)
def test_random_tables(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int], memory: int, step: int, at: int
) -> None:
    leaves = np.zeros((len(rows), 32), np.uint8)
    leaves[:, at] = rows
    check(tmp_path_factory.mktemp("trees"), leaves, memory, step)


def test_threads_change_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        check(tmp_path, random_leaves(20_000), 1_000, 3_000, pool)


def test_a_root_alone_is_that_of_the_stored_tree(tmp_path: Path) -> None:
    leaves = np.concatenate([random_leaves(500), random_leaves(500)])
    with store_sorted(tmp_path, leaves) as tree:
        for memory_rows in (10, 5_000):
            with SortedTreeWriter(None, tier=HashTier.LANES, memory_rows=memory_rows) as writer:
                writer.append(leaves)
                assert writer.finish_root() == tree.root
                assert writer.distinct == 500
    with SortedTreeWriter(None, tier=HashTier.LANES) as writer:
        assert writer.finish_root() == EMPTY_ROOT
    with SortedTreeWriter(None, tier=HashTier.LANES) as writer, pytest.raises(StoreError, match="no place"):
        writer.finish()


def test_the_caller_may_use_its_array_again(tmp_path: Path) -> None:
    leaves = random_leaves(10)
    expected = sorted(as_list(leaves))
    with SortedTreeWriter(tmp_path, tier=HashTier.LANES) as writer:
        writer.append(leaves)
        leaves[:] = 0
        with writer.finish() as tree:
            assert as_list(tree.leaves()) == expected


def test_a_finished_tree_takes_nothing_more(tmp_path: Path) -> None:
    for memory_rows in (2, 100):
        with SortedTreeWriter(tmp_path, tier=HashTier.LANES, memory_rows=memory_rows) as writer:
            writer.append(random_leaves(5))
            writer.finish().close()
            with pytest.raises(StoreError, match="finished"):
                writer.append(random_leaves(1))
            with pytest.raises(StoreError, match="finished"):
                writer.finish()
            with pytest.raises(StoreError, match="finished"):
                writer.finish_root()


def test_wrong_arguments_are_malformed(tmp_path: Path) -> None:
    with pytest.raises(MalformedError):
        SortedTreeWriter(tmp_path, tier=HashTier.LANES, memory_rows=0)
    with SortedTreeWriter(tmp_path, tier=HashTier.LANES) as writer, pytest.raises(MalformedError):
        writer.append(np.zeros(32, np.uint8))


def test_an_order_or_row_number_that_is_wrong_fails_the_check(tmp_path: Path) -> None:
    leaves = random_leaves(9)
    for wrong in (leaves[np.argsort(leaves[:, 0])[::-1]], np.repeat(leaves[:1], 3, axis=0)):
        with TreeWriter(tmp_path, tier=HashTier.LANES) as writer:
            writer.append(wrong)
            numbers = np.arange(len(wrong), dtype=np.uint64)
            tree = writer.finish(companion=[numbers], companion_bytes=8)
        with tree, pytest.raises(StoreError, match="out of order"):
            tree.check()
    with store_sorted(tmp_path, leaves) as tree:
        data = bytearray(tree.path.read_bytes())
        data[-1] ^= 1
        tree.path.write_bytes(data)
        with pytest.raises(StoreError, match="row numbers"):
            tree.check()


@pytest.mark.parametrize("max_records", [1, 7, 100])
def test_pieces_are_no_larger_than_asked_unless_they_hold_one_hash(max_records: int, tmp_path: Path) -> None:
    with (tmp_path / "runs").open("w+b") as file:
        runs = RunFile(file)
        for seed in range(12):
            leaves = np.concatenate([random_leaves(40, seed), random_leaves(3, 99)])
            order = sorted(range(43), key=lambda index: leaves[index].tobytes())
            runs.add(leaves[order], np.arange(43, dtype=np.uint64) + 43 * seed)
        seen: list[bytes] = []
        for piece in runs.pieces(max_records):
            hashes, rows = runs.load(piece)
            records = sum(part.end - part.begin for part in piece)
            assert records <= max_records or (len(hashes) == 1 and records <= 12)
            seen += as_list(hashes)
            assert len(rows) == len(hashes)
        assert seen == sorted(set(seen)) and len(seen) == 12 * 40 + 3
