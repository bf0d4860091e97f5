"""A block header: what a block hash commits to.

Invariants: `hash` is the Keccak-256 of exactly the bytes that were parsed; fields are the execution layer's, in its
order, and later forks only append, so that headers of every fork from Frontier to Prague and after are read alike;
no field is believed: a header is only as good as the trust in its hash.

Fields that are used (position in the list): parent hash 0, receipts root 5, number 8, timestamp 11 (seconds).

Source: Ethereum yellow paper 4.3; EIP-1559, 4895, 4844, 4788 and 7685 for what was appended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from provenance.anchor import rlp
from provenance.anchor.keccak import keccak256
from provenance.errors import LimitError, MalformedError

MAX_HEADER_BYTES: Final = 16 * 2**10
"""About 600 on Ethereum; proof-of-authority chains list their validators in the extra data."""
MAX_HEADER_FIELDS: Final = 64

_FRONTIER_FIELDS = 15
_SIZES = {
    0: ("parent hash", 32),
    1: ("ommers hash", 32),
    2: ("beneficiary", 20),
    3: ("state root", 32),
    4: ("transactions root", 32),
    5: ("receipts root", 32),
    6: ("logs bloom", 256),
    13: ("mix hash", 32),
    14: ("nonce", 8),
}
_INTEGERS = {7: "difficulty", 8: "number", 9: "gas limit", 10: "gas used", 11: "timestamp"}
_DIFFICULTY = 7
_MAX_DIFFICULTY = 2**256 - 1


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """The parts of a header that an anchor needs. Hashes are 32 bytes, `time_s` is Unix seconds."""

    hash: bytes
    parent_hash: bytes
    number: int
    time_s: int
    receipts_root: bytes


def parse_header(data: bytes) -> BlockHeader:
    """The header that `data` (RLP) encodes, with its hash.

    `LimitError` above `MAX_HEADER_BYTES` or `MAX_HEADER_FIELDS`, `MalformedError` for anything that is no header.
    """
    fields = rlp.parse_list(data, what="block header", max_bytes=MAX_HEADER_BYTES)
    if len(fields) > MAX_HEADER_FIELDS:
        raise LimitError(
            "block header is too long", expected=f"{MAX_HEADER_FIELDS} fields", got=f"{len(fields)} fields"
        )
    if len(fields) < _FRONTIER_FIELDS:
        raise MalformedError("block header is too short", expected="15 fields or more", got=f"{len(fields)} fields")
    for position, item in enumerate(fields):
        name, size = _SIZES.get(position, (f"field {position}", None))
        rlp.as_bytes(item, what=f"block header {name}", size=size)
    values = {position: _uint(fields[position], name, position == _DIFFICULTY) for position, name in _INTEGERS.items()}
    return BlockHeader(
        hash=keccak256(data),
        parent_hash=rlp.as_bytes(fields[0], what="parent hash"),
        number=values[8],
        time_s=values[11],
        receipts_root=rlp.as_bytes(fields[5], what="receipts root"),
    )


def _uint(item: rlp.RlpItem, name: str, is_wide: bool) -> int:
    what = f"block header {name}"
    return rlp.as_uint(item, what=what, maximum=_MAX_DIFFICULTY) if is_wide else rlp.as_uint(item, what=what)
