"""Compact ranges: every split of every small tree, random ones of large trees, and hostile ranges."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.errors import MalformedError
from provenance.limits import MAX_UINT64
from provenance.merkle import EMPTY_ROOT, CompactRange, leaf_hash, root_of
from tests.unit.merkle.oracle import LEAVES, mth


def range_of(begin: int, end: int, leaves: list[bytes] = LEAVES) -> CompactRange:
    found = CompactRange(begin)
    for leaf in leaves[begin:end]:
        found.append(leaf)
    return found


def cover(begin: int, end: int) -> list[tuple[int, bytes]]:
    """The largest perfect subtree that begins at `begin` and fits, and so on."""
    nodes = []
    while begin < end:
        level = 0
        while begin % (2 << level) == 0 and begin + (2 << level) <= end:
            level += 1
        nodes.append((level, mth(LEAVES[begin : begin + (1 << level)])))
        begin += 1 << level
    return nodes


def test_nodes_are_the_largest_perfect_subtrees() -> None:
    for begin in range(34):
        for end in range(begin, 41):
            found = range_of(begin, end)
            assert (found.begin, found.size) == (begin, end)
            assert list(found.nodes) == cover(begin, end)


def test_every_split_in_three_up_to_40_leaves_merges_into_the_root() -> None:
    for size in range(41):
        for first in range(size + 1):
            for second in range(first, size + 1):
                whole = range_of(0, first)
                rest = range_of(first, second)
                rest.merge(range_of(second, size))
                whole.merge(rest)
                assert whole.root() == mth(LEAVES[:size])
                assert whole.nodes == range_of(0, size).nodes


@given(st.randoms(use_true_random=False))
def test_random_splits_merge_in_any_order(generator: random.Random) -> None:
    size = generator.randrange(1, 300)
    cuts = sorted({0, size, *(generator.randrange(size) for _ in range(6))})
    ranges = [range_of(begin, end) for begin, end in pairwise(cuts)]
    while len(ranges) > 1:
        place = generator.randrange(len(ranges) - 1)
        ranges[place].merge(ranges.pop(place + 1))
    assert ranges[0].root() == root_of(LEAVES[:size])


def test_a_large_tree_in_uneven_parts() -> None:
    generator = random.Random(5)
    leaves = [leaf_hash(number.to_bytes(4, "big")) for number in range(30_011)]
    cuts = [0, *sorted(generator.sample(range(1, len(leaves)), 12)), len(leaves)]
    whole = CompactRange()
    for begin, end in pairwise(cuts):
        part = range_of(begin, end, leaves)
        assert len(part.nodes) <= 30
        whole.merge(CompactRange.of(part.begin, part.nodes))
    assert whole.root() == root_of(leaves)


def test_ranges_that_do_not_meet_are_refused() -> None:
    for begin in (0, 2, 4):
        with pytest.raises(MalformedError, match="do not meet"):
            range_of(0, 3).merge(range_of(begin, begin + 2))


def test_a_range_from_the_middle_has_no_root() -> None:
    assert CompactRange().root() == EMPTY_ROOT
    with pytest.raises(MalformedError, match="no root"):
        range_of(2, 4).root()


def test_subtrees_are_appended_where_they_are_aligned() -> None:
    found = CompactRange()
    found.append_subtree(3, mth(LEAVES[:8]))
    found.append_subtree(2, mth(LEAVES[8:12]))
    assert found.root() == mth(LEAVES[:12])
    with pytest.raises(MalformedError, match="aligned"):
        found.append_subtree(3, mth(LEAVES[12:20]))
    assert found.root() == mth(LEAVES[:12])


@pytest.mark.parametrize(
    ("begin", "nodes"),
    [
        (0, [(0, LEAVES[0]), (0, LEAVES[1])]),
        (1, [(1, LEAVES[0])]),
        (0, [(-1, LEAVES[0])]),
        (0, [(64, LEAVES[0])]),
        (0, [(0, LEAVES[0][:31])]),
        (0, [(0, b"")]),
        (-1, []),
        (MAX_UINT64 + 1, []),
        (MAX_UINT64, [(0, LEAVES[0])]),
        (1 << 63, [(63, LEAVES[0])]),
    ],
)
def test_what_no_worker_can_have_sent_is_malformed(begin: int, nodes: list[tuple[int, bytes]]) -> None:
    with pytest.raises(MalformedError):
        CompactRange.of(begin, nodes)
