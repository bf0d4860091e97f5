"""Publishing: one envelope becomes one log entry, its tiles, a checkpoint and index rows, in one transaction.

Invariants: what `publish` returns is durable; a name and version is published once, and the same statement of the
same signer again returns the first entry; parents are in the log before their child, exactly as they are pinned.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from provenance.encoding import Digest
from provenance.errors import ConflictError, NotFoundError, PolicyError, StoreError
from provenance.log import (
    Checkpoint,
    NoteSigner,
    TileReader,
    TlogProof,
    encode_proof,
    entry_leaf,
    integrate,
    sign_checkpoint,
)
from provenance.merkle import prove_inclusion
from provenance.signature import parse_envelope
from provenance.statement import DatasetStatement, PinnedName, parse_statement
from provenance.stores import (
    CheckpointRow,
    DatasetRow,
    FileRow,
    LocationRow,
    ParentRow,
    Store,
    StoreReader,
    StoreTransaction,
)


@dataclass(frozen=True, slots=True)
class Publication:
    """A statement about to be published: its envelope's bytes, what they say, and what stays on this machine."""

    envelope: bytes
    statement: DatasetStatement
    keyid: str
    files: tuple[FileRow, ...] = ()
    location: LocationRow | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """Where it is in the log. `created` is False if it had been there before."""

    row: DatasetRow
    created: bool


def publish(store: Store, signer: NoteSigner, item: Publication) -> Published:
    """Append the envelope and return its place. `ConflictError` if its name and version say something else."""
    with store.transaction() as tx:
        catch_up_index(tx)
        existing = find_published(tx, item.statement, item.keyid)
        if existing is not None:
            return Published(existing, created=False)
        check_parents(tx, item.statement)
        index = tx.size()
        append(tx, signer, [item.envelope])
        row = index_entry(tx, index, item.envelope, item.files)
        if row is None:
            raise StoreError("statement cannot be indexed", where=f"entry {index}")
        tx.set_index_size(index + 1, expected_size=index)
        if item.location is not None:
            tx.add_location(LocationRow(index, item.location.path, item.location.registered_s))
        return Published(row, created=True)


def append(tx: StoreTransaction, signer: NoteSigner, envelopes: list[bytes]) -> None:
    """Append envelopes to the log and move its checkpoint, inside a transaction."""
    size = tx.size()
    leaves = [entry_leaf(envelope) for envelope in envelopes]
    grown = integrate(lambda level, index: tx.tile(level, index) or b"", size, leaves)
    tx.append_entries(size, list(zip(leaves, envelopes, strict=True)))
    tx.put_tiles(grown.tiles)
    note = sign_checkpoint(Checkpoint(signer.name, grown.size, grown.root), signer)
    previous = tx.checkpoint()
    tx.set_checkpoint(
        CheckpointRow(grown.size, grown.root, note), expected_size=previous.size if previous is not None else None
    )


def find_published(store: StoreReader, statement: DatasetStatement, keyid: str) -> DatasetRow | None:
    """The row of this name, version, digest and signer; None if the name is free; `ConflictError` if it is taken."""
    name = statement.name
    row = store.dataset(name.dataset.namespace, name.dataset.name, name.version)
    if row is None:
        return None
    if row.digest == statement.digest and row.keyid == keyid:
        return row
    differs = "digest" if row.digest != statement.digest else "signer"
    raise ConflictError(
        f"{name} is registered already with another {differs}",
        expected=row.digest if differs == "digest" else row.keyid,
        got=statement.digest if differs == "digest" else keyid,
        where=f"entry {row.entry_index}",
        hint="versions never change: register it under a new --version",
    )


def check_parents(store: StoreReader, statement: DatasetStatement) -> None:
    """Raise unless every parent is in the log exactly as it is pinned."""
    for pin in statement.parents:
        row = store.dataset(pin.name.dataset.namespace, pin.name.dataset.name, pin.name.version)
        if row is None:
            raise NotFoundError("parent is not in this ledger", got=pin.name, hint="register it first")
        if row.digest != pin.digest:
            raise PolicyError("parent has another digest", expected=row.digest, got=pin.digest, where=pin.name)
        entry = store.entry(row.entry_index)
        if entry is None or Digest.of(entry.envelope) != pin.envelope:
            raise PolicyError("parent was registered by another envelope", got=pin.envelope, where=pin.name)


def index_entry(tx: StoreTransaction, index: int, envelope: bytes, files: Iterable[FileRow] = ()) -> DatasetRow | None:
    """Index one log entry and return its row; None if it is no dataset statement that can be indexed."""
    parsed = parse_envelope(envelope)
    statement = parse_statement(parsed.payload)
    row = dataset_row(index, statement, parsed.signatures[0].keyid)
    parents = []
    for position, pin in enumerate(statement.parents):
        name = pin.name
        parent = tx.dataset(name.dataset.namespace, name.dataset.name, name.version)
        parents.append(
            ParentRow(
                child=index,
                position=position,
                namespace=name.dataset.namespace,
                name=name.dataset.name,
                version=name.version,
                digest=pin.digest,
                parent_entry=parent.entry_index if parent is not None else None,
            )
        )
    tx.add_dataset(row, parents, files)
    return row


def catch_up_index(tx: StoreTransaction) -> None:
    """Index the entries that the index lacks (after a rebuild, or of a newer writer)."""
    start, size = tx.index_size(), tx.size()
    if start == size:
        return
    for entry in tx.entries(start, size - start):
        index_entry(tx, entry.index, entry.envelope)
    tx.set_index_size(size, expected_size=start)


def dataset_row(index: int, statement: DatasetStatement, keyid: str) -> DatasetRow:
    """What the index says of a statement."""
    name: PinnedName = statement.name
    return DatasetRow(
        entry_index=index,
        namespace=name.dataset.namespace,
        name=name.dataset.name,
        version=name.version,
        digest=statement.digest,
        file_root=statement.fingerprint.file_root.raw,
        kind=str(statement.kind),
        sensitivity=str(statement.sensitivity),
        license=statement.license,
        keyid=keyid,
        created=statement.created,
        manifest=statement.manifest,
        oms=statement.oms.bundle if statement.oms is not None else None,
    )


def prove_entry(store: StoreReader, index: int, checkpoint: CheckpointRow) -> bytes:
    """The tlog-proof of the entry at `index` in the tree of `checkpoint`."""
    reader = TileReader(lambda level, position: store.tile(level, position) or b"", checkpoint.size)
    hashes = prove_inclusion(index, checkpoint.size, reader.read)
    return encode_proof(TlogProof(index=index, hashes=tuple(hashes), checkpoint=checkpoint.note))
