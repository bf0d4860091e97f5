"""Stored trees of every small size and across blocks: whole, equal to the root over their leaves, and alone there."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from provenance.errors import MalformedError, StoreError
from provenance.merkle import EMPTY_ROOT, root_of, verify_inclusion
from provenance.merkle.bulk import HashTier, root_of_array
from provenance.stores.trees import open_tree
from provenance.stores.trees import writing as writing_module
from provenance.stores.trees.writing import BLOCK_LEAVES, TreeWriter
from tests.unit.stores.trees.making import as_list, random_leaves, store


@pytest.mark.parametrize("size", [*range(20), 31, 32, 33, 64, 70, 1_000])
def test_every_small_tree(size: int, tmp_path: Path) -> None:
    leaves = random_leaves(size)
    with store(tmp_path, leaves) as tree:
        assert tree.root == root_of(as_list(leaves))
        assert tree.size == size
        assert as_list(tree.leaves()) == as_list(leaves)
        for level in range(size.bit_length()):
            for index in range(size >> level):
                expected = root_of(as_list(leaves[index << level : (index + 1) << level]))
                assert tree.read(level, index) == expected
        for index in range(min(size, 70)):
            verify_inclusion(leaves[index].tobytes(), index, size, tree.prove(index), tree.root)
        tree.check()
        assert tree.path == tmp_path / f"{tree.root.hex()}.tree"
        assert list(tmp_path.iterdir()) == [tree.path]
        assert stat.S_IMODE(tree.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("more", [-1, 0, 1, 12_345])
@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("memory_bytes", [0, 1 << 28])
def test_trees_of_several_blocks(blocks: int, more: int, memory_bytes: int, tmp_path: Path) -> None:
    leaves = random_leaves(blocks * BLOCK_LEAVES + more)
    with (
        ThreadPoolExecutor(2) as pool,
        TreeWriter(tmp_path, tier=HashTier.LANES, pool=pool, memory_bytes=memory_bytes) as writer,
    ):
        step = 50_021
        for start in range(0, len(leaves), step):
            writer.append(leaves[start : start + step])
            assert writer.size == min(start + step, len(leaves))
        tree = writer.finish()
    with tree:
        assert tree.root == root_of_array(leaves, tier=HashTier.HASHLIB)
        tree.check(HashTier.LANES)
        assert tree.path.stat().st_size <= 2_048 + 64 * tree.size
        for index in (0, 1, BLOCK_LEAVES - 2, len(leaves) - 1):
            assert len(tree.prove(index)) <= 18


def test_the_same_bytes_whatever_the_steps_memory_and_threads(tmp_path: Path) -> None:
    leaves = random_leaves(BLOCK_LEAVES + 999)
    files = []
    for number, step in enumerate((7_001, len(leaves), 40_000)):
        with (
            ThreadPoolExecutor(2) as pool,
            TreeWriter(
                tmp_path / str(number),
                tier=list(HashTier)[number % 2],
                pool=pool if number else None,
                memory_bytes=(1 << 14) * number,
            ) as writer,
        ):
            for start in range(0, len(leaves), step):
                writer.append(leaves[start : start + step])
            files.append(writer.finish().path.read_bytes())
    assert files[0] == files[1] == files[2]


def test_a_damaged_hash_of_any_level_is_found(tmp_path: Path) -> None:
    with store(tmp_path, random_leaves(5 * BLOCK_LEAVES + 8)) as tree:
        path, layout = tree.path, tree.layout
    whole = path.read_bytes()
    for level, offset in layout.offsets.items():
        for place in (offset, offset + 32 * layout.count(level) - 1):
            damaged = bytearray(whole)
            damaged[place] ^= 1
            path.write_bytes(damaged)
            with pytest.raises(StoreError, match="damaged"), open_tree(path) as tree:  # some when it is opened
                tree.check(HashTier.LANES)


def test_bytes_are_on_the_disk_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def seen_fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        events.append("folder" if stat.S_ISDIR(status.st_mode) else f"{status.st_size} bytes")
        fsync(descriptor)

    def seen_replace(self: Path, target: Path) -> Path:
        events.append(f"named {target.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(Path, "replace", seen_replace)
    with store(tmp_path / "new", random_leaves(20)) as tree:
        name, length = tree.path.name, tree.layout.file_bytes
    assert events == ["folder", f"{length} bytes", f"named {name}", "folder"]


def test_a_root_alone_needs_no_place() -> None:
    for size in (0, 1, 5, BLOCK_LEAVES, BLOCK_LEAVES + 3):
        leaves = random_leaves(size)
        with TreeWriter(tier=HashTier.LANES) as writer:
            writer.append(leaves)
            assert writer.finish_root() == root_of_array(leaves, tier=HashTier.LANES)
            assert writer.finish_root() == root_of_array(leaves, tier=HashTier.LANES)
            with pytest.raises(StoreError, match="no place"):
                writer.finish()
    assert TreeWriter(tier=HashTier.HASHLIB).finish_root() == EMPTY_ROOT


def test_the_caller_may_use_its_array_again(tmp_path: Path) -> None:
    leaves = random_leaves(100)
    expected = root_of(as_list(leaves))
    with TreeWriter(tmp_path, tier=HashTier.LANES) as writer:
        writer.append(leaves)
        leaves[:] = 0
        with writer.finish() as tree:
            assert tree.root == expected


def test_the_same_tree_again_replaces_the_file(tmp_path: Path) -> None:
    first, second = store(tmp_path, random_leaves(9)), store(tmp_path, random_leaves(9))
    first.check()  # its file is another by now, but still there for it
    assert first.path == second.path and list(tmp_path.iterdir()) == [first.path]
    first.close()
    second.close()


def test_a_finished_tree_takes_nothing_more(tmp_path: Path) -> None:
    with TreeWriter(tmp_path, tier=HashTier.LANES) as writer:
        writer.append(random_leaves(5))
        writer.finish_root()
        with pytest.raises(StoreError, match="finished"):
            writer.append(random_leaves(1))
        writer.finish().close()
        with pytest.raises(StoreError, match="finished"):
            writer.finish()


def test_what_is_no_array_of_hashes_is_malformed(tmp_path: Path) -> None:
    with TreeWriter(tmp_path, tier=HashTier.LANES) as writer, pytest.raises(MalformedError):
        writer.append(np.zeros((3, 31), np.uint8))


def test_row_numbers_must_be_as_many_as_leaves(tmp_path: Path) -> None:
    for count in (2, 4):
        with TreeWriter(tmp_path, tier=HashTier.LANES) as writer:
            writer.append(random_leaves(3))
            with pytest.raises(MalformedError, match="row numbers"):
                writer.finish(companion=[np.zeros(count, np.uint64)], companion_bytes=4)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_finished_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), TreeWriter(tmp_path, tier=HashTier.LANES, memory_bytes=0) as writer:
        writer.append(random_leaves(BLOCK_LEAVES + 1))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_failure_in_a_thread_reaches_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(leaves: object, *, tier: HashTier) -> None:
        raise StoreError("thread failed")

    monkeypatch.setattr(writing_module, "subtree_levels", fail)
    with (
        ThreadPoolExecutor(2) as pool,
        TreeWriter(tmp_path, tier=HashTier.LANES, pool=pool) as writer,
        pytest.raises(StoreError, match="thread failed"),
    ):
        for _ in range(10):
            writer.append(random_leaves(BLOCK_LEAVES))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be written"):
        TreeWriter(tmp_path / "file", tier=HashTier.LANES)
    with pytest.raises(StoreError, match="cannot be read"):
        open_tree(tmp_path / "absent")
