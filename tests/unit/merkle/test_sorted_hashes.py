"""Sorting and finding hashes equals Python's own, above all where leading bytes are the same."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.merkle.bulk import Hashes
from provenance.merkle.sorted_hashes import first_disorder, locate, sort_distinct

BLOCKS = st.lists(
    st.binary(min_size=32, max_size=32)
    | st.builds(lambda head, tail: bytes([head]) * 8 + bytes(23) + bytes([tail]), st.integers(0, 2), st.integers(0, 3))
    | st.builds(lambda place: bytes(place) + b"\x01" + bytes(31 - place), st.integers(0, 31)),
    max_size=60,
)


def array_of(hashes: list[bytes]) -> Hashes:
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 32)


def lists_of(hashes: Hashes) -> list[bytes]:
    return [row.tobytes() for row in hashes]


def naive(hashes: list[bytes], rows: list[int]) -> tuple[list[bytes], list[int]]:
    lowest: dict[bytes, int] = {}
    for value, row in zip(hashes, rows, strict=True):
        lowest[value] = min(row, lowest.get(value, row))
    ordered = sorted(lowest)
    return ordered, [lowest[value] for value in ordered]


@given(BLOCKS, st.randoms(use_true_random=False))
def test_sorting_equals_a_dictionary(hashes: list[bytes], generator: random.Random) -> None:
    rows = list(range(len(hashes)))
    generator.shuffle(rows)
    found, first = sort_distinct(array_of(hashes), np.array(rows, np.uint64))
    assert (lists_of(found), first.tolist()) == naive(hashes, rows)
    assert first_disorder(found) == -1


@pytest.mark.parametrize("distinct", [1, 3, 1_000, 60_000])
def test_many_rows_of_few_leaves(distinct: int) -> None:
    generator = np.random.default_rng(distinct)
    leaves = generator.integers(0, 256, (distinct, 32), dtype=np.uint8)
    chosen = generator.integers(0, distinct, 50_000)
    found, rows = sort_distinct(leaves[chosen], np.arange(50_000, dtype=np.uint64))
    assert (lists_of(found), rows.tolist()) == naive(lists_of(leaves[chosen]), list(range(50_000)))


@given(BLOCKS, BLOCKS)
def test_finding_equals_a_dictionary(hashes: list[bytes], others: list[bytes]) -> None:
    block = sorted(set(hashes))
    places = {value: place for place, value in enumerate(block)}
    targets = [*others, *hashes]
    assert locate(array_of(block), array_of(targets)).tolist() == [places.get(value, -1) for value in targets]


@given(BLOCKS)
def test_the_first_disorder_is_found(hashes: list[bytes]) -> None:
    expected = next((i for i in range(1, len(hashes)) if hashes[i] <= hashes[i - 1]), -1)
    assert first_disorder(array_of(hashes)) == expected
