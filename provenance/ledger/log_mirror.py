"""An exact copy of somebody's log, made of what was verified.

Invariants: what a monitor verifies is verified, and nothing is written before it was; tiles are made from the entries,
so that they are the log's own or the log is at fault; the copy is consistent at every moment, its checkpoint last; what
a run that was stopped has written is not fetched again; memory is bounded by a constant, as a monitor's is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from provenance.encoding import JsonValue
from provenance.errors import ConflictError, StoreError, VerificationError
from provenance.ledger.log_monitor import read_head
from provenance.log import EntriesPath, NoteVerifier, TlogPolicy, encode_tile_path, open_checkpoint
from provenance.log.fault import LogFaultError
from provenance.log.following import Follower, Head
from provenance.log.static import StaticPath
from provenance.log.tile import TILE_WIDTH
from provenance.logs import LogFiles
from provenance.merkle import CompactRange
from provenance.publishers import Publisher

CountEntries = Callable[[int, int], None]
"""Told how many entries of how many are copied."""


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What the copy holds now: a log of `size`, which was `since`; `files` were written for it."""

    head: Head
    since: int
    files: int

    def to_json(self) -> dict[str, JsonValue]:
        """The outcome as a JSON object."""
        checkpoint = self.head.checkpoint
        return {
            "origin": checkpoint.origin,
            "since": self.since,
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "files": self.files,
        }


def mirror_log(
    files: LogFiles,
    publisher: Publisher,
    verifier: NoteVerifier,
    *,
    origin: str | None = None,
    all_tiles: bool = False,
    policy: TlogPolicy | None = None,
    progress: CountEntries | None = None,
) -> Mirrored:
    """Bring the copy up to the log as it is; nothing is copied of a checkpoint that does not meet the `policy`.

    `ConflictError` if the copy's place holds another log, `LogFaultError` if the log is at fault, `StoreError` if the
    copy is damaged, `LogError` if either cannot be reached.
    """
    before = _copied(publisher, verifier, origin)
    head = read_head(files, verifier, origin, policy)
    reading = _CopyFirst(files, publisher)
    follower = Follower(reading.read, head, before=before)
    follower.check_growth()
    since, size, written = 0 if before is None else before.checkpoint.size, head.checkpoint.size, 0
    try:
        if since != size:
            for bundle in follower.bundles(_reached(publisher, before), all_tiles=all_tiles):
                written += publisher.put(bundle.path, bundle.data)
                written += sum(publisher.put(path, data) for path, data in bundle.tiles)
                if progress is not None:
                    progress(bundle.first + len(bundle.entries), size)
    except LogFaultError as fault:
        if fault.where is not None and fault.where == reading.copied:
            hint = "remove the file and run it again"
            raise StoreError("copy is damaged", where=f"{publisher.label}{fault.where}", hint=hint) from fault
        raise
    if before is None or before.note != head.note:
        publisher.checkpoint(head.note)
        written += 1
    return Mirrored(head, since, written)


class _CopyFirst:
    """Full bundles from the copy, if it has them already, anything else from the log."""

    def __init__(self, files: LogFiles, publisher: Publisher) -> None:
        self._files, self._publisher = files, publisher
        self.copied: str | None = None
        """The path of the last bundle, if the copy had it."""

    def read(self, path: StaticPath) -> bytes | None:
        """The file at a path."""
        if isinstance(path, EntriesPath):
            found = self._publisher.read(path) if path.width == TILE_WIDTH else None
            self.copied = None if found is None else encode_tile_path(path)
            if found is not None:
                return found
        return self._files.read(path)


def _copied(publisher: Publisher, verifier: NoteVerifier, origin: str | None) -> Head | None:
    note = publisher.published()
    if note is None:
        return None
    try:
        return Head(note, open_checkpoint(note, verifier, origin=origin))
    except VerificationError as error:
        hint = "mirror to an empty folder"
        what = f"place holds another log: {error.what}"
        raise ConflictError(what, expected=error.expected, got=error.got, where=publisher.label, hint=hint) from error


def _reached(publisher: Publisher, before: Head | None) -> CompactRange:
    """The tree that the copy holds in full bundles, out of its own tiles; `Follower.bundles` verifies it."""
    if before is None:
        return CompactRange()
    size = before.checkpoint.size // TILE_WIDTH * TILE_WIDTH
    try:
        return Follower(publisher.read, before).read_range(size)
    except LogFaultError as fault:
        hint = "`provenance log monitor` of the folder says what is wrong with it; mirror to an empty one"
        raise StoreError("copy is damaged", got=fault.what, where=fault.where, hint=hint) from fault
