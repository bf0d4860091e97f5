"""The verbs and their groups, and the options that stand before the verb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import typer

from provenance import __version__
from provenance.cli.invocation import JSON_HELP
from provenance.cli.summaries import SUMMARIES
from provenance.cli.verb_group import Verb, verb_group

GROUPS: Final[Mapping[str, str]] = {
    "keys": "Signing keys, and whose keys this ledger trusts.",
    "log": "The append-only log: entries, checkpoint, proofs, fsck.",
    "log keys": "The log's own keys, and how they change.",
    "witness": "Witnesses of this log, and a witness of other logs.",
    "witness keys": "A witness's own keys, and how they change.",
    "witness policy": "Which cosignatures a checkpoint needs before it is published.",
    "chain": "The chain that this ledger anchors on.",
}
"""Help of each group, in the order of `--help`. A group stands below the one that it is named after."""

VERBS: Final[Mapping[str, str]] = {
    "init": "init:init",
    "fingerprint": "fingerprint:fingerprint",
    "register": "register:register",
    "anchor": "anchor:anchor",
    "verify": "verify:verify",
    "diff": "diff:diff",
    "prove": "prove:prove",
    "check": "check:check",
    "bundle": "bundle:bundle",
    "lineage": "lineage:lineage",
    "impact": "events:impact",
    "audit": "audit:audit",
    "gate": "gate:gate",
    "export": "export:export",
    "import": "imports:import_lineage",
    "revoke": "events:revoke",
    "supersede": "events:supersede",
    "review": "events:review",
    "finding": "events:finding",
    "use": "events:use",
    "run": "runs:run_command",
    "replay": "runs:replay",
    "quality": "runs:quality",
    "events": "events:events",
    "serve": "serve:serve",
    "demo": "demo:demo",
    "keys new": "keys:new",
    "keys list": "keys:list_keys",
    "keys show": "keys:show",
    "keys import": "keys:import_key",
    "keys trust": "keys:trust",
    "keys revoke": "keys:revoke",
    "keys announce": "key_events:announce",
    "keys rotate": "key_events:rotate",
    "keys events": "key_events:events",
    "keys export": "keys:export",
    "log show": "log:show",
    "log checkpoint": "log:checkpoint",
    "log access": "log:access",
    "log inclusion": "log:inclusion",
    "log consistency": "log:consistency",
    "log about": "log_map:about",
    "log check-about": "log_map:check_about",
    "log export": "log_publishing:export",
    "log publish": "log_publishing:publish",
    "log monitor": "log_reading:monitor",
    "log mirror": "log_reading:mirror",
    "log evidence": "log_reading:evidence",
    "log check-evidence": "log_reading:check_evidence",
    "log fsck": "log:fsck",
    "log reindex": "log:reindex",
    "witness init": "witness:init",
    "witness watch": "witness:watch",
    "witness serve": "witness:serve",
    "witness add": "witness:add",
    "witness retire": "witness:retire",
    "witness remove": "witness:remove",
    "witness list": "witness:show",
    "witness cosign": "witness:cosign",
    "witness waive": "attest:waive",
    "witness check-attestation": "attest:check_attestation",
    "witness keys list": "witness_keys:list_keys",
    "witness keys add": "witness_keys:add",
    "witness keys rotate": "witness_keys:rotate",
    "witness keys retire": "witness_keys:retire",
    "witness policy set": "witness_policy:set_policy",
    "witness policy show": "witness_policy:show",
    "witness policy remove": "witness_policy:remove",
    "log keys list": "log_keys:list_keys",
    "log keys add": "log_keys:add",
    "log keys rotate": "log_keys:rotate",
    "log keys retire": "log_keys:retire",
    "chain status": "chain:status",
    "chain deploy": "chain:deploy",
}
"""Where each verb is, `module:function` in `provenance.cli.verbs`, in the order of `--help`."""


def _group(path: str, help_text: str) -> typer.Typer:
    start = f"{path} " if path else ""
    names = [name.removeprefix(start) for name in VERBS if name.startswith(start)]
    verbs = {name: _verb(start, name) for name in names if " " not in name}
    return typer.Typer(
        cls=verb_group(verbs),
        help=help_text,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )


def _verb(start: str, name: str) -> Verb:
    return Verb(name, VERBS[start + name], SUMMARIES.get(start + name, ""))


app = _group(
    "",
    "A data-provenance ledger: fingerprint a dataset, sign where it came from, log it, anchor the log on a chain, "
    "and let anyone verify all of it offline.\n\n"
    "REF is ns/name (its latest version), ns/name@version, or 8 or more digits of a digest. "
    "Exit codes: 0 done or verified, 1 verification failed, 2 usage or malformed input, "
    "3 environment (chain, store, network).",
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


_groups = {"": app}
for _path, _help in GROUPS.items():
    _above, _, _name = _path.rpartition(" ")
    _groups[_path] = _group(_path, _help)
    _groups[_above].add_typer(_groups[_path], name=_name)
