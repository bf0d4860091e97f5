"""`provenance diff`: what changed between two datasets, and proofs of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.completion import complete_reference
from provenance.cli.exits import DONE, FAILED
from provenance.cli.files import check_output, read_file, write_file
from provenance.cli.invocation import Invocation
from provenance.cli.progress import Meter
from provenance.cli.screen import count_text, size_text
from provenance.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provenance.fingerprint import Change
    from provenance.ledger.differences import Side
    from provenance.tables import Table

_MAX_LISTED = 1_000
_SIDE = "A path, a REF of this ledger, or a manifest (fingerprint --manifest)."


def diff(
    run: Invocation,
    before: Annotated[str | None, typer.Argument(metavar="A", help=_SIDE, autocompletion=complete_reference)] = None,
    after: Annotated[
        str | None, typer.Argument(metavar="B", help="The other: the same.", autocompletion=complete_reference)
    ] = None,
    proof: Annotated[
        str | None, typer.Option("--proof", metavar="FILE", help="Write proofs of the changes under both roots there.")
    ] = None,
    check: Annotated[
        str | None,
        typer.Option("--check", metavar="FILE", help="Check what --proof wrote, without A and B."),
    ] = None,
    first: Annotated[
        str | None, typer.Option("--from", metavar="HEX", help="With --check: the digest that A should have.")
    ] = None,
    second: Annotated[
        str | None, typer.Option("--to", metavar="HEX", help="With --check: the digest that B should have.")
    ] = None,
    records: Annotated[
        bool, typer.Option("--records", help="Compare the rows of their tables in place, and name rows and columns.")
    ] = False,
    summary: Annotated[bool, typer.Option("--summary", help="Count the changes; do not list them.")] = False,
) -> int:
    """Compare two datasets: files added, removed, changed, renamed, swapped. Exit code 0: the same; 1: they differ.

    A renamed file is known by its content. With --proof, whoever has the two digests can check each change, without
    either list of files; that nothing else changed, only the lists show.
    """
    if check is not None:
        if before is not None or proof is not None:
            raise MalformedError("--check stands alone", expected="no A, B or --proof with it")
        return _check(run, check, first, second, summary=summary)
    if before is None or after is None:
        raise MalformedError("two datasets are compared", expected="A and B", got="fewer")
    if first is not None or second is not None:
        raise MalformedError("--from and --to go with --check", expected="--check FILE")
    if records:
        if proof is not None:
            raise MalformedError("--records compares rows, --proof is about files", expected="one of them")
        return _diff_records(run, before, after, summary=summary)
    if proof is not None:
        check_output(proof)
    from provenance.ledger.differences import compare, prove_difference

    with Meter("reading") as meter:
        one, other = _sides(run, before, after, meter)
    changes = compare(one, other)
    if proof is not None:
        from provenance.fingerprint.difference import encode_difference

        data = encode_difference(prove_difference(one, other, changes))
        write_file(proof, data)
        run.screen.pairs([("proof", f"{proof} ({size_text(len(data))})")])
    digests = [side.document.digest.hex for side in (one, other)]
    _show(run, digests, changes, summary=summary)
    return FAILED if changes else DONE


def _diff_records(run: Invocation, before: str, after: str, *, summary: bool) -> int:
    from provenance.ledger.record_differences import compare_tables

    with Meter("comparing"):
        difference = compare_tables(_table(run, before), _table(run, after), limit=0 if summary else _MAX_LISTED)
    rows = [("rows", f"{difference.before:,}, then {difference.after:,}" if not difference.same else None)]
    if not difference.same_schema:
        rows.append(("schema", "another: columns, types, nulls or order differ"))
    run.screen.pairs([*rows, ("differ", count_text(difference.changed, "row") if difference.changed else None)])
    for change in difference.rows:
        for name, old, new in change.columns:
            run.screen.line(f"row {change.row:,}, column {name}: {json.dumps(old)} is now {json.dumps(new)}")
    if difference.same:
        run.screen.pairs([("differ", f"none: the same {count_text(difference.before, 'row')}")])
    run.document(
        {
            "same": difference.same,
            "sameSchema": difference.same_schema,
            "rows": {"before": difference.before, "after": difference.after, "changed": difference.changed},
            "changes": [
                {"row": change.row, "columns": [{"name": n, "before": b, "after": a} for n, b, a in change.columns]}
                for change in difference.rows
            ],
        }
    )
    return DONE if difference.same else FAILED


def _table(run: Invocation, text: str) -> Table:
    if Path(text).exists():
        from provenance.ledger.fingerprinting import find_fingerprint, open_records

        found = find_fingerprint(text)
        return open_records(Path(found.location), found.fingerprint.files, None)
    with run.ledger() as ledger:
        return ledger.table(text)


def _sides(run: Invocation, before: str, after: str, meter: Meter) -> tuple[Side, Side]:
    """Both datasets. Bytes that are compared with a manifest or REF are read as those were."""
    one, other = _recorded(run, before), _recorded(run, after)
    return one or _read(run, before, other, meter), other or _read(run, after, one, meter)


def _recorded(run: Invocation, text: str) -> Side | None:
    """What a manifest or the ledger says; None for bytes that must be read."""
    from provenance.ledger.differences import Side, manifest_side

    path = Path(text)
    if (found := manifest_side(path)) is not None:
        return found
    if path.exists() or "://" in text:
        return None
    with run.ledger() as ledger:
        proofs = ledger.proofs(text)
        statement = proofs.statement
        return Side(str(statement.name), proofs.document, proofs.files(), statement.parameters.ignore)


def _read(run: Invocation, text: str, like: Side | None, meter: Meter) -> Side:
    from provenance.cli.reading import HowToRead, wanted_of
    from provenance.ledger.differences import Side
    from provenance.ledger.fingerprinting import find_fingerprint

    how = HowToRead() if like is None else HowToRead(algorithm=like.document.algorithm, ignore=list(like.ignore))
    found = find_fingerprint(text, wanted_of(run, text, how), meter.read).fingerprint
    return Side(text, found.document, found.files, found.parameters.ignore)


def _check(run: Invocation, file: str, first: str | None, second: str | None, *, summary: bool) -> int:
    from provenance.encoding import Digest
    from provenance.fingerprint.difference import parse_difference, verify_difference
    from provenance.fingerprint.proof import MAX_PROOF_BYTES

    difference = parse_difference(read_file(file, "difference", max_bytes=MAX_PROOF_BYTES))
    before = Digest.from_hex(first, what="--from") if first is not None else None
    after = Digest.from_hex(second, what="--to") if second is not None else None
    verify_difference(difference, before, after)
    run.screen.pairs([("proof", f"{file}: {count_text(len(difference.paths), 'path')}, each proven under both roots")])
    if before is None or after is None:
        run.screen.prose("note: whether these are your datasets, compare their digests: --from HEX --to HEX")
    digests = [difference.before.digest.hex, difference.after.digest.hex]
    _show(run, digests, difference.changes, summary=summary)
    return DONE


def _show(run: Invocation, digests: Sequence[str], changes: Sequence[Change], *, summary: bool) -> None:
    counts: dict[str, int] = {}
    for change in changes:
        counts[str(change.kind)] = counts.get(str(change.kind), 0) + 1
    run.screen.pairs([("from", digests[0]), ("to", digests[1])])
    if not summary:
        for change in changes[:_MAX_LISTED]:
            run.screen.line(change.describe())
        if len(changes) > _MAX_LISTED:
            run.screen.line(f"... and {len(changes) - _MAX_LISTED:,} more: --json lists them all")
    total = ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items()))
    run.screen.pairs([("changes", total or "none: the same files")])
    run.document(
        {
            "from": {"sha256": digests[0]},
            "to": {"sha256": digests[1]},
            "same": not changes,
            "counts": dict(counts),
            "changes": [{"kind": str(change.kind), "path": change.path, "other": change.other} for change in changes],
        }
    )
