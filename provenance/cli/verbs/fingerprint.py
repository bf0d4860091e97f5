"""`provenance fingerprint`: what a dataset's bytes are. Needs no ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from provenance.cli.exits import DONE
from provenance.cli.invocation import Invocation
from provenance.cli.progress import Meter
from provenance.cli.screen import count_text, size_text


def fingerprint(
    run: Invocation,
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file or folder.")],
) -> int:
    """Fingerprint a file or folder; nothing is signed or written."""
    # Not through the ledger package: that would load chains, stores and proofs, which hashing a file does not need.
    from provenance.sources import Reading, open_source

    with Meter("reading") as meter:
        found = open_source(path, Reading(leave_out=_ledger_within(run, path))).fingerprint(meter.read)
    document = found.document
    run.screen.pairs(
        [
            ("digest", found.digest.hex),
            ("file root", document.file_root.hex),
            ("files", f"{count_text(document.file_count, 'file')}, {size_text(document.total_bytes)}"),
            ("sha256", found.files[0].digest.hex if len(found.files) == 1 else None),
        ]
    )
    run.document(
        {
            "digest": {"sha256": found.digest.hex},
            "fileRoot": document.file_root.hex,
            "files": document.file_count,
            "totalBytes": document.total_bytes,
            "document": document.to_json(),
        }
    )
    return DONE


def _ledger_within(run: Invocation, path: str) -> Path | None:
    """The ledger in use, if there is one at the top of the folder: what `register` leaves out."""
    if not (Path(path) / ".provenance").is_dir():
        return None
    from provenance.errors import ProvenanceError
    from provenance.ledger.layout import discover, ledger_folder

    try:
        return ledger_folder(Path(run.ledger_folder)) if run.ledger_folder else discover()
    except ProvenanceError:
        return None
