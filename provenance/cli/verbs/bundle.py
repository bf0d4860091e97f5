"""`provenance bundle`: everything a stranger needs to verify a dataset offline, in one file."""

from __future__ import annotations

from typing import Annotated

import typer

from provenance.cli.arguments import OutputOption, ReferenceArgument
from provenance.cli.exits import DONE
from provenance.cli.files import STDOUT, check_output, write_file
from provenance.cli.invocation import Invocation
from provenance.cli.screen import size_text
from provenance.errors import MalformedError


def bundle(
    run: Invocation,
    reference: ReferenceArgument,
    output: OutputOption,
    no_manifests: Annotated[
        bool,
        typer.Option("--no-manifests", help="Leave file lists out: smaller, but a changed file cannot be named."),
    ] = False,
    oms: Annotated[
        bool, typer.Option("--oms", help="Write the OpenSSF Model Signing bundle instead, for other people's tools.")
    ] = False,
) -> int:
    """Write the offline bundle of a dataset and all its ancestors."""
    if oms and no_manifests:
        raise MalformedError("--oms and --no-manifests exclude each other", expected="one of them")
    check_output(output, as_json=run.as_json)
    with run.ledger() as ledger:
        row = ledger.dataset(reference)
        name = f"{row.namespace}/{row.name}@{row.version}"
        data = ledger.oms_bundle(name) if oms else ledger.bundle(name, with_manifests=not no_manifests)
    write_file(output, data)
    if output == STDOUT:
        return DONE
    run.screen.pairs(
        [
            ("bundle", f"{output} ({size_text(len(data))})"),
            ("of", name),
            ("verify it", None if oms else f"provenance verify --bundle {output} --trust TRUST, anywhere, offline"),
            ("trust roots", None if oms else "provenance keys export -o TRUST"),
        ]
    )
    run.document({"file": output, "bytes": len(data), "target": name, "format": "oms" if oms else "provenance"})
    return DONE
