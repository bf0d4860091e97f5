"""Absence from sorted trees: every gap of every small tree, every changed byte, and keyed orders."""

from __future__ import annotations

import hmac
from dataclasses import replace

import pytest

from provenance.errors import MalformedError, ProvenanceError, VerificationError
from provenance.merkle import EMPTY_ROOT
from provenance.merkle.absence import AbsenceProof, find_leaf, prove_absence, verify_absence
from tests.unit.merkle.oracle import LEAVES, mth, mutations, reader

SORTED = sorted(LEAVES)


def around(leaves: list[bytes]) -> list[bytes]:
    """A leaf hash in each gap: before the first, between any two, behind the last."""
    numbers = [int.from_bytes(leaf, "big") for leaf in leaves]
    return [value.to_bytes(32, "big") for value in ([numbers[0] - 1] if numbers else [1]) + [n + 1 for n in numbers]]


@pytest.mark.parametrize("size", [*range(40), 64, 70])
def test_every_gap_is_proven_and_every_leaf_is_found(size: int) -> None:
    leaves, root = SORTED[:size], mth(SORTED[:size])
    read = reader(leaves)
    for position, target in enumerate(around(leaves)):
        proof = prove_absence(target, size, read)
        assert proof.position == position
        assert list(proof.neighbours) == leaves[max(position - 1, 0) : position + 1]
        verify_absence(target, proof, size, root)
    for position, target in enumerate(leaves):
        assert find_leaf(target, size, read) == (position, True)
        with pytest.raises(VerificationError, match="is in the dataset"):
            prove_absence(target, size, read)


@pytest.mark.parametrize("size", [0, 1, 2, 7, 13])
def test_no_proof_of_another_holds_for_a_leaf_that_is_there(size: int) -> None:
    leaves, root = SORTED[:size], mth(SORTED[:size])
    for target in around(leaves):
        proof = prove_absence(target, size, reader(leaves))
        for present in leaves:
            with pytest.raises(ProvenanceError):
                verify_absence(present, proof, size, root)


@pytest.mark.parametrize(("size", "gap"), [(1, 0), (1, 1), (2, 1), (9, 0), (9, 4), (9, 9), (12, 7)])
def test_every_changed_byte_is_rejected(size: int, gap: int) -> None:
    leaves, root = SORTED[:size], mth(SORTED[:size])
    target = around(leaves)[gap]
    proof = prove_absence(target, size, reader(leaves))
    for changed in mutations(proof.proof):
        with pytest.raises(ProvenanceError):
            verify_absence(target, replace(proof, proof=tuple(changed)), size, root)
    for changed in mutations(proof.neighbours):
        with pytest.raises(ProvenanceError):
            verify_absence(target, replace(proof, neighbours=tuple(changed)), size, root)
    for position in (-1, gap - 1, gap + 1, size + 1, 2**64):
        with pytest.raises(ProvenanceError):
            verify_absence(target, replace(proof, position=position), size, root)
    for changed in mutations([root]):
        with pytest.raises(ProvenanceError):
            verify_absence(target, proof, size, b"".join(changed))


def test_the_empty_tree_lacks_everything_and_proves_it_for_its_own_root_alone() -> None:
    proof = prove_absence(LEAVES[0], 0, reader([]))
    assert proof == AbsenceProof(0, (), ())
    verify_absence(LEAVES[0], proof, 0, EMPTY_ROOT)
    with pytest.raises(VerificationError):
        verify_absence(LEAVES[0], proof, 0, mth(LEAVES[:1]))
    with pytest.raises(ProvenanceError):
        verify_absence(LEAVES[0], proof, 1, mth(LEAVES[:1]))
    with pytest.raises(VerificationError):
        verify_absence(LEAVES[0], AbsenceProof(0, (), (bytes(32),)), 0, EMPTY_ROOT)
    with pytest.raises(MalformedError):
        verify_absence(LEAVES[0], AbsenceProof(0, (LEAVES[1],), ()), 0, EMPTY_ROOT)


def test_neighbours_with_a_leaf_between_them_are_rejected() -> None:
    leaves, root = SORTED[:9], mth(SORTED[:9])
    # The right leaves, in the right places, but not next to each other.
    forged = replace(prove_absence(around(leaves)[4], 9, reader(leaves)), neighbours=(leaves[3], leaves[5]))
    with pytest.raises(VerificationError):
        verify_absence(leaves[4], forged, 9, root)


def test_a_keyed_index_is_proven_by_its_key_and_tells_no_order_of_leaves() -> None:
    def key_of(leaf: bytes) -> bytes:
        return hmac.digest(b"secret", leaf, "sha256")

    leaves = sorted(LEAVES[:50], key=key_of)
    assert leaves != sorted(leaves)
    read, root = reader(leaves), mth(leaves)
    for target in LEAVES[50:90]:
        proof = prove_absence(target, 50, read, key_of)
        verify_absence(target, proof, 50, root, key_of)
    for target in LEAVES[:50]:
        assert find_leaf(target, 50, read, key_of)[1]
        with pytest.raises(VerificationError):
            prove_absence(target, 50, read, key_of)
    rejected = 0
    for target in LEAVES[50:90]:
        try:
            verify_absence(target, prove_absence(target, 50, read, key_of), 50, root)
        except VerificationError:
            rejected += 1
    assert rejected >= 20
