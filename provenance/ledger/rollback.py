"""What this log showed to others, and that it never goes back behind it.

Invariants: the note that is kept is of the largest tree that a witness cosigned, a chain holds or a publisher has; it
lies beside the database, so that a database that is put back from an old copy does not take it along; a log that is
smaller than it, or has another root there, is refused before anything is signed.
"""

from __future__ import annotations

from pathlib import Path

from provenance.errors import NotFoundError, ProvenanceError, StoreError
from provenance.ledger.layout import read_bounded, write_private
from provenance.ledger.log_view import LogView
from provenance.limits import MAX_NOTE_BYTES
from provenance.log import Checkpoint, parse_checkpoint, parse_note, renew_signatures
from provenance.log.fault import FaultKind, LogFaultError
from provenance.merkle import EMPTY_ROOT

FILE = "shown.checkpoint"
PUBLISHED = "published.checkpoint"
"""The same for the largest checkpoint that had the cosignatures it needs: what is shown while the latest lacks them."""


def shown_checkpoint(folder: Path, file: str = FILE) -> tuple[bytes, Checkpoint] | None:
    """The signed note that others have seen, and what it says; None if none was shown yet. `StoreError` for a file that
    is damaged."""
    path = folder / file
    try:
        note = read_bounded(path, "checkpoint", max_bytes=MAX_NOTE_BYTES)
        return note, parse_checkpoint(parse_note(note).text)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError("cannot read what this log showed", got=error.strerror, where=path) from error
    except ProvenanceError as error:
        hint = "restore it from a backup: without it, a log that went back is noticed only by others"
        raise StoreError(f"what this log showed is damaged: {error.what}", where=path, hint=hint) from error


def remember_shown(folder: Path, note: bytes, file: str = FILE) -> None:
    """Remember that others have this checkpoint, unless one as large is remembered; of the same one, all signatures."""
    known, parsed = shown_checkpoint(folder, file), parse_note(note)
    if known is not None:
        if parse_note(known[0]).text == parsed.text:
            note = renew_signatures(known[0], parsed.signatures)
        elif known[1].size >= parse_checkpoint(parsed.text).size:
            return
    if known is None or note != known[0]:
        write_private(folder / file, note)


def check_shown(folder: Path, log: LogView) -> None:
    """Raise `LogFaultError` if this log, by the checkpoint that it signed last, is not an extension of what it showed.

    A log that is damaged, so that its tiles do not give that checkpoint, is not judged: it signs nothing more, and
    `fsck` says what is wrong.
    """
    known = shown_checkpoint(folder)
    if known is None:
        return
    note, shown = known
    try:
        row = log.checkpoint()
        now, size, signed = row.note, row.size, row.root
    except NotFoundError:
        if log.size():
            return
        now, size, signed = b"", 0, EMPTY_ROOT
    if size < shown.size:
        raise LogFaultError(
            FaultKind.WENT_BACK,
            "this log went back behind a checkpoint that others have",
            earlier=note,
            later=now,
            expected=f"size {shown.size} or more, root {shown.root.hex()}",
            got=f"size {size}",
            where=folder,
        )
    try:
        if log.root_at(size) != signed:
            return
        root = log.root_at(shown.size)
        *_, proof = log.consistency(shown.size, size)
    except (StoreError, NotFoundError):
        return
    if root != shown.root:
        raise LogFaultError(
            FaultKind.FORKED,
            "this log forked from a checkpoint that others have",
            earlier=note,
            later=now,
            expected=f"at size {shown.size} root {shown.root.hex()}",
            got=root.hex(),
            where=folder,
            root=root,
            proof=proof,
        )
