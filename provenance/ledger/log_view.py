"""The log as others read it: entries, checkpoints, tiles and proofs.

Invariants: what is served is what was signed; a tile or bundle is served only at a width that a size up to the current
one has, so that what is served once never changes.
"""

from __future__ import annotations

from dataclasses import dataclass

from provenance.encoding import Digest
from provenance.errors import NotFoundError, ProvenanceError
from provenance.ledger.publication import prove_entry
from provenance.log import (
    EntriesPath,
    ReadTile,
    TileReader,
    encode_entries,
    parse_tile_path,
    tile_width,
)
from provenance.merkle import prove_consistency
from provenance.signature import parse_envelope
from provenance.statement import DatasetStatement, parse_statement
from provenance.statement.batches import BATCH_TYPES, read_batch
from provenance.statement.events import EVENT_TYPES, read_event
from provenance.statement.frame import open_frame
from provenance.statement.key_event import KEY_TYPE, read_key_event
from provenance.stores import CheckpointRow, EntryRow, Store, StoreReader

_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Listed:
    """What an entry says, in short: its predicate's type, what it is about, who signed it and when by their clock;
    `dataset` is the whole statement where it registers one. An entry that cannot be read has a `problem` alone."""

    index: int
    type: str = ""
    name: str = ""
    digest: Digest | None = None
    keyid: str = ""
    created: str = ""
    dataset: DatasetStatement | None = None
    problem: str | None = None


_TILE_WIDTH = 256


class LogView:
    """Reads of one store's log."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def size(self) -> int:
        """Entries in the log."""
        return self._store.size()

    def checkpoint(self) -> CheckpointRow:
        """The latest checkpoint. `NotFoundError` while the log is empty."""
        row = self._store.checkpoint()
        if row is None:
            raise NotFoundError("the log is empty", hint="register a dataset first")
        return row

    def entry(self, index: int) -> EntryRow:
        """The entry at `index`. `NotFoundError` if the log is shorter."""
        row = self._store.entry(index)
        if row is None:
            raise NotFoundError("no such log entry", expected=f"an index below {self._store.size()}", got=index)
        return row

    def entries(self, start: int, count: int) -> list[EntryRow]:
        """Up to `count` entries from `start`; none past the end."""
        count = max(0, min(count, self._store.size() - start))
        return list(self._store.entries(start, count)) if count else []

    def listed(self, start: int, count: int) -> list[Listed]:
        """What up to `count` entries from `start` say."""
        return [_listed(row) for row in self.entries(start, count)]

    def inclusion(self, index: int) -> bytes:
        """The tlog-proof of an entry against the latest checkpoint."""
        with self._store.snapshot() as snapshot:
            row = snapshot.checkpoint()
            if row is None or not 0 <= index < row.size:
                size = row.size if row is not None else 0
                raise NotFoundError("no such log entry", expected=f"an index below {size}", got=index)
            return prove_entry(snapshot, index, row)

    def consistency(self, size1: int, size2: int | None = None) -> tuple[int, bytes, int, bytes, list[bytes]]:
        """(size1, root1, size2, root2, proof) between two sizes of this log; `size2` is the current one by default."""
        with self._store.snapshot() as snapshot:
            size = snapshot.size()
            size2 = size if size2 is None else size2
            for wanted in (size1, size2):
                if not 1 <= wanted <= size:
                    raise NotFoundError("the log never had this size", expected=f"1 to {size}", got=wanted)
            reader = TileReader(_reader(snapshot), size)
            proof = prove_consistency(size1, size2, reader.read)
            return size1, reader.root_at(size1), size2, reader.root_at(size2), proof

    def root_at(self, size: int) -> bytes:
        """The root of the first `size` entries, out of the tiles. `NotFoundError` if the log is shorter."""
        with self._store.snapshot() as snapshot:
            now = snapshot.size()
            if not 0 <= size <= now:
                raise NotFoundError("the log never had this size", expected=f"0 to {now}", got=size)
            return TileReader(_reader(snapshot), now).root_at(size)

    def tile(self, path: str) -> tuple[bytes, bool]:
        """The bytes at a tlog-tiles path (`tile/...`), and whether they are a full tile. `NotFoundError` if not there.

        `MalformedError` for a path that is not of the form.
        """
        parsed = parse_tile_path(path)
        with self._store.snapshot() as snapshot:
            size = snapshot.size()
            level = 0 if isinstance(parsed, EntriesPath) else parsed.level
            if parsed.width > tile_width(level, parsed.index, size):
                raise NotFoundError("no such tile yet", got=path, hint="read the checkpoint for the log's size")
            if isinstance(parsed, EntriesPath):
                rows = snapshot.entries(parsed.index * _TILE_WIDTH, parsed.width)
                data = encode_entries([row.envelope for row in rows])
            else:
                data = (snapshot.tile(level, parsed.index) or b"")[: parsed.width * _HASH_BYTES]
        return data, parsed.width == _TILE_WIDTH


def _listed(row: EntryRow) -> Listed:
    try:
        envelope = parse_envelope(row.envelope)
        frame, keyid = open_frame(envelope.payload), envelope.signatures[0].keyid
        subject = frame.subject()
        if frame.predicate_type in EVENT_TYPES:
            event = read_event(frame)
            return Listed(row.index, frame.predicate_type, subject.name, subject.digest, keyid, event.created)
        if frame.predicate_type == KEY_TYPE:
            created = read_key_event(frame).created
            return Listed(row.index, KEY_TYPE, subject.name, subject.digest, keyid, created)
        if frame.predicate_type in BATCH_TYPES:
            created = read_batch(frame).created
            return Listed(row.index, frame.predicate_type, subject.name, subject.digest, keyid, created)
        statement = parse_statement(envelope.payload)
    except ProvenanceError as error:
        return Listed(row.index, problem=error.what)
    return Listed(
        row.index, frame.predicate_type, subject.name, subject.digest, keyid, statement.created, dataset=statement
    )


def _reader(store: StoreReader) -> ReadTile:
    return lambda level, index: store.tile(level, index) or b""
