"""Log entries: the bytes of a DSSE envelope as they were submitted.

Invariants: an entry is 1 to 65,535 bytes, so that its length fits the big-endian u16 of an entry bundle; the log
hashes it as it is, never a re-encoding.

Bytes: leaf hash = SHA-256(0x00 || envelope).
"""

from __future__ import annotations

from collections.abc import Sequence

from provenance.errors import MalformedError
from provenance.limits import MAX_ENTRY_BYTES, check_size
from provenance.merkle import leaf_hash


def entry_leaf(envelope: bytes) -> bytes:
    """The RFC 9162 leaf hash of an entry, 32 bytes; `LimitError` or `MalformedError` if it cannot be logged."""
    check_entry(envelope)
    return leaf_hash(envelope)


def check_entry(envelope: bytes) -> None:
    """Return if `envelope` is 1 to 65,535 bytes; otherwise `MalformedError` or `LimitError`."""
    check_size("log entry", len(envelope), MAX_ENTRY_BYTES)
    if not envelope:
        raise MalformedError("log entry is empty", expected=f"1 to {MAX_ENTRY_BYTES} bytes")


def check_entries(envelopes: Sequence[bytes]) -> None:
    """As `check_entry`, of many."""
    lengths = list(map(len, envelopes))
    if lengths and not 0 < min(lengths) <= max(lengths) <= MAX_ENTRY_BYTES:
        for envelope in envelopes:
            check_entry(envelope)
