"""Set differences of sorted trees equal those of Python's sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from provenance.merkle.difference import diff_trees
from provenance.stores.trees.comparing import diff_sorted
from tests.unit.stores.trees.making import as_list, random_leaves, store, store_sorted


@pytest.mark.parametrize("block_leaves", [1, 2, 7, 100, 1 << 18])
@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 50), (50, 0), (200, 200), (300, 40), (40, 300)])
def test_added_and_removed_equal_sets(old: int, new: int, block_leaves: int, tmp_path: Path) -> None:
    shared = random_leaves(60)
    shared[:20, :8] = 7
    before, after = np.concatenate([shared, random_leaves(old, 2)]), np.concatenate([shared, random_leaves(new, 3)])
    with store_sorted(tmp_path, before) as left, store_sorted(tmp_path, after) as right:
        parts = list(diff_sorted(left, right, block_leaves=block_leaves))
        removed = [leaf for part in parts for leaf in as_list(part.removed)]
        added = [leaf for part in parts for leaf in as_list(part.added)]
        assert removed == sorted(set(as_list(before)) - set(as_list(after)))
        assert added == sorted(set(as_list(after)) - set(as_list(before)))
        assert removed == [left.read(0, int(place)) for part in parts for place in part.removed_positions]
        assert added == [right.read(0, int(place)) for part in parts for place in part.added_positions]


def test_empty_and_equal_trees_do_not_differ(tmp_path: Path) -> None:
    with store_sorted(tmp_path, random_leaves(0)) as empty, store_sorted(tmp_path, random_leaves(9)) as tree:
        assert list(diff_sorted(empty, empty)) == list(diff_sorted(tree, tree)) == []
        (part,) = diff_sorted(empty, tree)
        assert len(part.added) == 9 and len(part.removed) == 0


def test_two_stored_trees_are_compared_in_place_through_their_files(tmp_path: Path) -> None:
    leaves = random_leaves(10_000)
    changed = leaves.copy()
    changed[[5, 6, 9_999]] = 1
    with store(tmp_path, leaves) as old, store(tmp_path, changed) as new:
        found = diff_trees(old.read, old.size, old.root, new.read, new.size, new.root)
        assert list(found) == [(5, 7), (9_999, 10_000)]
