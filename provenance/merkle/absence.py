"""Absence: that a leaf is in no place of a tree whose leaves are sorted.

Invariants: the tree's leaves are leaf hashes in strictly ascending order of their keys, so that each is there once;
what lies between two neighbours is not in the tree. A proof holds the neighbours and one range proof over them: the
first leaf alone for what would come before it, the last alone for what would come after it, nothing for an empty tree.
A root does not tell its tree's size (RFC 9162 2.1): a verifier takes both from the same trusted place, and takes from
there that the tree is sorted.

The key of a leaf hash is the leaf hash itself. An index whose order is to tell nothing of its records passes another
function (a keyed hash) as `key_of`, to the prover and to the verifier alike; nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from provenance.errors import MalformedError, VerificationError
from provenance.limits import MAX_UINT64
from provenance.merkle.hashing import EMPTY_ROOT
from provenance.merkle.proof import ReadHash
from provenance.merkle.span import prove_range, verify_range

KeyOf: TypeAlias = Callable[[bytes], bytes]


def plain_key(leaf: bytes) -> bytes:
    """The leaf hash: the order of an index that is not keyed."""
    return leaf


@dataclass(frozen=True, slots=True)
class AbsenceProof:
    """`position` is where the leaf would be; `neighbours` the leaf hashes before and after it, as far as there are."""

    position: int
    neighbours: tuple[bytes, ...]
    proof: tuple[bytes, ...]


def find_leaf(target: bytes, size: int, read: ReadHash, key_of: KeyOf = plain_key) -> tuple[int, bool]:
    """How many leaves of a sorted tree come before `target`, and whether it is the next. O(log n) reads."""
    wanted = key_of(target)
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if key_of(read(0, middle)) < wanted:
            low = middle + 1
        else:
            high = middle
    return low, low < size and read(0, low) == target


def prove_absence(target: bytes, size: int, read: ReadHash, key_of: KeyOf = plain_key) -> AbsenceProof:
    """That no leaf of the sorted tree is `target`; `VerificationError` if one is."""
    position, there = find_leaf(target, size, read, key_of)
    if there:
        raise VerificationError("the record is in the dataset", expected="no such leaf", got=f"leaf {position}")
    begin, end = max(position - 1, 0), min(position + 1, size)
    if begin == end:
        return AbsenceProof(0, (), ())
    neighbours = tuple(read(0, index) for index in range(begin, end))
    return AbsenceProof(position, neighbours, tuple(prove_range(begin, end, size, read)))


def verify_absence(target: bytes, absence: AbsenceProof, size: int, root: bytes, key_of: KeyOf = plain_key) -> None:
    """Return if `target` is no leaf of the sorted tree of `size` with `root`; otherwise an error."""
    position = absence.position
    if not 0 <= position <= size <= MAX_UINT64:
        raise MalformedError("position is not in the tree", expected=f"0 to {size}", got=position)
    begin, end = max(position - 1, 0), min(position + 1, size)
    if len(absence.neighbours) != end - begin:
        raise MalformedError("absence proof has other neighbours", expected=end - begin, got=len(absence.neighbours))
    if size == 0:
        if root != EMPTY_ROOT or absence.proof:
            raise VerificationError(
                "absence proof does not lead to the root", expected=root.hex(), got=EMPTY_ROOT.hex()
            )
        return
    _check_order(target, absence.neighbours, position - begin, key_of)
    verify_range(absence.neighbours, begin, size, absence.proof, root)


def _check_order(target: bytes, neighbours: Sequence[bytes], before: int, key_of: KeyOf) -> None:
    wanted = key_of(target)
    keys = [*(key_of(leaf) for leaf in neighbours[:before]), wanted, *(key_of(leaf) for leaf in neighbours[before:])]
    if any(left >= right for left, right in pairwise(keys)):
        raise VerificationError(
            "the neighbours do not lie around the leaf", expected="ascending order", got=target.hex()
        )
