"""Range proofs against a naive oracle, and rejection of everything that is not one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.errors import MalformedError, ProvenanceError
from provenance.limits import MAX_UINT64
from provenance.merkle.span import prove_range, verify_range
from tests.unit.merkle.oracle import LEAVES, mth, mutations, reader

read = reader(LEAVES)


def outside(begin: int, end: int, low: int, leaves: list[bytes]) -> list[bytes]:
    """The proof by RFC 9162's split: a subtree apart from the range whole, one inside it not at all."""
    high = low + len(leaves)
    if high <= begin or end <= low:
        return [mth(leaves)]
    if begin <= low and high <= end:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return outside(begin, end, low, leaves[:k]) + outside(begin, end, low + k, leaves[k:])


@pytest.mark.parametrize("size", [*range(1, 40), 64, 65, 70])
def test_every_range_equals_the_oracle(size: int) -> None:
    root = mth(LEAVES[:size])
    for begin in range(size):
        for end in range(begin + 1, size + 1):
            proof = prove_range(begin, end, size, read)
            assert proof == outside(begin, end, 0, LEAVES[:size])
            assert len(proof) <= 2 * size.bit_length()
            verify_range(LEAVES[begin:end], begin, size, proof, root)


@pytest.mark.parametrize(
    ("begin", "end", "size"), [(0, 1, 1), (0, 1, 2), (3, 8, 21), (12, 13, 13), (5, 9, 9), (0, 7, 7)]
)
def test_every_changed_byte_is_rejected(begin: int, end: int, size: int) -> None:
    root, proof = mth(LEAVES[:size]), prove_range(begin, end, size, read)
    for changed in mutations(proof):
        with pytest.raises(ProvenanceError):
            verify_range(LEAVES[begin:end], begin, size, changed, root)
    for changed in mutations(LEAVES[begin:end]):
        with pytest.raises(ProvenanceError):
            verify_range(changed, begin, size, proof, root)
    for changed in mutations([root]):
        if len(changed) == 1:
            with pytest.raises(ProvenanceError):
                verify_range(LEAVES[begin:end], begin, size, proof, changed[0])


@given(st.data())
def test_a_proof_holds_for_its_place_and_size_only(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 40))
    begin = data.draw(st.integers(0, size - 1))
    end = data.draw(st.integers(begin + 1, size))
    size2, begin2 = data.draw(st.integers(1, 41)), data.draw(st.integers(0, 40))
    proof = prove_range(begin, end, size, read)
    if (begin, size) != (begin2, size2):
        with pytest.raises(ProvenanceError):
            verify_range(LEAVES[begin:end], begin2, size2, proof, mth(LEAVES[:size2]))


@pytest.mark.parametrize(
    ("begin", "end", "size"),
    [(0, 0, 0), (0, 0, 5), (3, 3, 5), (4, 3, 5), (-1, 2, 5), (0, 6, 5), (0, 1, MAX_UINT64 + 1)],
)
def test_impossible_ranges_are_malformed(begin: int, end: int, size: int) -> None:
    with pytest.raises(MalformedError):
        prove_range(begin, end, size, read)
    with pytest.raises(MalformedError):
        verify_range(LEAVES[: max(end - begin, 0)], begin, size, [], LEAVES[0])


def test_the_largest_tree_has_a_bounded_proof() -> None:
    with pytest.raises(MalformedError, match="too long"):
        verify_range([LEAVES[0]], 0, MAX_UINT64, [bytes(32)] * 129, LEAVES[0])
    with pytest.raises(ProvenanceError, match="root"):
        verify_range([LEAVES[0]], 0, 2**63, [bytes(32)] * 63, LEAVES[0])
