"""Reading stored trees: every damaged byte is found, and never becomes a proof."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from provenance.errors import MalformedError, StoreError, VerificationError
from provenance.merkle import prove_consistency, root_of, verify_consistency, verify_inclusion
from provenance.merkle.absence import verify_absence
from provenance.merkle.span import verify_range
from provenance.merkle.tree_file import HEADER_BYTES
from provenance.stores.trees import open_tree
from tests.paths import PROJECT
from tests.unit.stores.trees.making import as_list, random_leaves, store, store_sorted


def test_every_damaged_byte_is_found_by_check_and_never_in_a_proof(tmp_path: Path) -> None:
    leaves = random_leaves(21)
    with store_sorted(tmp_path, leaves) as tree:
        whole, path, root = tree.path.read_bytes(), tree.path, tree.root
    ordered = sorted(as_list(leaves))
    found_at_opening = refused = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            tree = open_tree(path)
        except StoreError:
            found_at_opening += 1
            continue
        assert place >= HEADER_BYTES
        with tree:
            with pytest.raises(StoreError):
                tree.check()
            for index in range(21):
                try:
                    proof = tree.prove(index)
                except StoreError:
                    refused += 1
                else:
                    verify_inclusion(ordered[index], index, 21, proof, root)
    assert found_at_opening >= HEADER_BYTES and refused > 21


def test_every_cut_file_is_refused(tmp_path: Path) -> None:
    with store_sorted(tmp_path, random_leaves(20)) as tree:
        whole, path = tree.path.read_bytes(), tree.path
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(StoreError):
            open_tree(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(StoreError, match="another length"):
        open_tree(path)


def test_a_file_that_is_cut_while_it_is_open_is_an_error(tmp_path: Path) -> None:
    with store_sorted(tmp_path, random_leaves(50_000)) as tree:
        os.truncate(tree.path, HEADER_BYTES + 4_096)
        for work in (
            lambda: tree.read(0, 40_000),
            lambda: tree.prove(40_000),
            lambda: tree.leaves(),
            lambda: tree.find_many(random_leaves(5_000)),
            lambda: tree.companion(40_000),
            tree.check,
        ):
            with pytest.raises(StoreError):
                work()


def test_ranges_absence_and_consistency_from_a_file(tmp_path: Path) -> None:
    leaves = random_leaves(1_000)
    with store(tmp_path, leaves) as tree, store_sorted(tmp_path, leaves) as index:
        for begin, end in [(0, 1), (0, 1_000), (3, 700), (999, 1_000)]:
            verify_range(as_list(leaves[begin:end]), begin, 1_000, tree.prove_range(begin, end), tree.root)
        for size in (1, 8, 13, 999, 1_000):
            proof = prove_consistency(size, 1_000, tree.read)
            verify_consistency(size, 1_000, root_of(as_list(leaves[:size])), tree.root, proof)
        for target in [*as_list(random_leaves(50, seed=2)), bytes(32), b"\xff" * 32]:
            assert index.find(target) is None
            verify_absence(target, index.prove_absence(target), 1_000, index.root)
        for row, leaf in enumerate(as_list(leaves)):
            position = index.find(leaf)
            assert position is not None and index.companion(position) == row
            with pytest.raises(VerificationError):
                index.prove_absence(leaf)


def test_positions_outside_the_tree_are_malformed(tmp_path: Path) -> None:
    with store(tmp_path, random_leaves(20)) as tree, store_sorted(tmp_path, random_leaves(20)) as index:
        for level, place in [(-1, 0), (0, 20), (0, -1), (1, 10), (2, 5), (4, 1), (5, 0), (70, 0), (0, 2**70)]:
            with pytest.raises(MalformedError):
                tree.read(level, place)
        for begin, end in [(-1, 3), (3, 2), (0, 21)]:
            with pytest.raises(MalformedError):
                tree.leaves(begin, end)
        for place in (-1, 20):
            with pytest.raises(MalformedError):
                tree.prove(place)
            with pytest.raises(MalformedError):
                index.companion(place)
        with pytest.raises(MalformedError):
            tree.hashes(1, 0, 1)
        with pytest.raises(MalformedError):
            tree.companion(0)
        with pytest.raises(MalformedError):
            tree.companions(np.array([0]))
        for positions in ([20], [-2]):
            with pytest.raises(MalformedError):
                index.companions(np.array(positions))
        with pytest.raises(MalformedError):
            index.find_many(np.zeros((1, 31), np.uint8))


@pytest.mark.parametrize("asked", [0, 1, 3, 500, 5_000])
def test_many_at_once_are_found_as_one_by_one(asked: int, tmp_path: Path) -> None:
    leaves = random_leaves(4_000)
    generator = np.random.default_rng(asked)
    targets = np.concatenate([leaves, random_leaves(4_000, seed=2)])[generator.integers(0, 8_000, asked)]
    with store_sorted(tmp_path, leaves) as index:
        expected = [index.find(target) for target in as_list(targets)]
        found = index.find_many(targets)
        assert found.tolist() == [-1 if position is None else position for position in expected]
        rows = {leaf: row for row, leaf in enumerate(as_list(leaves))}
        assert index.companions(found).tolist() == [rows.get(target, -1) for target in as_list(targets)]


def test_leaves_with_the_same_first_bytes_are_found_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provenance.stores.trees.finding._BLOCK_LEAVES", 7)
    leaves = random_leaves(60)
    leaves[10:50, :8] = 99
    absent = leaves.copy()
    absent[:, 31] ^= 1
    with store_sorted(tmp_path, leaves, memory_rows=9) as index:
        expected = sorted(as_list(leaves))
        found = index.find_many(np.concatenate([leaves, absent]))
        assert [expected[position] for position in found[:60].tolist()] == as_list(leaves)
        assert set(found[60:].tolist()) == {-1}
        assert index.companions(found[:60]).tolist() == list(range(60))


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "absent"):
        with pytest.raises(StoreError):
            open_tree(path)


def test_a_closed_tree_says_so(tmp_path: Path) -> None:
    tree = store(tmp_path, random_leaves(5))
    tree.close()
    tree.close()
    with pytest.raises(StoreError, match="closed"):
        tree.read(0, 0)


def test_threads_share_a_tree(tmp_path: Path) -> None:
    leaves = random_leaves(3_000)
    with store(tmp_path, leaves) as tree, ThreadPoolExecutor(8) as pool:
        proofs = list(pool.map(tree.prove, range(0, 3_000, 7)))
        for index, proof in zip(range(0, 3_000, 7), proofs, strict=True):
            verify_inclusion(leaves[index].tobytes(), index, 3_000, proof, tree.root)


def test_a_proof_loads_no_arrays(tmp_path: Path) -> None:
    with store_sorted(tmp_path, random_leaves(1_000)) as tree:
        path = str(tree.path)
    code = """
import sys
from provenance.stores.trees import open_tree
with open_tree(sys.argv[1]) as tree:
    tree.prove(5), tree.prove_range(3, 9), tree.prove_absence(bytes(32)), tree.companion(4)
print(*sorted({"numpy", "pyarrow", "stringzilla", "blake3"} & set(sys.modules)))
"""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-c", code, path], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
