"""RFC 9162 inclusion and consistency proofs.

Invariants: `index < size` and sizes within unsigned 64 bits are checked before anything is hashed; a proof has
exactly the length that its index and sizes demand; a consistency proof from size 0 is an error.

Sources: RFC 9162 sections 2.1.3 (inclusion) and 2.1.4 (consistency).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence

from provenance.errors import MalformedError, VerificationError
from provenance.limits import MAX_UINT64
from provenance.merkle.hashing import HASH_BYTES, node_hash

ReadHash = Callable[[int, int], bytes]
"""read(level, index): the hash of the perfect subtree over leaves [index << level, (index + 1) << level)."""


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Return if the leaf hash is at `index` of the tree of `size` with `root`; otherwise `VerificationError`."""
    _check_hash(root, "root")
    found = root_from_inclusion(leaf, index, size, proof)
    if not hmac.compare_digest(found, root):
        raise VerificationError("inclusion proof does not lead to the root", expected=root.hex(), got=found.hex())


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to (RFC 9162 2.1.3.2). `MalformedError` for an impossible shape."""
    _check_size(size, "size")
    if not 0 <= index < size:
        raise MalformedError("index is outside the tree", expected=f"0 to {size - 1}", got=index)
    _check_hash(leaf, "leaf hash")
    _check_hashes(proof)
    position, last, value = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise MalformedError("inclusion proof is too long", got=f"{len(proof)} hashes")
        if position & 1 or position == last:
            value = node_hash(sibling, value)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise MalformedError("inclusion proof is too short", got=f"{len(proof)} hashes")
    return value


def verify_consistency(size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]) -> None:
    """Return if the tree (size2, root2) extends (size1, root1) (RFC 9162 2.1.4.2); otherwise an error."""
    _check_size(size1, "first size")
    _check_size(size2, "second size")
    if size1 > size2:
        raise MalformedError("first size is above the second", expected=f"at most {size2}", got=size1)
    _check_hashes(proof)
    if size1 == size2:
        if proof:
            raise MalformedError("consistency proof of equal sizes is not empty", got=f"{len(proof)} hashes")
        found1 = found2 = root1  # whatever they hold: equal trees have equal roots, and nothing is hashed
    else:
        _check_hash(root1, "first root")
        _check_hash(root2, "second root")
        found1, found2 = _roots_from_consistency(size1, size2, root1, proof)
    if not hmac.compare_digest(found1, root1):
        raise VerificationError("first root is not the proof's", expected=root1.hex(), got=found1.hex())
    if not hmac.compare_digest(found2, root2):
        raise VerificationError("second root does not extend the first", expected=root2.hex(), got=found2.hex())


def _roots_from_consistency(size1: int, size2: int, root1: bytes, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    path = [root1, *proof] if size1 & (size1 - 1) == 0 else list(proof)
    if not path or not proof:
        raise MalformedError("consistency proof is empty", expected=f"a proof from {size1} to {size2}")
    first, second = size1 - 1, size2 - 1
    while first & 1:
        first, second = first >> 1, second >> 1
    old = new = path[0]
    for value in path[1:]:
        if second == 0:
            raise MalformedError("consistency proof is too long", got=f"{len(proof)} hashes")
        if first & 1 or first == second:
            old, new = node_hash(value, old), node_hash(value, new)
            while not first & 1 and first:
                first, second = first >> 1, second >> 1
        else:
            new = node_hash(new, value)
        first, second = first >> 1, second >> 1
    if second != 0:
        raise MalformedError("consistency proof is too short", got=f"{len(proof)} hashes")
    return old, new


def prove_inclusion(index: int, size: int, read: ReadHash) -> list[bytes]:
    """The RFC 9162 2.1.3.1 proof of the leaf at `index` in the tree of `size`, lowest sibling first."""
    _check_size(size, "size")
    if not 0 <= index < size:
        raise MalformedError("index is outside the tree", expected=f"0 to {size - 1}", got=index)
    begin, end, proof = 0, size, []
    while end - begin > 1:
        split = begin + _largest_power_below(end - begin)
        if index < split:
            proof.append(subtree_hash(split, end, read))
            end = split
        else:
            proof.append(subtree_hash(begin, split, read))
            begin = split
    return proof[::-1]


def prove_consistency(size1: int, size2: int, read: ReadHash) -> list[bytes]:
    """The RFC 9162 2.1.4.1 proof that the tree of `size2` extends the tree of `size1`."""
    _check_size(size1, "first size")
    _check_size(size2, "second size")
    if size1 > size2:
        raise MalformedError("first size is above the second", expected=f"at most {size2}", got=size1)
    begin, end, whole, proof = 0, size2, True, []
    while end != size1:
        split = begin + _largest_power_below(end - begin)
        if size1 <= split:
            proof.append(subtree_hash(split, end, read))
            end = split
        else:
            proof.append(subtree_hash(begin, split, read))
            begin, whole = split, False
    if not whole:
        proof.append(subtree_hash(begin, end, read))
    return proof[::-1]


def subtree_hash(begin: int, end: int, read: ReadHash) -> bytes:
    """The hash over leaves [begin, end) of a subtree that RFC 9162 names: `begin` is aligned to its left half."""
    parts = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        parts.append(read(level, begin >> level))
        begin += 1 << level
    value = parts.pop()
    while parts:
        value = node_hash(parts.pop(), value)
    return value


def _largest_power_below(count: int) -> int:
    return 1 << ((count - 1).bit_length() - 1)


def _check_size(size: int, what: str) -> None:
    if not 1 <= size <= MAX_UINT64:
        raise MalformedError(f"{what} is out of range", expected=f"1 to {MAX_UINT64}", got=size)


def _check_hash(value: bytes, what: str) -> None:
    if len(value) != HASH_BYTES:
        raise MalformedError(f"{what} is not a hash", expected=f"{HASH_BYTES} bytes", got=f"{len(value)} bytes")


def _check_hashes(proof: Sequence[bytes]) -> None:
    if len(proof) > 64 * 2:
        raise MalformedError("proof is too long", expected="at most 128 hashes", got=f"{len(proof)} hashes")
    for number, value in enumerate(proof):
        _check_hash(value, f"proof hash {number}")
