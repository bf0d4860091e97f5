"""`provenance gate`: may these be used? For pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.arguments import KeyOption, PassphraseFileOption
from provenance.cli.completion import complete_reference
from provenance.cli.exits import DONE, FAILED
from provenance.cli.files import check_output, read_file, write_file
from provenance.cli.invocation import Invocation
from provenance.cli.passphrase import passphrase_for

if TYPE_CHECKING:
    from provenance.verify.gate import Decision


def gate(
    run: Invocation,
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Paths or REFs.", autocompletion=complete_reference),
    ],
    policy: Annotated[str, typer.Option("--policy", metavar="FILE", help="What must hold: YAML or JSON.")],
    junit_file: Annotated[
        str | None, typer.Option("--junit", metavar="FILE", help="Write the rulings there as JUnit XML.")
    ] = None,
    sarif_file: Annotated[
        str | None, typer.Option("--sarif", metavar="FILE", help="Write the denials there as SARIF 2.1.0.")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record-only", help="Look at the records alone, and read no bytes of REFs.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the chain about blocks.")] = False,
    log: Annotated[
        bool, typer.Option("--log", help="Sign each decision and log it, as a SLSA verification summary.")
    ] = False,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> int:
    """Decide whether datasets or models may be used: each must verify, and everything the policy asks for must hold of
    it and of all that it was made from. Exit code 1 if one of them is denied.
    """
    from provenance import __version__
    from provenance.policy.policy import MAX_POLICY_BYTES, parse_policy
    from provenance.verify.gate import junit, sarif

    for output in (junit_file, sarif_file):
        if output is not None:
            check_output(output)
    rules = parse_policy(read_file(policy, "policy", max_bytes=MAX_POLICY_BYTES))
    with run.ledger() as ledger:
        passphrase = passphrase_for(ledger.keyring, key, passphrase_file) if log else None
        decisions = [
            ledger.gate(one, rules, read=not record, ask_chain=not offline, log=log, key=key, passphrase=passphrase)
            for one in inputs
        ]
    if junit_file is not None:
        write_file(junit_file, junit(decisions).encode("utf-8"))
    if sarif_file is not None:
        write_file(sarif_file, sarif(decisions, __version__).encode("utf-8"))
    for one in decisions:
        _show(run, one)
    allowed = all(one.allowed for one in decisions)
    run.screen.pairs([("policy", f"{rules.name}, sha256 {rules.digest.hex}")])
    run.document({"allowed": allowed, "decisions": [one.to_json() for one in decisions]})
    return DONE if allowed else FAILED


def _show(run: Invocation, decision: Decision) -> None:
    word, style = ("ALLOWED", "good") if decision.allowed else ("DENIED", "bad")
    run.screen.spans((word, style), (f"  {decision.target}", "strong"))
    for ruling in decision.rulings if not decision.allowed else ():
        if not ruling.allowed:
            run.screen.line(f"  {ruling.rule}: {ruling.about}: {ruling.reason}")
    if decision.entry is not None:
        run.screen.line(f"  logged as entry {decision.entry}")
