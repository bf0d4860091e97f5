"""Proofs against a naive oracle written from RFC 9162, and rejection of every changed byte."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.errors import MalformedError, ProvenanceError
from provenance.limits import MAX_UINT64
from provenance.merkle import (
    EMPTY_ROOT,
    CompactRange,
    prove_consistency,
    prove_inclusion,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from tests.unit.merkle.oracle import LEAVES, mth, reader


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 9162 2.1.3.1, word for word."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    """RFC 9162 2.1.4.1, word for word."""
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


read = reader(LEAVES)


def test_empty_tree() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert root_of([]) == CompactRange().root() == EMPTY_ROOT


def test_roots_equal_the_oracle_at_every_size() -> None:
    tree = CompactRange()
    for size, leaf in enumerate(LEAVES, 1):
        tree.append(leaf)
        assert tree.size == size
        assert tree.root() == root_of(LEAVES[:size]) == mth(LEAVES[:size])


@pytest.mark.parametrize("size", [*range(1, 36), 64, 65, 127, 128, 129, 255, 256, 257, 300])
def test_inclusion_proofs_equal_the_oracle(size: int) -> None:
    root = mth(LEAVES[:size])
    for index in range(size) if size < 70 else random.Random(size).sample(range(size), 12):
        proof = prove_inclusion(index, size, read)
        assert proof == path(index, LEAVES[:size])
        verify_inclusion(LEAVES[index], index, size, proof, root)


@pytest.mark.parametrize("size2", [*range(1, 36), 64, 65, 129, 300])
def test_consistency_proofs_equal_the_oracle(size2: int) -> None:
    for size1 in range(1, size2 + 1) if size2 < 70 else random.Random(size2).sample(range(1, size2), 12):
        proof = prove_consistency(size1, size2, read)
        assert proof == subproof(size1, LEAVES[:size2], True)
        verify_consistency(size1, size2, mth(LEAVES[:size1]), mth(LEAVES[:size2]), proof)


@given(st.data())
def test_one_changed_bit_is_rejected(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 300))
    index = data.draw(st.integers(0, size - 1))
    proof, root, leaf = prove_inclusion(index, size, read), mth(LEAVES[:size]), LEAVES[index]
    parts = [leaf, root, *proof]
    target, bit = data.draw(st.integers(0, len(parts) - 1)), data.draw(st.integers(0, 255))
    changed = bytearray(parts[target])
    changed[bit // 8] ^= 1 << bit % 8
    parts[target] = bytes(changed)
    with pytest.raises(ProvenanceError):
        verify_inclusion(parts[0], index, size, parts[2:], parts[1])


@given(st.data())
def test_one_changed_bit_of_a_consistency_proof_is_rejected(data: st.DataObject) -> None:
    size2 = data.draw(st.integers(2, 300))
    size1 = data.draw(st.integers(1, size2 - 1))
    parts = [mth(LEAVES[:size1]), mth(LEAVES[:size2]), *prove_consistency(size1, size2, read)]
    target, bit = data.draw(st.integers(0, len(parts) - 1)), data.draw(st.integers(0, 255))
    changed = bytearray(parts[target])
    changed[bit // 8] ^= 1 << bit % 8
    parts[target] = bytes(changed)
    with pytest.raises(ProvenanceError):
        verify_consistency(size1, size2, parts[0], parts[1], parts[2:])


@given(st.integers(1, 40), st.integers(0, 39), st.integers(1, 40), st.integers(0, 39))
def test_a_proof_holds_for_its_index_only(size: int, index: int, size2: int, index2: int) -> None:
    index, index2 = index % size, index2 % size2
    proof = prove_inclusion(index, size, read)
    if (index, size) != (index2, size2):
        with pytest.raises(ProvenanceError):
            verify_inclusion(LEAVES[index], index2, size2, proof, mth(LEAVES[:size2]))


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 1), (5, 5), (2**64, 2**64 + 1), (0, MAX_UINT64 + 1)])
def test_impossible_positions_are_malformed(index: int, size: int) -> None:
    with pytest.raises(MalformedError):
        verify_inclusion(LEAVES[0], index, size, [], LEAVES[0])
    with pytest.raises(MalformedError):
        prove_inclusion(index, size, read)


@pytest.mark.parametrize("length", [0, 1, 31, 33])
def test_hashes_of_another_length_are_malformed(length: int) -> None:
    with pytest.raises(MalformedError):
        verify_inclusion(bytes(length), 0, 1, [], LEAVES[0])
    with pytest.raises(MalformedError):
        verify_inclusion(LEAVES[0], 0, 1, [], bytes(length))
    with pytest.raises(MalformedError):
        verify_inclusion(LEAVES[0], 0, 2, [bytes(length)], LEAVES[0])
