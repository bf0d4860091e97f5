"""`provenance fingerprint`: what a dataset's bytes, and its records, are. Needs no ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.exits import DONE
from provenance.cli.files import check_output, write_file
from provenance.cli.invocation import Invocation
from provenance.cli.progress import Meter
from provenance.cli.reading import LOCATION_HELP, HowToRead, wanted_of
from provenance.cli.screen import count_text, size_text
from provenance.errors import MalformedError

if TYPE_CHECKING:
    from provenance.encoding import JsonValue
    from provenance.ledger.fingerprinting import Found

_MAX_REREAD_LISTED = 20


def fingerprint(
    run: Invocation,
    path: Annotated[str, typer.Argument(metavar="PATH|URI", help=LOCATION_HELP)],
    how: HowToRead = HowToRead(),  # noqa: B008 - frozen
    manifest: Annotated[
        str | None, typer.Option("--manifest", metavar="FILE", help="Write the list of files there, for `diff`.")
    ] = None,
    schema_out: Annotated[
        str | None, typer.Option("--schema-out", metavar="FILE", help="With --records: write the schema there.")
    ] = None,
) -> int:
    """Fingerprint a file, folder or URI; nothing is signed, and no ledger is needed.

    What was read before and has not been touched since is not read again: a cache remembers size, times, inode and
    device of each file with its digest. --no-cache reads every byte.
    """
    from provenance.ledger.fingerprinting import find_fingerprint

    for output in (manifest, schema_out):
        if output is not None:
            check_output(output)
    if schema_out is not None and not how.records:
        raise MalformedError("--schema-out says something about records", expected="--records with it")
    wanted = wanted_of(run, path, how)
    with Meter("reading") as meter:
        found = find_fingerprint(path, wanted, meter.read)
    if manifest is not None:
        from provenance.fingerprint import encode_manifest

        write_file(manifest, encode_manifest(found.fingerprint))
    if schema_out is not None and found.records is not None:
        write_file(schema_out, found.records.schema.encode())
    run.screen.pairs(_rows(found))
    run.document(_document(found))
    return DONE


def _rows(found: Found) -> list[tuple[str, str | None]]:
    fingerprint = found.fingerprint
    document, records = fingerprint.document, fingerprint.document.records
    files = f"{count_text(document.file_count, 'file')}, {size_text(document.total_bytes)}"
    declared = fingerprint.parameters
    if fingerprint.reread is not None and len(fingerprint.reread) < document.file_count:
        spared = len(fingerprint.reread) + declared.declared_files < document.file_count
        files += f" ({len(fingerprint.reread)} read{', the others unchanged since they were' if spared else ''})"
    return [
        ("digest", fingerprint.digest.hex),
        ("file root", document.file_root.hex),
        ("files", files),
        (str(document.algorithm), fingerprint.files[0].digest.hex if document.file_count == 1 else None),
        (
            "declared",
            f"{count_text(declared.declared_files, 'digest')} by {declared.declared_by}, not computed"
            if declared.declared_by
            else None,
        ),
        *(("note", note) for note in found.notes),
        ("ignored by", ", ".join(declared.ignore) or None),
        ("record root", records.root.hex if records else None),
        ("records", f"{count_text(records.count, 'row')}, {records.index_count:,} distinct" if records else None),
        ("schema", records.schema.hex if records else None),
    ]


def _document(found: Found) -> dict[str, JsonValue]:
    fingerprint = found.fingerprint
    document = fingerprint.document
    value: dict[str, JsonValue] = {
        "digest": {"sha256": fingerprint.digest.hex},
        "fileRoot": document.file_root.hex,
        "files": document.file_count,
        "totalBytes": document.total_bytes,
        "document": document.to_json(),
        "parameters": fingerprint.parameters.to_json(),
        "reread": None,
        "notes": list(found.notes),
    }
    if fingerprint.reread is not None:
        value["reread"] = {
            "files": len(fingerprint.reread),
            "first": list(fingerprint.reread[:_MAX_REREAD_LISTED]),
        }
    if document.records is not None:
        value["recordRoot"] = document.records.root.hex
    return value
