"""Differences of two trees through checked reads: against a comparison leaf by leaf, and with stores that lie."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.errors import MalformedError, VerificationError
from provenance.merkle import ReadHash, leaf_hash
from provenance.merkle.difference import diff_trees
from tests.unit.merkle.oracle import LEAVES, mth, reader


def diff(old: list[bytes], new: list[bytes]) -> list[tuple[int, int]]:
    return list(diff_trees(reader(old), len(old), mth(old), reader(new), len(new), mth(new)))


def naive(old: list[bytes], new: list[bytes]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for index, (before, after) in enumerate(zip(old, new, strict=False)):
        if before != after:
            if runs and runs[-1][1] == index:
                runs[-1] = runs[-1][0], index + 1
            else:
                runs.append((index, index + 1))
    return runs


def changed(leaves: list[bytes], places: set[int]) -> list[bytes]:
    return [leaf_hash(b"changed" + leaf) if index in places else leaf for index, leaf in enumerate(leaves)]


def test_one_change_anywhere_in_every_pair_of_sizes() -> None:
    for old in range(20):
        for new in range(20):
            assert diff(LEAVES[:old], LEAVES[:new]) == []
            for place in range(new):
                after = changed(LEAVES[:new], {place})
                assert diff(LEAVES[:old], after) == naive(LEAVES[:old], after)


@given(st.integers(0, 300), st.integers(0, 300), st.sets(st.integers(0, 299), max_size=60))
def test_random_changes_equal_the_naive_comparison(old: int, new: int, places: set[int]) -> None:
    after = changed(LEAVES[:new], places)
    assert diff(LEAVES[:old], after) == naive(LEAVES[:old], after)


def test_reads_grow_with_changes_and_not_with_leaves() -> None:
    leaves = [leaf_hash(str(number).encode()) for number in range(1 << 14)]
    reads = 0

    def counted(read: ReadHash) -> ReadHash:
        def count(level: int, index: int) -> bytes:
            nonlocal reads
            reads += 1
            return read(level, index)

        return count

    after = changed(leaves, {77, 9_000})
    found = diff_trees(
        counted(reader(leaves)), len(leaves), mth(leaves), counted(reader(after)), len(leaves), mth(after)
    )
    assert list(found) == [(77, 78), (9_000, 9_001)]
    assert reads <= 2 * 2 * (2 * 14 + 1)


@pytest.mark.parametrize("sizes", [(13, 13), (16, 11), (5, 12)])
def test_every_read_that_lies_is_found_out_or_was_not_needed(sizes: tuple[int, int]) -> None:
    old, new = LEAVES[: sizes[0]], changed(LEAVES[: sizes[1]], {3, 4})
    asked: set[tuple[int, int]] = set()
    truthful = reader(new)

    def recorded(level: int, index: int) -> bytes:
        asked.add((level, index))
        return truthful(level, index)

    expected = list(diff_trees(reader(old), len(old), mth(old), recorded, len(new), mth(new)))
    assert expected == [(3, 5)] and len(asked) >= 5
    for lie in asked:
        for value in (bytes(32), reader(old)(0, 0)):

            def lying(level: int, index: int, lie: tuple[int, int] = lie, value: bytes = value) -> bytes:
                return value if (level, index) == lie else truthful(level, index)

            with pytest.raises(VerificationError):
                list(diff_trees(reader(old), len(old), mth(old), lying, len(new), mth(new)))


def test_a_root_of_another_tree_and_hashes_of_another_length_are_refused() -> None:
    read, root = reader(LEAVES[:9]), mth(LEAVES[:9])
    with pytest.raises(VerificationError, match="root"):
        list(diff_trees(read, 9, root, read, 9, LEAVES[0]))
    with pytest.raises(VerificationError, match="root"):
        list(diff_trees(read, 8, root, read, 9, root))
    with pytest.raises(MalformedError):
        list(diff_trees(lambda level, index: b"short", 9, root, read, 9, root))
    for size in (-1, 2**64):
        with pytest.raises(MalformedError):
            list(diff_trees(read, size, root, read, 9, root))


def test_random_large_trees_with_the_longer_one_new() -> None:
    generator = random.Random(9)
    leaves = [leaf_hash(str(number).encode()) for number in range(5_000)]
    places = set(generator.sample(range(5_000), 40))
    assert diff(leaves[:4_097], changed(leaves, places)) == naive(leaves[:4_097], changed(leaves, places))
