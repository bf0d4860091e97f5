"""What a block hash commits to, checked before it is passed on.

Invariants: a header that leaves here hashes to the block hash that was asked for; receipts that leave here have the
trie root which that header names.
"""

from __future__ import annotations

from collections.abc import Sequence

from provenance.anchor import trie
from provenance.anchor.header import BlockHeader, parse_header
from provenance.anchor.keccak import keccak256
from provenance.errors import ChainError, MalformedError


def check_header(header: bytes, block_hash: bytes, *, where: str) -> BlockHeader:
    """The parsed header whose RLP is `header`. `ChainError` if its Keccak-256 is not `block_hash`."""
    found = keccak256(header)
    if found != block_hash:
        raise ChainError(
            "block header does not hash to its name", expected=block_hash.hex(), got=found.hex(), where=where
        )
    try:
        return parse_header(header)
    except MalformedError as error:
        raise ChainError(error.what, expected=error.expected, got=error.got, where=where) from error


def check_receipts(receipts: Sequence[bytes], header: BlockHeader, *, where: str) -> tuple[bytes, ...]:
    """`receipts` as they came. `ChainError` if they are not all and only the receipts of this block, in order."""
    try:
        root = trie.root_of(receipts)
    except MalformedError as error:
        raise ChainError(error.what, expected=error.expected, got=error.got, where=where) from error
    if root != header.receipts_root:
        raise ChainError(
            "receipts are not those of their block",
            expected=f"receipts root {header.receipts_root.hex()}",
            got=f"receipts root {root.hex()}",
            where=where,
        )
    return tuple(receipts)


def check_hash(value: bytes, what: str) -> bytes:
    """`value` if it is 32 bytes, else `ChainError`."""
    if len(value) != 32:
        raise ChainError(f"{what} has the wrong length", expected="32 bytes", got=f"{len(value)} bytes")
    return value
