"""Rows for the suite, each a function of its index, so that what was lost or mixed up shows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from provenance.encoding import Digest
from provenance.merkle import leaf_hash
from provenance.stores import CheckpointRow, DatasetRow, OutboxDraft, ParentRow, StoreReader, StoreTransaction

ORIGIN = "example.org/log"
CONTRACT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
PUBLISHER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


def envelope(index: int) -> bytes:
    """Bytes of 1 to 3,000 that only entry `index` has."""
    seed = b"entry %d " % index
    return (seed * 300)[: 20 + index * 37 % 2_980]


def append(tx: StoreTransaction, envelopes: Iterable[bytes], *, expected_size: int | None = -1) -> CheckpointRow:
    """Entries, the level 0 tiles they touch and the checkpoint, as a log integrates them.

    The checkpoint is swapped if its size is `expected_size`; -1 takes the size it has now.
    """
    checkpoint = tx.checkpoint()
    start = tx.size()
    entries = list(envelopes)
    leaves = [leaf_hash(data) for data in entries]
    tx.append_entries(start, entries)
    tiles: dict[tuple[int, int], bytes] = {}
    for index, leaf in enumerate(leaves, start):
        key = (0, index // 256)
        tiles[key] = (tiles[key] if key in tiles else tx.tile(*key) or b"") + leaf
    tx.put_tiles(tiles)
    size = start + len(entries)
    root = hashlib.sha256((checkpoint.root if checkpoint else b"") + b"".join(leaves)).digest()
    row = CheckpointRow(size, root, b"note %d" % size)
    if expected_size == -1:
        expected_size = None if checkpoint is None else checkpoint.size
    tx.set_checkpoint(row, expected_size=expected_size)
    return row


def assert_whole(store: StoreReader) -> int:
    """The size, once entries, tiles and checkpoint were seen to agree."""
    size = store.size()
    leaves = []
    for position, entry in enumerate(store.entries(0, size + 1)):
        assert entry.index == position
        leaves.append(leaf_hash(entry.envelope))
    assert len(leaves) == size
    tiles = b"".join(store.tile(0, index) or b"" for index in range(size // 256 + 1))
    assert tiles == b"".join(leaves)
    checkpoint = store.checkpoint()
    assert (0 if checkpoint is None else checkpoint.size) == size
    return size


def dataset(index: int, name: str | None = None, version: str = "1", namespace: str = "weather") -> DatasetRow:
    """A dataset whose statement is entry `index`."""
    return DatasetRow(
        entry_index=index,
        namespace=namespace,
        name=name if name is not None else f"set-{index}",
        version=version,
        digest=Digest.of(b"document %d" % index),
        file_root=hashlib.sha256(b"root %d" % index).digest(),
        kind="dataset",
        sensitivity="internal",
        license="CC-BY-4.0" if index % 2 else None,
        keyid=hashlib.sha256(b"key").hexdigest(),
        created="2026-01-02T03:04:05Z",
        manifest=Digest.of(b"manifest %d" % index) if index % 3 else None,
        oms=Digest.of(b"oms %d" % index) if index % 5 else None,
        record_root=hashlib.sha256(b"records %d" % index).digest() if index % 2 else None,
    )


def parent(child: int, position: int, of: DatasetRow, *, resolved: bool = True) -> ParentRow:
    """The parent row by which `child` names `of`."""
    entry = of.entry_index if resolved else None
    return ParentRow(child, position, of.namespace, of.name, of.version, of.digest, entry)


def anchor(size: int, *, nonce: int | None = None, chain_id: int = 31_337, contract: str = CONTRACT) -> OutboxDraft:
    """A signed anchor of `size`."""
    number = size if nonce is None else nonce
    raw = b"\x02anchor %d %d %d" % (chain_id, size, number)
    return OutboxDraft(
        chain_id=chain_id,
        kind="anchor",
        publisher=PUBLISHER,
        nonce=number,
        raw=raw,
        transaction=hashlib.sha3_256(raw).digest(),
        created_s=1_700_000_000 + size,
        contract=contract,
        origin=ORIGIN,
        size=size,
        root=hashlib.sha256(b"%d" % size).digest(),
    )


def deployment(nonce: int, chain_id: int = 31_337) -> OutboxDraft:
    """A signed deployment."""
    raw = b"\x02deploy %d" % nonce
    return OutboxDraft(
        chain_id=chain_id,
        kind="deploy",
        publisher=PUBLISHER,
        nonce=nonce,
        raw=raw,
        transaction=hashlib.sha3_256(raw).digest(),
        created_s=1_700_000_000,
    )
