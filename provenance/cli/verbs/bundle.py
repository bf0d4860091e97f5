"""`provenance bundle`: everything a stranger needs to verify a dataset offline, in one file."""

from __future__ import annotations

import shlex
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
    complete: Annotated[
        bool,
        typer.Option(
            "--complete", help="Let it show that nothing was left out that was said of them, up to now: larger."
        ),
    ] = False,
    oms: Annotated[
        bool, typer.Option("--oms", help="Write the OpenSSF Model Signing bundle instead, for other people's tools.")
    ] = False,
) -> int:
    """Write the offline bundle of a dataset and all its ancestors.

    It holds statements, signatures, proofs and file lists, and no bytes of the data: hand those over as well.
    """
    if oms and (no_manifests or complete):
        other = "--no-manifests" if no_manifests else "--complete"
        raise MalformedError(f"--oms and {other} exclude each other", expected="one of them")
    check_output(output, as_json=run.as_json)
    with run.ledger() as ledger:
        row = ledger.dataset(reference)
        name = f"{row.namespace}/{row.name}@{row.version}"
        data = (
            ledger.oms_bundle(name) if oms else ledger.bundle(name, with_manifests=not no_manifests, complete=complete)
        )
        keys = {key.public.keyid: key.name for key in ledger.keyring.list()}
        keys |= {source.key.keyid: source.name for source in ledger.keyring.trust().sources}
    write_file(output, data)
    if output == STDOUT:
        return DONE
    run.screen.pairs([("bundle", f"{output} ({size_text(len(data))})"), ("of", name)])
    if oms:
        key = shlex.quote(keys.get(row.keyid, row.keyid))
        rows = [
            ("verify it", f"model_signing verify key FOLDER --signature {shlex.quote(output)} --public_key KEY.pub"),
            ("one file", "name its folder, and add --ignore_unsigned_files"),
            ("KEY.pub", f"provenance keys show {key} --pem > KEY.pub"),
        ]
    else:
        file = shlex.quote(output)
        rows = [
            ("verify it", f"provenance verify --bundle {file} --trust TRUST --data {name}=PATH, anywhere, offline"),
            ("trust roots", "provenance keys export -o TRUST"),
        ]
    run.screen.pairs(rows)
    run.document({"file": output, "bytes": len(data), "target": name, "format": "oms" if oms else "provenance"})
    return DONE
