"""`provenance check`: which of these records are in that dataset."""

from __future__ import annotations

from typing import Annotated

import typer

from provenance.cli.arguments import ReferenceArgument
from provenance.cli.exits import DONE, FAILED
from provenance.cli.files import check_output, write_file
from provenance.cli.invocation import Invocation
from provenance.cli.progress import Meter
from provenance.cli.screen import count_text

_MAX_LISTED = 20


def check(
    run: Invocation,
    reference: ReferenceArgument,
    records: Annotated[
        str, typer.Argument(metavar="RECORDS", help="A table of records: Parquet, Arrow, CSV or JSON Lines.")
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the row of each record there, a line each; -1: none."
        ),
    ] = None,
) -> int:
    """Check which of many records are in a dataset. Exit code 0: all of them are; 1: some are not.

    The records must have the dataset's columns. Their hashes are looked up in the dataset's index, all at once; for a
    proof of one that a stranger can check, see `provenance prove`.
    """
    import numpy as np

    from provenance.tables import open_table

    if output is not None:
        check_output(output, as_json=run.as_json)
    with run.ledger() as ledger, Meter("checking"):
        proofs = ledger.proofs(reference)
        found = proofs.membership(open_table(records, schema=proofs.schema))
        name = str(proofs.statement.name)
    missing = np.flatnonzero(found.rows < 0)
    listed = [int(row) for row in missing[:_MAX_LISTED]]
    if output is not None:
        write_file(output, b"".join(b"%d\n" % row for row in found.rows.tolist()))
    absent = f"{count_text(found.absent, 'record')}" if found.absent else None
    first = ", ".join(map(str, listed)) + (" ..." if found.absent > len(listed) else "") if listed else None
    run.screen.pairs(
        [
            ("dataset", name),
            ("asked for", count_text(len(found.rows), "record")),
            ("in it", count_text(found.present, "record")),
            ("not in it", absent),
            ("their rows", first),
            ("rows", output),
        ]
    )
    run.document(
        {
            "dataset": name,
            "records": len(found.rows),
            "present": found.present,
            "absent": found.absent,
            "absentRows": list(listed),
        }
    )
    return DONE if not found.absent else FAILED
