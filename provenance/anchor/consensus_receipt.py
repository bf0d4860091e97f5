"""A transaction's receipt in the form a block commits to.

Invariants: the bytes are exactly those under the receipts root; only receipts of Ethereum's own transaction types are
read, because another chain's type may give its fields another meaning; a log's position is within this receipt.

Example: 02 f9 ... is EIP-1559's type 2 and rlp([status, cumulative gas, logs bloom, logs]); a legacy receipt is the
list alone. A log is [address, [topic, ...], data].

Source: EIP-658 (status), EIP-2718 (type byte), yellow paper 4.3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from provenance.anchor import rlp
from provenance.anchor.hexdata import ADDRESS_BYTES
from provenance.anchor.trie import MAX_TRIE_ITEM_BYTES
from provenance.errors import MalformedError

MAX_LOG_TOPICS: Final = 4

_LEGACY = 0
_TYPES = (1, 2, 3, 4)
"""EIP-2930, EIP-1559, EIP-4844, EIP-7702: one receipt layout for all."""
_FIELDS = 4
_LOG_FIELDS = 3
_BLOOM_BYTES = 256
_TOPIC_BYTES = 32
_FIRST_LIST_BYTE = 0xC0


@dataclass(frozen=True, slots=True)
class Log:
    """One event: the 20-byte address of the contract that emitted it, up to four 32-byte topics, and data."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class ConsensusReceipt:
    """What the chain recorded of a transaction. `status` is 1 for success and 0 for a reverted transaction."""

    transaction_type: int
    status: int
    cumulative_gas: int
    logs: tuple[Log, ...]


def parse_consensus_receipt(data: bytes) -> ConsensusReceipt:
    """The receipt that `data` encodes; `LimitError` if too large, `MalformedError` for another type or layout."""
    first = data[:1] or b"\0"
    is_legacy = first[0] >= _FIRST_LIST_BYTE
    if not is_legacy and first[0] not in _TYPES:
        raise MalformedError("receipt has an unknown type", expected="1 to 4 or a legacy list", got=f"0x{first.hex()}")
    payload = data if is_legacy else data[1:]
    fields = rlp.parse_list(payload, what="receipt", max_bytes=MAX_TRIE_ITEM_BYTES)
    if len(fields) != _FIELDS:
        raise MalformedError("receipt has the wrong layout", expected="4 fields", got=f"{len(fields)} fields")
    rlp.as_bytes(fields[2], what="receipt logs bloom", size=_BLOOM_BYTES)
    return ConsensusReceipt(
        transaction_type=_LEGACY if is_legacy else first[0],
        status=rlp.as_uint(fields[0], what="receipt status", maximum=1),
        cumulative_gas=rlp.as_uint(fields[1], what="receipt cumulative gas"),
        logs=tuple(_parse_log(log, index) for index, log in enumerate(rlp.as_list(fields[3], what="receipt logs"))),
    )


def _parse_log(item: rlp.RlpItem, index: int) -> Log:
    what = f"receipt log {index}"
    fields = rlp.as_list(item, what=what)
    if len(fields) != _LOG_FIELDS:
        raise MalformedError(f"{what} has the wrong layout", expected="3 fields", got=f"{len(fields)} fields")
    topics = rlp.as_list(fields[1], what=f"{what} topics")
    if len(topics) > MAX_LOG_TOPICS:
        raise MalformedError(f"{what} has too many topics", expected=f"at most {MAX_LOG_TOPICS}", got=len(topics))
    return Log(
        address=rlp.as_bytes(fields[0], what=f"{what} address", size=ADDRESS_BYTES),
        topics=tuple(rlp.as_bytes(topic, what=f"{what} topic", size=_TOPIC_BYTES) for topic in topics),
        data=rlp.as_bytes(fields[2], what=f"{what} data"),
    )
