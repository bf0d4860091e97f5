"""The verbs and their groups, and the options that stand before the verb."""

from __future__ import annotations

from typing import Annotated

import typer

from provenance import __version__
from provenance.cli.invocation import JSON_HELP, VerbGroup, add_verb
from provenance.cli.verbs import (
    anchor,
    attest,
    audit,
    bundle,
    chain,
    check,
    demo,
    diff,
    events,
    export,
    fingerprint,
    gate,
    imports,
    init,
    key_events,
    keys,
    lineage,
    log,
    log_keys,
    log_map,
    log_publishing,
    log_reading,
    prove,
    register,
    runs,
    serve,
    verify,
    witness,
    witness_keys,
)

_HELP_NAMES = {"help_option_names": ["--help", "-h"]}


def _group(help_text: str) -> typer.Typer:
    return typer.Typer(
        cls=VerbGroup,
        help=help_text,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=_HELP_NAMES,
    )


app = _group(
    "A data-provenance ledger: fingerprint a dataset, sign where it came from, log it, anchor the log on a chain, "
    "and let anyone verify all of it offline.\n\n"
    "REF is ns/name (its latest version), ns/name@version, or 8 or more digits of a digest. "
    "Exit codes: 0 done or verified, 1 verification failed, 2 usage or malformed input, "
    "3 environment (chain, store, network)."
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"provenance {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    ledger: Annotated[
        str | None,
        typer.Option(
            "--ledger",
            metavar="DIR",
            help="The ledger. Default: PROVENANCE_LEDGER, else the nearest .provenance upwards.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
    version: Annotated[  # noqa: ARG001 - its callback acts
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    context.obj.ledger_folder = ledger
    if as_json:
        context.obj.use_json()


add_verb(app, "init", init.init)

_keys = _group("Signing keys, and whose keys this ledger trusts.")
app.add_typer(_keys, name="keys")
add_verb(_keys, "new", keys.new)
add_verb(_keys, "list", keys.list_keys)
add_verb(_keys, "show", keys.show)
add_verb(_keys, "import", keys.import_key)
add_verb(_keys, "trust", keys.trust)
add_verb(_keys, "revoke", keys.revoke)
add_verb(_keys, "announce", key_events.announce)
add_verb(_keys, "rotate", key_events.rotate)
add_verb(_keys, "events", key_events.events)
add_verb(_keys, "export", keys.export)

add_verb(app, "fingerprint", fingerprint.fingerprint)
add_verb(app, "register", register.register)
add_verb(app, "anchor", anchor.anchor)
add_verb(app, "verify", verify.verify)
add_verb(app, "diff", diff.diff)
add_verb(app, "prove", prove.prove)
add_verb(app, "check", check.check)
add_verb(app, "bundle", bundle.bundle)
add_verb(app, "lineage", lineage.lineage)
add_verb(app, "impact", events.impact)
add_verb(app, "audit", audit.audit)
add_verb(app, "gate", gate.gate)
add_verb(app, "export", export.export)
add_verb(app, "import", imports.import_lineage)

add_verb(app, "revoke", events.revoke)
add_verb(app, "supersede", events.supersede)
add_verb(app, "review", events.review)
add_verb(app, "finding", events.finding)
add_verb(app, "use", events.use)
add_verb(app, "run", runs.run_command)
add_verb(app, "replay", runs.replay)
add_verb(app, "quality", runs.quality)
add_verb(app, "events", events.events)

_log = _group("The append-only log: entries, checkpoint, proofs, fsck.")
app.add_typer(_log, name="log")
_witness = _group("Witnesses of this log, and a witness of other logs.")
app.add_typer(_witness, name="witness")
add_verb(_witness, "init", witness.init)
add_verb(_witness, "watch", witness.watch)
add_verb(_witness, "serve", witness.serve)
add_verb(_witness, "add", witness.add)
add_verb(_witness, "retire", witness.retire)
add_verb(_witness, "remove", witness.remove)
add_verb(_witness, "list", witness.show)
add_verb(_witness, "cosign", witness.cosign)
add_verb(_witness, "waive", attest.waive)
add_verb(_witness, "check-attestation", attest.check_attestation)
_witness_keys = _group("A witness's own keys, and how they change.")
_witness.add_typer(_witness_keys, name="keys")
add_verb(_witness_keys, "list", witness_keys.list_keys)
add_verb(_witness_keys, "add", witness_keys.add)
add_verb(_witness_keys, "rotate", witness_keys.rotate)
add_verb(_witness_keys, "retire", witness_keys.retire)
add_verb(_log, "show", log.show)
add_verb(_log, "checkpoint", log.checkpoint)
add_verb(_log, "access", log.access)
add_verb(_log, "inclusion", log.inclusion)
add_verb(_log, "consistency", log.consistency)
add_verb(_log, "about", log_map.about)
add_verb(_log, "check-about", log_map.check_about)
add_verb(_log, "export", log_publishing.export)
add_verb(_log, "publish", log_publishing.publish)
add_verb(_log, "monitor", log_reading.monitor)
add_verb(_log, "mirror", log_reading.mirror)
add_verb(_log, "evidence", log_reading.evidence)
add_verb(_log, "check-evidence", log_reading.check_evidence)
add_verb(_log, "fsck", log.fsck)
add_verb(_log, "reindex", log.reindex)
_log_keys = _group("The log's own keys, and how they change.")
_log.add_typer(_log_keys, name="keys")
add_verb(_log_keys, "list", log_keys.list_keys)
add_verb(_log_keys, "add", log_keys.add)
add_verb(_log_keys, "rotate", log_keys.rotate)
add_verb(_log_keys, "retire", log_keys.retire)

_chain = _group("The chain that this ledger anchors on.")
app.add_typer(_chain, name="chain")
add_verb(_chain, "status", chain.status)
add_verb(_chain, "deploy", chain.deploy)

add_verb(app, "serve", serve.serve)
add_verb(app, "demo", demo.demo)
