"""`provenance import`: lineage that other tools' documents declare; and what was declared of a dataset or job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provenance.cli.arguments import KeyOption, PassphraseFileOption, parse_number
from provenance.cli.completion import complete_import
from provenance.cli.exits import DONE
from provenance.cli.invocation import Invocation
from provenance.cli.passphrase import passphrase_for
from provenance.cli.screen import count_text
from provenance.errors import MalformedError, printable

if TYPE_CHECKING:
    from provenance.encoding import JsonValue
    from provenance.ledger.importing import DeclaredNode, Imported


def import_lineage(
    run: Invocation,
    documents: Annotated[list[str] | None, typer.Argument(metavar="FILE...", help="What to import.")] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="WORD",
            help="auto, dvc, in-toto, spdx, cyclonedx, mlflow, prov, croissant or card.",
            autocompletion=complete_import,
        ),
    ] = "auto",
    declared_by: Annotated[
        str | None,
        typer.Option("--declared-by", metavar="NAME", help="Whose word it is; the format's tool if not said."),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace",
            metavar="TEXT",
            help="What its names are in; the format's name by default. With --show: of which namespace the node is.",
        ),
    ] = None,
    mlflow: Annotated[
        str | None,
        typer.Option("--mlflow", metavar="URI", help="Instead: the finished runs of an MLflow server."),
    ] = None,
    experiments: Annotated[
        list[str] | None,
        typer.Option("--experiment", metavar="NAME", help="With --mlflow: of this experiment alone. Repeat."),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option("--every", metavar="SECONDS", help="With --mlflow: ask again and again, until stopped."),
    ] = None,
    show: Annotated[
        str | None,
        typer.Option("--show", metavar="NODE", help="Show what is declared around dataset:NS:NAME or job:NS:NAME."),
    ] = None,
    depth: Annotated[str, typer.Option("--depth", metavar="N", help="With --show: how many steps.")] = "20",
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> int:
    """Log what documents of other tools declare of datasets and the steps that made them: DVC files, in-toto and SLSA
    attestations, SPDX 3 documents, CycloneDX BOMs; or what the runs of an MLflow server do.

    It is what they declare, never verified: no digest is computed and no signature of theirs is checked. The same
    document or run again adds nothing. MLflow's own environment variables give its user and password or token.
    """
    from provenance.ledger.importing import MAX_DEPTH, declared_graph, import_document
    from provenance.ledger.mlflow_runs import import_runs

    if [bool(documents), show is not None, mlflow is not None].count(True) != 1:
        expected = "documents to import, --mlflow URI or --show NODE"
        raise MalformedError("nothing to do, or too much", expected=expected)
    if mlflow is None and (experiments or every is not None):
        raise MalformedError("option is about an MLflow server", expected="--mlflow URI with it")
    pause_s = None if every is None else parse_number(every, "--every", minimum=1, maximum=86_400)
    with run.ledger() as ledger:
        if mlflow is not None:
            ask = partial(
                import_runs, ledger, mlflow,
                experiments=experiments or (), declared_by=declared_by, namespace=namespace,
                key=key, passphrase=passphrase_for(ledger.keyring, key, passphrase_file),
            )  # fmt: skip
            _poll(run, mlflow, ask, pause_s)
            return DONE
        if show is not None:
            nodes = declared_graph(ledger, show, parse_number(depth, "--depth", maximum=MAX_DEPTH), namespace)
            _show(run, nodes)
            run.document({"nodes": [one.to_json() for one in nodes]})
            return DONE
        passphrase = passphrase_for(ledger.keyring, key, passphrase_file)
        found: list[JsonValue] = []
        for document in documents or ():
            imported = import_document(
                ledger,
                document,
                form=None if form == "auto" else form,
                declared_by=declared_by,
                namespace=namespace,
                key=key,
                passphrase=passphrase,
            )
            found.append({"file": document, **imported.to_json()})
            steps = count_text(len(imported.declared.steps), "step")
            known = "" if imported.new else "; all of it was here"
            run.screen.pairs(
                [
                    ("imported", f"{printable(document)} ({imported.declared.form})"),
                    ("declares", f"{steps}, {imported.new} new{known}"),
                    ("log entry", ", ".join(map(str, imported.entries)) or None),
                ]
            )
    run.screen.prose("note: this is what the documents declare; nothing of it was verified")
    run.document({"imported": found})
    return DONE


def _poll(run: Invocation, server: str, ask: Callable[[], Iterator[Imported]], pause_s: int | None) -> None:
    """Import what is new, once or until stopped."""
    pages = list(ask())
    while True:
        steps = sum(page.new for page in pages)
        if steps or pause_s is None:
            entries = ", ".join(str(entry) for page in pages for entry in page.entries)
            run.screen.pairs(
                [
                    ("imported", f"{count_text(steps, 'run')} of {printable(server)}" if steps else None),
                    ("nothing new", None if steps else printable(server)),
                    ("log entry", entries or None),
                ]
            )
        if pause_s is None:
            break
        time.sleep(pause_s)
        pages = list(ask())
    run.screen.prose("note: this is what the runs declare; nothing of it was verified")
    run.document({"imported": [page.to_json() for page in pages]})


def _show(run: Invocation, nodes: tuple[DeclaredNode, ...]) -> None:
    for one in nodes:
        run.screen.spans((printable(one.node.id), "strong"), (f"  {one.version or ''}", "faint"))
        run.screen.pairs(
            [
                *(("  from", printable(name)) for name in one.node.before),
                *(("  to", printable(name)) for name in one.node.after),
                ("  registered", ", ".join(one.registered) or None),
                ("  owners", _owners(one.node.facets)),
                ("  tests", _tests(one.node.facets)),
            ]
        )
    run.screen.prose("note: this is what was declared; nothing of it was verified")


def _owners(facets: dict[str, Any]) -> str | None:
    return ", ".join(printable(one["name"]) for one in facets.get("ownership", {}).get("owners", ())) or None


def _tests(facets: dict[str, Any]) -> str | None:
    found = [facets[name] for name in ("dataQualityAssertions", "test") if name in facets]
    counts = {word: sum(one.get(word, 0) for one in found) for word in ("passed", "failed", "skipped")}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or None
