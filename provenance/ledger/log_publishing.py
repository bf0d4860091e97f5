"""Publishing this ledger's log as files: a folder, or a bucket, for anyone to serve.

Invariants: bundles first, then tiles, the checkpoint last; only what is not there yet is written; a place whose
checkpoint is not a prefix of this log is refused, with both checkpoints, and nothing is written; one file is in memory
at a time, however large the log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from provenance.encoding import JsonValue
from provenance.errors import ConflictError, ProvenanceError, StoreError
from provenance.ledger.log_view import LogView
from provenance.log import encode_tile_path, parse_checkpoint, parse_note
from provenance.log.static import static_paths
from provenance.publishers import Publisher
from provenance.stores import CheckpointRow

CountFiles = Callable[[int, int], None]
"""Told how many files of how many are done."""


class OtherLogError(ConflictError):
    """A place holds the checkpoint `theirs`, which is no prefix of this log, whose checkpoint is `ours`."""

    def __init__(self, what: str, *, theirs: bytes, ours: bytes, got: object = None, where: object = None) -> None:
        hint = "publish to an empty place; if this ledger was restored from a copy, see `provenance log fsck`"
        super().__init__(what, got=got, where=where, hint=hint)
        self.theirs, self.ours = theirs, ours


@dataclass(frozen=True, slots=True)
class Published:
    """What a place holds now: a log of `size`, which was `since`; `files` and `bytes` were written for it."""

    where: str
    since: int
    size: int
    root: bytes
    files: int
    bytes: int

    def to_json(self) -> dict[str, JsonValue]:
        """The outcome as a JSON object."""
        return {
            "where": self.where,
            "since": self.since,
            "size": self.size,
            "root": self.root.hex(),
            "files": self.files,
            "bytes": self.bytes,
        }


def publish_log(
    log: LogView, publisher: Publisher, *, row: CheckpointRow | None = None, progress: CountFiles | None = None
) -> Published:
    """Bring a place up to a checkpoint of the log, to the latest unless another is named.

    `OtherLogError` if it holds another log, or more of this one.
    """
    row = log.checkpoint() if row is None else row
    found = publisher.published()
    since = 0 if found is None else _size_of_prefix(log, row, found, publisher.label)
    total = sum(1 for _ in static_paths(row.size, since=since)) if progress is not None else 0
    files = written = 0
    for number, path in enumerate(static_paths(row.size, since=since), 1):
        data, _ = log.tile(encode_tile_path(path))
        if publisher.put(path, data):
            files, written = files + 1, written + len(data)
        if progress is not None:
            progress(number, total)
    if found != row.note:  # the same size again may have more cosignatures
        publisher.checkpoint(row.note)
        files, written = files + 1, written + len(row.note)
    return Published(publisher.label, since, row.size, row.root, files, written)


def _size_of_prefix(log: LogView, row: CheckpointRow, found: bytes, where: str) -> int:
    """The size of a published checkpoint, which is a prefix of this log."""
    try:
        theirs = parse_checkpoint(parse_note(found).text)
    except ProvenanceError as error:
        what = f"place holds no checkpoint that can be read: {error.what}"
        raise OtherLogError(what, theirs=found, ours=row.note, where=where) from error
    ours = parse_checkpoint(parse_note(row.note).text)
    if theirs.origin != ours.origin:
        raise OtherLogError("place holds another log", theirs=found, ours=row.note, got=theirs.origin, where=where)
    if theirs.size > row.size:
        got = f"{theirs.size} entries"
        raise OtherLogError("place holds more than this log has", theirs=found, ours=row.note, got=got, where=where)
    if log.root_at(theirs.size) != theirs.root:
        what = f"place holds another history: its first {theirs.size} entries are not those of this log"
        raise OtherLogError(what, theirs=found, ours=row.note, where=where)
    if log.root_at(row.size) != row.root:
        raise StoreError("log's tiles do not give its signed root", hint="run `provenance log fsck`")
    return theirs.size
