"""`provenance register`: a dataset's fingerprint, signed and in the log; a receipt at once, then the anchor."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.arguments import KeyOption, PassphraseFileOption
from provenance.cli.completion import complete_kind, complete_reference, complete_sensitivity
from provenance.cli.exits import DONE, ENVIRONMENT
from provenance.cli.files import check_output, read_lines, write_file
from provenance.cli.invocation import Invocation
from provenance.cli.passphrase import passphrase_for
from provenance.cli.progress import Meter
from provenance.cli.reading import LOCATION_HELP, ChunksOption, HowToRead, wanted_of
from provenance.cli.receipt_view import show_anchor, show_receipt
from provenance.errors import ProvenanceError
from provenance.limits import MAX_MATERIALS, MAX_URI_CHARS

if TYPE_CHECKING:
    from provenance.ledger import Ledger, Receipt
    from provenance.statement.described import Described
    from provenance.statement.standards import Standards


def register(
    run: Invocation,
    path: Annotated[str, typer.Argument(metavar="PATH|URI", help=LOCATION_HELP)],
    name: Annotated[str, typer.Option("--name", metavar="NS/NAME", help="What to call it.")],
    version: Annotated[str, typer.Option("--version", metavar="V", help="Which version of it. Versions never change.")],
    parents: Annotated[
        list[str] | None,
        typer.Option(
            "--parent",
            metavar="REF",
            help="What it was made from. Repeat for several.",
            autocompletion=complete_reference,
        ),
    ] = None,
    parents_from: Annotated[
        str | None,
        typer.Option("--parents-from", metavar="FILE", help="The same, one REF a line, any number."),
    ] = None,
    describe: Annotated[
        str | None,
        typer.Option(
            "--describe",
            metavar="FILE",
            help="A Hugging Face card or Croissant description: title, licence and more are taken from it.",
        ),
    ] = None,
    license_name: Annotated[
        str | None, typer.Option("--license", metavar="SPDX", help="Its licence, as CC0-1.0 or Apache-2.0.")
    ] = None,
    origin: Annotated[
        str | None, typer.Option("--origin", metavar="URI", help="Where it came from; ends the lineage there.")
    ] = None,
    sensitivity: Annotated[
        str,
        typer.Option(
            "--sensitivity",
            metavar="WORD",
            help="public, internal, confidential or restricted.",
            autocompletion=complete_sensitivity,
        ),
    ] = "internal",
    kind: Annotated[
        str, typer.Option("--kind", metavar="WORD", help="dataset or model.", autocompletion=complete_kind)
    ] = "dataset",
    standards: Annotated[
        str | None,
        typer.Option("--standards", metavar="FILE", help="JSON: what else the Data Provenance Standards ask for."),
    ] = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    receipt_file: Annotated[
        str | None, typer.Option("--receipt", metavar="FILE", help="Write the receipt there as JSON.")
    ] = None,
    no_anchor: Annotated[bool, typer.Option("--no-anchor", help="Leave anchoring to a later `anchor`.")] = False,
    how: HowToRead = HowToRead(),  # noqa: B008 - frozen
    chunks: ChunksOption = False,
) -> int:
    """Fingerprint, sign, log and anchor a dataset or model.

    The receipt is printed as soon as the log holds the entry for good. If anchoring fails after that, the registration
    stands, the exit code is 3, and `provenance anchor` makes up for it.
    """
    if receipt_file is not None:
        check_output(receipt_file)
    listed = (
        read_lines(parents_from, "list of parents", max_bytes=MAX_MATERIALS * MAX_URI_CHARS)
        if parents_from is not None
        else []
    )
    with run.ledger() as ledger:
        described = _read_described(describe) if describe is not None else None
        said = _read_standards(standards) if standards is not None else None
        if described is not None:  # what is said here goes before; what was made from something has its origin there
            said = said.filled(described.standards) if said is not None else described.standards
            license_name = license_name or described.license
            origin = origin or (None if parents or listed else described.origin)
        passphrase = passphrase_for(ledger.keyring, key, passphrase_file)
        wanted = wanted_of(run, path, how, chunks=chunks)
        with Meter("reading") as meter:
            receipt = ledger.register(
                path,
                name,
                version,
                parents=[*(parents or ()), *listed],
                license=license_name,
                origin=origin,
                sensitivity=sensitivity,
                kind=kind,
                standards=said,
                key=key,
                passphrase=passphrase,
                anchor=False,
                wanted=wanted,
                progress=meter.read,
            )
        show_receipt(run.screen, receipt)
        codes = [_keep(run, receipt, receipt_file)]
        if no_anchor:
            run.screen.pairs([("anchor", "not anchored yet: provenance anchor")], style="warn")
        else:
            receipt, code = _anchored(run, ledger, receipt)
            codes += [code, _keep(run, receipt, receipt_file, again=True)]
    run.document(receipt.to_json())
    return max(codes)


def _read_described(path: str) -> Described:
    from provenance.cli.files import read_file
    from provenance.encoding.card import MAX_CARD_BYTES
    from provenance.statement.described import read_described

    return read_described(read_file(path, "description", max_bytes=MAX_CARD_BYTES))


def _read_standards(path: str) -> Standards:
    from provenance.cli.files import read_file
    from provenance.encoding import parse_json
    from provenance.limits import MAX_ENTRY_BYTES
    from provenance.statement.standards import parse_standards

    data = read_file(path, "standards", max_bytes=MAX_ENTRY_BYTES)
    return parse_standards(parse_json(data, what="standards", max_bytes=MAX_ENTRY_BYTES))


def _anchored(run: Invocation, ledger: Ledger, receipt: Receipt) -> tuple[Receipt, int]:
    run.flush()
    try:
        with Meter("anchoring"):
            outcome = ledger.anchor()
    except ProvenanceError as error:
        run.problem(error)
        return replace(receipt, anchor_problem=str(error)), ENVIRONMENT
    show_anchor(run.screen, outcome)
    return replace(receipt, anchor=outcome), DONE


def _keep(run: Invocation, receipt: Receipt, file: str | None, *, again: bool = False) -> int:
    """Write the receipt. The registration stands if that fails: it can be had again."""
    if file is None:
        return DONE
    try:
        write_file(file, json.dumps(receipt.to_json(), indent=2).encode("ascii") + b"\n")
    except OSError as error:
        run.problem(error)
        return ENVIRONMENT
    if not again:
        run.screen.pairs([("receipt", file)])
    return DONE
