"""Publishing: one envelope becomes one log entry, its tiles, a checkpoint and index rows, in one transaction.

Invariants: what `publish` returns is durable; a name and version is published once, and the same statement of the
same signer again (whenever it was made) returns the first entry; parents are in the log before their child, exactly as
they are pinned; no checkpoint is signed over tiles that do not give the root that was signed last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from provenance.encoding import Digest, canonical_json
from provenance.errors import ConflictError, MalformedError, NotFoundError, PolicyError, ProvenanceError, StoreError
from provenance.fingerprint import open_manifest
from provenance.limits import MAX_MANIFEST_BYTES
from provenance.log import (
    TileReader,
    TlogProof,
    encode_proof,
)
from provenance.merkle import prove_inclusion
from provenance.signature import parse_envelope, parse_public_key
from provenance.statement import DatasetStatement, Pin, PinnedName, parse_statement
from provenance.statement.batches import BATCH_TYPES, Batch, read_batch
from provenance.statement.events import EVENT_TYPES, Body, Event, parse_event, read_event
from provenance.statement.finding import Finding
from provenance.statement.frame import open_frame
from provenance.statement.key_event import KEY_TYPE, KeyEvent, NamedKey, read_key_event
from provenance.statement.materials import MAX_LIST_BYTES
from provenance.statement.quality import Quality
from provenance.statement.replay import Replay
from provenance.statement.review import Review
from provenance.statement.supersession import Supersession
from provenance.stores import (
    BlobStore,
    CheckpointRow,
    DatasetRow,
    EntryRow,
    EventRow,
    FileRow,
    LocationRow,
    ParentRow,
    StoreReader,
    StoreTransaction,
)

_ORDERED: Final = (Review, Finding, Quality, Replay)
"""Of these the last word of a signer holds."""


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


@dataclass(frozen=True, slots=True)
class PublishedEvent:
    """Where an event is in the log. `created` is False if it had been there before."""

    row: EventRow
    created: bool


@dataclass(frozen=True, slots=True)
class DatasetSubmission:
    """A statement that becomes an entry, unless its name and version are there already and say the same."""

    item: Publication

    @property
    def envelope(self) -> bytes:
        """The entry's bytes."""
        return self.item.envelope

    def find(self, tx: StoreTransaction) -> Published | None:
        """The place of the same statement; `ConflictError` if its name and version say something else."""
        existing = find_published(tx, self.item.statement, self.item.keyid)
        if existing is None:
            check_parents(tx, self.item.statement)
            return None
        _remember(tx, self.item.location, existing.entry_index)
        return Published(existing, created=False)

    def index(self, tx: StoreTransaction, blobs: BlobStore, index: int) -> Published:
        """Its new place."""
        row = index_entry(tx, blobs, index, self.item.envelope, self.item.files)
        if row is None:
            raise StoreError("statement cannot be indexed", where=f"entry {index}")
        _remember(tx, self.item.location, index)
        return Published(row, created=True)


class EventSubmission:
    """An event about an artefact. `MalformedError` if the envelope holds none."""

    def __init__(self, envelope: bytes) -> None:
        parsed = parse_envelope(envelope)
        self.envelope, self._keyid = envelope, parsed.signatures[0].keyid
        self._event = parse_event(parsed.payload, strict=True)

    def find(self, tx: StoreTransaction) -> PublishedEvent | None:
        """The place of the same envelope.

        `NotFoundError` or `PolicyError` if what it is about, or what takes its place, is not in the log as it is
        pinned; `SaidSinceError` for an older word of the same signer.
        """
        event, about = self._event, self._event.about.envelope
        known = _same_envelope(tx, about, self._keyid, event.type, event.created, self.envelope)
        if known is not None:
            return known
        _check_order(tx, self._event, self._keyid)
        _check_pin(tx, self._event.about, "artefact")
        if isinstance(self._event.body, Supersession):
            _check_pin(tx, self._event.body.by, "successor")
        return None

    def index(self, tx: StoreTransaction, blobs: BlobStore, index: int) -> PublishedEvent:
        """Its new place."""
        index_entry(tx, blobs, index, self.envelope)
        return PublishedEvent(event_row(index, self._event, self._keyid), created=True)


class KeySubmission:
    """What was signed of a key. `MalformedError` if the envelope holds nothing of the kind."""

    def __init__(self, envelope: bytes) -> None:
        parsed = parse_envelope(envelope)
        self.envelope, self._keyid = envelope, parsed.signatures[0].keyid
        self._event = read_key_event(open_frame(parsed.payload), strict=True)
        if self._event.successor is not None:
            _check_key(self._event.successor)

    def find(self, tx: StoreTransaction) -> PublishedEvent | None:
        """The place of the same envelope; `ConflictError` if another key took the key's place already."""
        about, created = self._event.key.keyid, self._event.created
        known = _same_envelope(tx, about, self._keyid, KEY_TYPE, created, self.envelope)
        if known is None and self._event.successor is not None:
            for row in events_about(tx, self._event.key.keyid):
                entry = tx.entry(row.entry_index) if row.keyid == self._event.key.keyid.hex else None
                if entry is not None:
                    _check_successor(entry, self._event)
        return known

    def index(self, tx: StoreTransaction, blobs: BlobStore, index: int) -> PublishedEvent:
        """Its new place."""
        index_entry(tx, blobs, index, self.envelope)
        return PublishedEvent(key_row(index, self._event, self._keyid), created=True)


@dataclass(frozen=True, slots=True)
class BatchSubmission:
    """What was signed of a batch of small things: a new entry each time."""

    envelope: bytes

    def find(self, _: StoreTransaction) -> int | None:
        """None: it is new."""
        return None

    def index(self, tx: StoreTransaction, blobs: BlobStore, index: int) -> int:
        """Its entry's index."""
        index_entry(tx, blobs, index, self.envelope)
        return index


def _same_envelope(
    tx: StoreReader, about: Digest, keyid: str, event_type: str, created: str, envelope: bytes
) -> PublishedEvent | None:
    for row in tx.events_by(about, keyid, event_type, since=created):
        if row.created != created:
            break
        entry = tx.entry(row.entry_index)
        if entry is not None and entry.envelope == envelope:
            return PublishedEvent(row, created=False)
    return None


class SaidSinceError(ConflictError):
    """The same key said something newer of the same thing already, at `said_at`."""

    def __init__(self, row: EventRow, event: Event) -> None:
        self.said_at = row.created
        super().__init__(
            "the same key said something newer of it already",
            expected=f"made at {row.created} or later",
            got=event.created,
            where=f"entry {row.entry_index}",
            hint="sign it again, as made at that time or later",
        )


def _check_order(tx: StoreReader, event: Event, keyid: str) -> None:
    """Raise `SaidSinceError` for an older word of a signer about one thing than one that is logged: it would not hold,
    and whoever sends it is late, or repeats what was taken back."""
    if not isinstance(event.body, _ORDERED):
        return
    for row in tx.events_by(event.about.envelope, keyid, event.type, since=event.created):
        entry = tx.entry(row.entry_index) if row.created > event.created else None
        if entry is not None and _thing(parse_event(parse_envelope(entry.envelope).payload).body) == _thing(event.body):
            raise SaidSinceError(row, event)


def _thing(body: Body) -> object:
    """What a word is about within an artefact: a finding by its id, tests by their configuration, a replay's run."""
    if isinstance(body, Finding):
        return body.id
    if isinstance(body, Quality):
        return frozenset(one.digest for one in body.configuration)
    return body.run if isinstance(body, Replay) else None


def _check_key(named: NamedKey) -> None:
    """Raise `MalformedError` unless this is a public key, by its own id."""
    key = parse_public_key(named.pem)
    if key.keyid != named.keyid.hex:
        raise MalformedError("successor is not named by its key id", expected=key.keyid, got=named.keyid)


def _check_successor(entry: EntryRow, event: KeyEvent) -> None:
    """Raise `ConflictError` if an entry says that another key took the place of the same one."""
    known = read_key_event(open_frame(parse_envelope(entry.envelope).payload)).successor
    if known is not None and known != event.successor:
        got = event.successor.keyid if event.successor is not None else None
        what = "another key took its place already"
        raise ConflictError(what, expected=known.keyid, got=got, where=f"entry {entry.index}")


def events_about(store: StoreReader, about: Digest, *, after: int | None = None) -> Iterator[EventRow]:
    """All that is said about the statement whose envelope has this SHA-256, in log order, above entry `after`."""
    while page := store.events_about(about, after=after):
        yield from page
        after = page[-1].entry_index


def _remember(tx: StoreTransaction, location: LocationRow | None, index: int) -> None:
    if location is not None:
        tx.add_location(LocationRow(index, location.path, location.registered_s))


def find_published(store: StoreReader, statement: DatasetStatement, keyid: str) -> DatasetRow | None:
    """The row of this name and version if it says the same; None if the name is free.

    `ConflictError` if the name is taken by another signer or says anything else, but for the time and block of its
    making and the OMS bundle made with it.
    """
    name = statement.name
    row = store.dataset(name.dataset.namespace, name.dataset.name, name.version)
    if row is None:
        return None
    entry = store.entry(row.entry_index)
    if entry is None:
        raise StoreError("log entry is missing", where=f"entry {row.entry_index}", hint="run `provenance log fsck`")
    published = parse_statement(parse_envelope(entry.envelope).payload)
    for what, before, now in (*_claims(published, statement), ("signer", row.keyid, keyid)):
        if before != now:
            raise ConflictError(
                f"{name} is registered already with another {what}",
                expected=before or "none",
                got=now or "none",
                where=f"entry {row.entry_index}",
                hint="versions never change: register it under a new --version",
            )
    return row


def _claims(*statements: DatasetStatement) -> Iterable[tuple[str, ...]]:
    """What each of the statements says, as text, by the name of the claim."""
    yield "digest", *(s.digest.hex for s in statements)
    yield "kind", *(str(s.kind) for s in statements)
    yield "sensitivity", *(str(s.sensitivity) for s in statements)
    yield "license", *(s.license or "" for s in statements)
    yield "origin", *(s.origin or "" for s in statements)
    yield "standards", *(canonical_json(s.standards.to_json()).decode() for s in statements)
    yield "list of parents", *(_parents(s) for s in statements)


def _parents(statement: DatasetStatement) -> str:
    if statement.materials is not None:
        return f"{statement.materials.count} in list {statement.materials.digest}"
    return ", ".join(f"{pin.name} {pin.envelope}" for pin in statement.parents)


def check_parents(store: StoreReader, statement: DatasetStatement) -> None:
    """Raise unless every parent is in the log exactly as it is pinned."""
    for pin in statement.parents:
        _check_pin(store, pin, "parent")


def _check_pin(store: StoreReader, pin: Pin, what: str) -> None:
    row = store.dataset(pin.name.dataset.namespace, pin.name.dataset.name, pin.name.version)
    if row is None:
        raise NotFoundError(f"{what} is not in this ledger", got=pin.name, hint="register it first")
    if row.digest != pin.digest:
        raise PolicyError(f"{what} has another digest", expected=row.digest, got=pin.digest, where=pin.name)
    entry = store.entry(row.entry_index)
    if entry is None or Digest.of(entry.envelope) != pin.envelope:
        raise PolicyError(f"{what} was registered by another envelope", got=pin.envelope, where=pin.name)


def index_entry(
    tx: StoreTransaction, blobs: BlobStore, index: int, envelope: bytes, files: Iterable[FileRow] = ()
) -> DatasetRow | None:
    """Index one log entry and return its dataset's row; None if it is something else."""
    parsed = parse_envelope(envelope)
    frame = open_frame(parsed.payload)
    if frame.predicate_type in EVENT_TYPES:
        tx.add_event(event_row(index, read_event(frame), parsed.signatures[0].keyid))
        return None
    if frame.predicate_type == KEY_TYPE:
        tx.add_event(key_row(index, read_key_event(frame), parsed.signatures[0].keyid))
        return None
    if frame.predicate_type in BATCH_TYPES:
        tx.add_event(batch_row(index, read_batch(frame), parsed.signatures[0].keyid))
        return None
    statement = with_parents(parse_statement(parsed.payload), blobs)
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


def with_parents(statement: DatasetStatement, blobs: BlobStore) -> DatasetStatement:
    """The statement with the parents of its material list; as it is, if that is not kept here, or damaged: fsck and
    `verify` say so."""
    if statement.materials is None or statement.parents:
        return statement
    try:
        return statement.with_materials(blobs.get(statement.materials.digest, max_bytes=MAX_LIST_BYTES))
    except ProvenanceError:
        return statement


def catch_up_index(tx: StoreTransaction, blobs: BlobStore) -> None:
    """Index the entries that the index lacks (after a rebuild, or of a newer writer), their files out of manifests."""
    start, size = tx.index_size(), tx.size()
    if start >= size:
        return  # an index that is ahead of the log is damage: fsck reports it, and nothing is appended
    for entry in tx.entries(start, size - start):
        index_entry(tx, blobs, entry.index, entry.envelope, _listed_files(blobs, entry.envelope))
    tx.set_index_size(size, expected_size=start)


def _listed_files(blobs: BlobStore, envelope: bytes) -> tuple[FileRow, ...]:
    """The files of a statement's manifest; none if it is not kept here, or damaged (fsck says so)."""
    try:
        statement = parse_statement(parse_envelope(envelope).payload)
        manifest = open_manifest(blobs.get(statement.manifest, max_bytes=MAX_MANIFEST_BYTES), statement.fingerprint)
    except ProvenanceError:
        return ()
    return tuple(FileRow(entry.digest, entry.path) for entry in manifest.files)


def event_row(index: int, event: Event, keyid: str) -> EventRow:
    """What the index says of an event."""
    return EventRow(index, event.about.envelope, event.type, keyid, event.created)


def batch_row(index: int, batch: Batch, keyid: str) -> EventRow:
    """What the index says of a batch: it is about the batch's bytes."""
    return EventRow(index, batch.digest, batch.type, keyid, batch.created)


def key_row(index: int, event: KeyEvent, keyid: str) -> EventRow:
    """What the index says of a key event: it is about the key."""
    return EventRow(index, event.key.keyid, KEY_TYPE, keyid, event.created)


def dataset_row(index: int, statement: DatasetStatement, keyid: str) -> DatasetRow:
    """What the index says of a statement."""
    name: PinnedName = statement.name
    records = statement.fingerprint.records
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
        record_root=records.root.raw if records is not None else None,
    )


def prove_entry(store: StoreReader, index: int, checkpoint: CheckpointRow, tiles: TileReader | None = None) -> bytes:
    """The tlog-proof of the entry at `index` in the tree of `checkpoint`; `tiles` may be shared by many proofs."""
    tiles = tiles or tile_reader(store, checkpoint.size)
    hashes = prove_inclusion(index, checkpoint.size, tiles.read)
    return encode_proof(TlogProof(index=index, hashes=tuple(hashes), checkpoint=checkpoint.note))


def tile_reader(store: StoreReader, size: int) -> TileReader:
    """Reads the tree of `size` out of a store's tiles."""
    return TileReader(lambda level, index: store.tile(level, index) or b"", size)
