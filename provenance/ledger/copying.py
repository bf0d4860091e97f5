"""Tables of a remote dataset, copied here for as long as their records are read.

Invariant: what is copied is what was fingerprinted: each copy is hashed while it is written, and one that differs is an
error that names it. Copies are gone when the reading is over, however it ends; memory does not grow with a file.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from provenance.errors import ProvenanceError, SourceError
from provenance.fingerprint import FileEntry, new_hasher
from provenance.ledger.chunking import in_order, open_entry
from provenance.sources import Progress, ProgressCallback, Source

_PIECE_BYTES: Final = 1 << 20


@contextmanager
def local_copies(
    source: Source, files: Sequence[FileEntry], progress: ProgressCallback | None = None
) -> Iterator[Path]:
    """A folder that holds copies of these files of a dataset. `SourceError` if there is no room, or one has changed."""
    total = sum(entry.size for entry in files)
    with tempfile.TemporaryDirectory(prefix="provenance-tables-") as name:
        folder = Path(name)
        free = shutil.disk_usage(folder).free
        if total > free:
            hint = "set TMPDIR to a larger disk, or copy the dataset here first"
            raise SourceError(
                "no room for a copy of the tables",
                expected=f"{total} bytes",
                got=f"{free} free",
                where=folder,
                hint=hint,
            )
        done = 0
        for entry, _ in in_order(lambda entry: copy_checked(source, entry, folder / entry.path), files):
            done += entry.size
            if progress is not None:
                progress(Progress(done, total, 0, len(files)))
        try:
            yield folder
        except ProvenanceError as error:
            if error.where is None or name not in error.where:
                raise
            # The copy is gone by the time anybody could look at it.
            where = error.where.replace(name, source.location.rstrip("/"))
            raise type(error)(
                error.what, expected=error.expected, got=error.got, where=where, hint=error.hint
            ) from error


def copy_checked(source: Source, entry: FileEntry, target: Path) -> None:
    """Copy a file of a dataset; `SourceError` if it is not, byte for byte, what was fingerprinted."""
    hasher = new_hasher(entry.algorithm)
    size = 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_entry(source, entry.path) as file, target.open("xb") as copy:
            while size <= entry.size and (piece := file.read(min(_PIECE_BYTES, entry.size + 1 - size))):
                hasher.update(piece)
                size += copy.write(piece)
    except OSError as error:
        raise SourceError("cannot copy", got=error.strerror, where=f"{entry.path} of {source.location}") from error
    if size != entry.size or hasher.digest() != entry.digest.raw:
        where = f"{source.location.rstrip('/')}/{entry.path}"
        raise SourceError("file changed while it was read", where=where, hint="stop what writes to it, then try again")
