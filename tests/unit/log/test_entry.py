"""Entries: the leaf hash written by hand, and the sizes an entry bundle can hold."""

from __future__ import annotations

from hashlib import sha256

import pytest

from provenance.errors import LimitError, MalformedError
from provenance.limits import MAX_ENTRY_BYTES
from provenance.log import check_entry, entry_leaf


@pytest.mark.parametrize("envelope", [b"\x00", b"{}", b"x" * MAX_ENTRY_BYTES])
def test_the_leaf_is_the_hash_of_the_bytes_as_they_are(envelope: bytes) -> None:
    check_entry(envelope)
    assert entry_leaf(envelope) == sha256(b"\x00" + envelope).digest()


def test_empty_and_oversized_entries_are_refused() -> None:
    with pytest.raises(MalformedError, match="empty"):
        entry_leaf(b"")
    with pytest.raises(LimitError, match="65535"):
        entry_leaf(b"x" * (MAX_ENTRY_BYTES + 1))
