"""What a store guarantees: bytes and rows, kept exactly, in order, durably. It takes no decision.

Invariants:

1. A transaction is all or nothing, and once `transaction()` has been left without an error it survives a power cut.
2. One transaction runs at a time, over all threads and processes; readers neither wait for it nor see half of it.
3. Log entries and tiles are append-only: no method changes or removes an entry, and a tile only gains hashes.
4. The checkpoint moves by compare-and-swap, never to a smaller size, never to another root at the same size, never
   past the entries.
5. The index is derived: it may lag the log, and `clear_index` loses nothing that log and blobs cannot rebuild.
6. A method that raises has changed nothing, and the transaction may go on; if the engine itself gave it up (a full
   disk), every later use of it raises.
7. Every failure is a `StoreError` (environment), `ConflictError` (contradicts what is stored), `NotFoundError`,
   `MalformedError` or `LimitError` (arguments); no error of the database library escapes.

`tests/conformance/stores` runs these on every implementation. A row that is not there is None, never an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from provenance.encoding import Digest
from provenance.limits import MAX_LINEAGE_NODES, MAX_PAGE_ITEMS
from provenance.stores.rows import (
    CheckpointRow,
    DatasetRow,
    EntryRow,
    EventRow,
    FileMatch,
    FileRow,
    LocationRow,
    OutboxDraft,
    OutboxRow,
    OutboxState,
    ParentRow,
)


class LogReader(Protocol):
    """Entries, tiles and checkpoints."""

    def size(self) -> int:
        """Number of entries."""

    def entry(self, index: int) -> EntryRow | None:
        """The entry at `index`."""

    def entries(self, start: int, count: int) -> Iterator[EntryRow]:
        """Up to `count` entries from `start`, in order, read a page at a time; `StoreError` at a gap."""

    def tile(self, level: int, index: int) -> bytes | None:
        """The hashes tile (level, index) holds by now, 32 bytes each, at most 256; wider than an old size needs."""

    def checkpoint(self) -> CheckpointRow | None:
        """The latest checkpoint."""

    def checkpoint_at(self, size: int) -> CheckpointRow | None:
        """The checkpoint kept for exactly this size."""

    def checkpoint_covering(self, index: int) -> CheckpointRow | None:
        """The smallest kept checkpoint whose size is above `index`."""

    def checkpoints(self, *, after_size: int | None = None, limit: int = MAX_PAGE_ITEMS) -> list[CheckpointRow]:
        """Kept checkpoints by growing size, those above `after_size`."""


class LogWriter(Protocol):
    """Appending. Only inside a transaction."""

    def append_entries(self, first_index: int, envelopes: Sequence[bytes]) -> int:
        """The new size after the envelopes; `ConflictError` unless `first_index` is the size now."""

    def put_tiles(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        """Write or extend tiles by (level, index); `ConflictError` if one would lose or change a hash it holds."""

    def set_checkpoint(self, row: CheckpointRow, *, expected_size: int | None) -> None:
        """Swap the checkpoint if its size is `expected_size` (None: there is none yet), else `ConflictError`."""

    def keep_checkpoint(self, row: CheckpointRow) -> None:
        """Keep a checkpoint for good; the same size and root again takes the newer note (more cosignatures)."""


class OutboxReader(Protocol):
    """Transactions to and on chains. Live means any state but 'failed'."""

    def outbox_row(self, row_id: int) -> OutboxRow | None:
        """The row with this id."""

    def outbox_pending(self, *, chain_id: int | None = None, limit: int = MAX_PAGE_ITEMS) -> list[OutboxRow]:
        """Rows that are 'signed', 'broadcast' or 'mined', oldest first."""

    def outbox_latest_anchor(
        self, *, chain_id: int | None = None, contract: str | None = None, origin: str | None = None
    ) -> OutboxRow | None:
        """The live anchor of the largest size, over all chains, contracts and origins or the given ones."""

    def outbox_latest_deployment(self, *, chain_id: int, publisher: str | None = None) -> OutboxRow | None:
        """The newest live deployment on a chain."""

    def anchors(
        self, *, after_id: int = 0, limit: int = MAX_PAGE_ITEMS, states: Sequence[OutboxState] = ("mined", "final")
    ) -> list[OutboxRow]:
        """Anchors in `states` by growing id, those above `after_id`."""

    def anchor_covering(
        self, index: int, *, chain_id: int | None = None, states: Sequence[OutboxState] = ("mined", "final")
    ) -> OutboxRow | None:
        """The anchor of the smallest size above `index` in `states`: the earliest proof that the entry existed."""


class OutboxWriter(Protocol):
    """Changing the outbox. Only inside a transaction."""

    def outbox_add(self, draft: OutboxDraft) -> int:
        """The id of a new row in state 'signed'.

        `ConflictError` if a live anchor of the same chain, contract, origin and size is there (so nothing is anchored
        twice), or an unmined row with the same chain, publisher and nonce.
        """

    def outbox_update(
        self,
        row_id: int,
        *,
        from_state: OutboxState,
        to_state: OutboxState,
        attempted: bool = False,
        nonce: int | None = None,
        raw: bytes | None = None,
        transaction: bytes | None = None,
        contract: str | None = None,
        receipt: bytes | None = None,
        error: str | None = None,
    ) -> None:
        """Move a row from one state to another (the same one is allowed); what is None stays as it is.

        `attempted` adds one to the attempts. `ConflictError` if the row is in another state, `NotFoundError` if there
        is none.
        """


class IndexReader(Protocol):
    """Datasets, their parents and files, and where they lay. Lists are by growing entry index."""

    def index_size(self) -> int:
        """How many log entries the index covers; at most `size()`."""

    def dataset(self, namespace: str, name: str, version: str) -> DatasetRow | None:
        """The dataset of this name and version."""

    def dataset_at(self, entry_index: int) -> DatasetRow | None:
        """The dataset whose statement is this entry."""

    def dataset_latest(self, namespace: str, name: str) -> DatasetRow | None:
        """The version with the highest entry index."""

    def datasets_by_digest(self, digest: Digest, *, limit: int = MAX_PAGE_ITEMS) -> list[DatasetRow]:
        """The earliest datasets whose fingerprint document has this digest."""

    def datasets_by_root(self, root: bytes, *, limit: int = MAX_PAGE_ITEMS) -> list[DatasetRow]:
        """The earliest datasets with this file root or record root."""

    def datasets_by_prefix(self, hex_prefix: str, *, limit: int = MAX_PAGE_ITEMS) -> list[DatasetRow]:
        """The earliest datasets whose digest starts with 1 to 64 lower-case hex digits."""

    def datasets_by_file(self, digest: Digest, *, limit: int = MAX_PAGE_ITEMS) -> list[FileMatch]:
        """The earliest datasets that hold a file with this SHA-256, once a path."""

    def datasets_page(
        self, *, after: int | None = None, limit: int = MAX_PAGE_ITEMS, namespace: str | None = None
    ) -> list[DatasetRow]:
        """Datasets with an entry index above `after`."""

    def versions(
        self, namespace: str, name: str, *, after: int | None = None, limit: int = MAX_PAGE_ITEMS
    ) -> list[DatasetRow]:
        """All versions of a name, oldest first, with an entry index above `after`."""

    def parents(self, entry_index: int) -> list[ParentRow]:
        """The parents a dataset names, in its statement's order."""

    def children(self, entry_index: int, *, after: int | None = None, limit: int = MAX_PAGE_ITEMS) -> list[DatasetRow]:
        """Datasets that name this one as a parent."""

    def ancestors(self, entry_index: int, *, max_nodes: int = MAX_LINEAGE_NODES) -> list[int]:
        """Entry indexes reachable over parents, nearest first, without itself; `LimitError` above `max_nodes`."""

    def descendants(self, entry_index: int, *, max_nodes: int = MAX_LINEAGE_NODES) -> list[int]:
        """Entry indexes that reach this one over parents, nearest first, without itself; `LimitError` likewise."""

    def ancestor_edges(self, entry_index: int, *, max_nodes: int = MAX_LINEAGE_NODES) -> list[ParentRow]:
        """Every parent row of the dataset and of its ancestors, unresolved ones too, by child and position."""

    def events_about(self, about: Digest, *, after: int | None = None, limit: int = MAX_PAGE_ITEMS) -> list[EventRow]:
        """What is said about the statement whose envelope has this SHA-256, in log order, above entry `after`."""

    def events_by(
        self, about: Digest, keyid: str, event_type: str, *, since: str, limit: int = MAX_PAGE_ITEMS
    ) -> list[EventRow]:
        """What one key said of one type about the statement with this SHA-256, of a time from `since` on, by time."""

    def locations(self, entry_index: int) -> list[LocationRow]:
        """Where a dataset lay on this machine, newest first."""

    def locations_at(self, path: str, *, limit: int = MAX_PAGE_ITEMS) -> list[LocationRow]:
        """What was registered from exactly this absolute path, newest entry first."""


class IndexWriter(Protocol):
    """Building the index. Only inside a transaction."""

    def add_dataset(self, row: DatasetRow, parents: Sequence[ParentRow], files: Iterable[FileRow]) -> None:
        """Index one dataset; `ConflictError` if its entry, or its name and version, is indexed already."""

    def add_event(self, row: EventRow) -> None:
        """Index one event; `ConflictError` if its entry is indexed already."""

    def link_parents(self, row: DatasetRow) -> int:
        """How many unresolved parent rows now point to `row`: those with its name, version and digest."""

    def set_index_size(self, size: int, *, expected_size: int) -> None:
        """Say that the index covers `size` entries; `ConflictError` unless it covered `expected_size`."""

    def clear_index(self) -> None:
        """Remove every dataset, parent, file and event row and set the index size to 0. Locations stay."""

    def add_location(self, row: LocationRow) -> None:
        """Remember a place; the same entry and path again takes the newer time."""


class StoreReader(LogReader, OutboxReader, IndexReader, Protocol):
    """Everything that can be read."""


class StoreTransaction(StoreReader, LogWriter, OutboxWriter, IndexWriter, Protocol):
    """One open transaction, for the thread that opened it. Its reads see its own writes."""


class Store(StoreReader, Protocol):
    """A ledger's database. Any thread may use it; a forked process opens its own.

    Reads on the store itself see the last committed state, each on its own, also inside a transaction of the same
    thread: read through the transaction there.
    """

    @property
    def location(self) -> str:
        """What it was opened with, for messages."""

    def transaction(self) -> AbstractContextManager[StoreTransaction]:
        """Begin; commit on leaving, roll back on any exception; `StoreError` if one is open in this thread."""

    def snapshot(self) -> AbstractContextManager[StoreReader]:
        """Reads that all see one and the same committed state."""

    def check(self) -> list[str]:
        """What the database engine finds wrong with its own file; empty if nothing."""

    def close(self) -> None:
        """Release everything; later use is a `StoreError`. Closing twice is fine."""

    def __enter__(self) -> Store: ...

    def __exit__(self, *_: object) -> None: ...
