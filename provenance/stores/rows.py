"""The rows that stores keep, as values.

Invariants: a row is immutable; roots are 32 raw bytes, content digests are `Digest`, indexes and sizes
are integers from 0, times are whole Unix seconds of the machine that wrote the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from provenance.encoding import Digest

OutboxKind = Literal["deploy", "anchor"]
OutboxState = Literal["signed", "broadcast", "mined", "final", "failed"]


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One log entry: the envelope's bytes as submitted. Its leaf hash is in the tiles, and is derived from it."""

    index: int
    envelope: bytes


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """A checkpoint: tree size, root (32 bytes) and the signed note's bytes as published."""

    size: int
    root: bytes
    note: bytes


@dataclass(frozen=True, slots=True)
class OutboxDraft:
    """A signed transaction that is to be kept before it is broadcast.

    `publisher` and `contract` are hex addresses (compared without case), `transaction` is the 32-byte hash of `raw`.
    An anchor names contract, origin, size and root (32 bytes); a deployment leaves origin, size and root None and
    may already name the contract's address, which publisher and nonce fix.
    """

    chain_id: int
    kind: OutboxKind
    publisher: str
    nonce: int
    raw: bytes
    transaction: bytes
    created_s: int
    contract: str | None = None
    origin: str | None = None
    size: int | None = None
    root: bytes | None = None


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A transaction in the outbox: what `OutboxDraft` says, and what became of it.

    `attempts` counts broadcasts, `receipt` is the anchor receipt's canonical JSON once there is one, `error` the last
    failure in one line.
    """

    id: int
    chain_id: int
    kind: OutboxKind
    publisher: str
    contract: str | None
    origin: str | None
    size: int | None
    root: bytes | None
    nonce: int
    raw: bytes
    transaction: bytes
    state: OutboxState
    attempts: int
    receipt: bytes | None
    created_s: int
    error: str | None


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """What the index knows of one dataset statement; all of it is re-derived from the entry and its blobs.

    `digest` is the fingerprint document's, `file_root` the 32-byte root over its files and `record_root` the one over
    its rows if they were fingerprinted, `keyid` the signer's, and `created` the time the signer claims, as the
    statement writes it. `manifest` and `oms` name blobs.
    """

    entry_index: int
    namespace: str
    name: str
    version: str
    digest: Digest
    file_root: bytes
    kind: str
    sensitivity: str
    license: str | None
    keyid: str
    created: str
    manifest: Digest | None = None
    oms: Digest | None = None
    record_root: bytes | None = None


@dataclass(frozen=True, slots=True)
class ParentRow:
    """The parent at `position` of the dataset at entry `child`; `parent_entry` is None while this log lacks it."""

    child: int
    position: int
    namespace: str
    name: str
    version: str
    digest: Digest
    parent_entry: int | None = None


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file of a dataset: SHA-256 of its content, and its relative path."""

    digest: Digest
    path: str


@dataclass(frozen=True, slots=True)
class FileMatch:
    """A dataset that holds a file with the content looked for, and the path it has there."""

    dataset: DatasetRow
    path: str


@dataclass(frozen=True, slots=True)
class EventRow:
    """An entry that says something about a registered statement: `about` is the SHA-256 of that one's envelope, `type`
    the predicate's."""

    entry_index: int
    about: Digest
    type: str
    keyid: str
    created: str


@dataclass(frozen=True, slots=True)
class LocationRow:
    """Where the dataset at `entry_index` lay when it was registered: an absolute path of this machine, or a URI without
    anything secret. Never published."""

    entry_index: int
    path: str
    registered_s: int
