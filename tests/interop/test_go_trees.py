"""Roots, inclusion and consistency proofs: golang.org/x/mod/sumdb/tlog and this project, in both directions."""

from __future__ import annotations

import random
from base64 import b64decode
from collections.abc import Iterator

import pytest

from provenance.errors import ProvenanceError
from provenance.merkle import verify_consistency, verify_inclusion
from tests.interop.peer import Peer, hashes
from tests.interop.trees import PREFIX, SIZES, changed, changed_proofs, largest, places

SEED = 9162


@pytest.fixture(scope="module", autouse=True)
def _grown(go: Peer) -> None:
    for size in SIZES:
        assert b64decode(go.ask("grow", tree="go", prefix=PREFIX, size=size)) == largest().root(size), size


def test_both_have_the_same_roots(go: Peer) -> None:
    for size in SIZES:
        assert b64decode(go.ask("root", tree="go", size=size)) == largest().root(size)


@pytest.mark.parametrize("sizes", [SIZES[:40], SIZES[40:]], ids=["to 40", "above"])
def test_inclusion_proofs(go: Peer, sizes: tuple[int, ...]) -> None:
    chance, tree = random.Random(SEED), largest()
    for size in sizes:
        root = tree.root(size)
        for index in places(size, SEED):
            leaf, proof = tree.leaves[index], tree.inclusion(index, size)
            theirs = hashes(go.ask("prove-record", tree="go", size=size, index=index))
            assert theirs == proof
            assert go.ask("check-record", proof=proof, size=size, root=root, index=index, leaf=leaf)
            verify_inclusion(leaf, index, size, theirs, root)
            for bad in changed_proofs(proof, chance):
                _refused(go, bad, size, root, index, leaf)
            _refused(go, proof, size, changed(root, chance), index, leaf)
            _refused(go, proof, size, root, index, changed(leaf, chance))
            _refused(go, proof, size, root, (index + 1) % size if size > 1 else 1, leaf)


def _refused(go: Peer, proof: list[bytes], size: int, root: bytes, index: int, leaf: bytes) -> None:
    assert not go.accepts("check-record", proof=proof, size=size, root=root, index=index, leaf=leaf)
    with pytest.raises(ProvenanceError):
        verify_inclusion(leaf, index, size, proof, root)


def _earlier(size: int) -> list[int]:
    return [place + 1 for place in places(size, SEED)]


@pytest.mark.parametrize("sizes", [SIZES[:40], SIZES[40:]], ids=["to 40", "above"])
def test_consistency_proofs(go: Peer, sizes: tuple[int, ...]) -> None:
    chance, tree = random.Random(SEED), largest()
    for size in sizes:
        new = tree.root(size)
        for old_size in _earlier(size):
            old, proof = tree.root(old_size), tree.consistency(old_size, size)
            theirs = hashes(go.ask("prove-tree", tree="go", size=size, old=old_size))
            assert theirs == proof
            assert go.ask("check-tree", proof=proof, size=size, root=new, old=old_size, oldRoot=old)
            verify_consistency(old_size, size, old, new, theirs)
            for bad in changed_proofs(proof, chance):
                _inconsistent(go, bad, size, new, old_size, old)
            _inconsistent(go, proof, size, changed(new, chance), old_size, old)
            _inconsistent(go, proof, size, new, old_size, changed(old, chance))


def _inconsistent(go: Peer, proof: list[bytes], size: int, new: bytes, old_size: int, old: bytes) -> None:
    assert not go.accepts("check-tree", proof=proof, size=size, root=new, old=old_size, oldRoot=old)
    with pytest.raises(ProvenanceError):
        verify_consistency(old_size, size, old, new, proof)


def test_every_byte_of_a_proof_counts(go: Peer) -> None:
    tree, size, index, old_size = largest(), 70, 33, 41
    root, leaf = tree.root(size), tree.leaves[index]
    for bad in _changed_bytes(tree.inclusion(index, size)):
        _refused(go, bad, size, root, index, leaf)
    for bad in _changed_bytes(tree.consistency(old_size, size)):
        _inconsistent(go, bad, size, root, old_size, tree.root(old_size))


def _changed_bytes(proof: list[bytes]) -> Iterator[list[bytes]]:
    """The proof with each byte of each hash changed in turn."""
    for number, one in enumerate(proof):
        for at in range(len(one)):
            bad = one[:at] + bytes([one[at] ^ 1]) + one[at + 1 :]
            yield [*proof[:number], bad, *proof[number + 1 :]]


def test_sizes_that_cannot_be(go: Peer) -> None:
    tree = largest()
    one, two = tree.root(1), tree.root(2)
    for size, old in ((2, 0), (1, 2)):
        assert not go.accepts("check-tree", proof=[], size=size, root=two, old=old, oldRoot=one)
        with pytest.raises(ProvenanceError):
            verify_consistency(old, size, one, two, [])
    for index in (1, 2, 2**40):
        _refused(go, [], 1, one, index, tree.leaves[0])
