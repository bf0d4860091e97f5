"""`provenance revoke`, `review`, `finding`, `use`, `supersede`: what is said about an artefact after it was registered;
`events` shows it, and `impact` who is concerned."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.arguments import KeyOption, PassphraseFileOption
from provenance.cli.completion import complete_reference
from provenance.cli.exits import DONE
from provenance.cli.invocation import Invocation
from provenance.cli.passphrase import passphrase_for
from provenance.cli.screen import count_text
from provenance.errors import MalformedError

if TYPE_CHECKING:
    from provenance.ledger.impact import Impact
    from provenance.statement.events import Body

_Ref = Annotated[str, typer.Argument(metavar="REF", help="What it is about.", autocompletion=complete_reference)]
_Note = Annotated[str | None, typer.Option("--note", metavar="TEXT", help="A short text. It must not name persons.")]
_UNANCHORED = "not anchored yet: provenance anchor"
_MAX_WAYS = 100
"""Descendants that `impact` prints."""
_MAX_STEPS = 8
"""Names of a way that `impact` prints whole."""


def revoke(
    run: Invocation,
    reference: _Ref,
    reason: Annotated[
        str,
        typer.Option(
            "--reason",
            metavar="WORDS",
            help="consent withdrawn, license withdrawn, erroneous, unlawful, compromised or other.",
        ),
    ],
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="From when on, RFC 3339 in UTC. Default: it never was good."),
    ] = None,
    note: _Note = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> int:
    """Say that a dataset or model must not be used any more. It fails verification from now on, and so does all that
    was made from it, but for what a block proves to be older than --since; nothing is removed."""
    from provenance.statement.frame import parse_choice
    from provenance.statement.revocation import Revocation, RevocationReason

    body = Revocation(parse_choice(RevocationReason, reason, "reason"), since, note)
    say(run, reference, body, key, passphrase_file)
    return DONE


def review(
    run: Invocation,
    reference: _Ref,
    decision: Annotated[
        str, typer.Option("--decision", metavar="WORDS", help="approved, rejected or changes requested.")
    ],
    scope: Annotated[
        list[str] | None, typer.Option("--scope", metavar="WORD", help="What was looked at. Repeat for several.")
    ] = None,
    note: _Note = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> int:
    """Say what you decided after a look at a dataset or model. Your last word holds; approval counts for level D4 if
    your key is not the one that registered it."""
    from provenance.statement.frame import parse_choice
    from provenance.statement.review import Decision, Review

    body = Review(parse_choice(Decision, decision, "decision"), tuple(scope or ()), note)
    say(run, reference, body, key, passphrase_file)
    return DONE


def finding(
    run: Invocation,
    reference: _Ref,
    id: Annotated[str, typer.Option("--id", metavar="WORD", help="The finding's name; say more of it by the same.")],
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="What was found, in a line.")],
    severity: Annotated[
        str, typer.Option("--severity", metavar="WORD", help="info, low, medium, high or critical.")
    ] = "medium",
    state: Annotated[
        str, typer.Option("--state", metavar="WORD", help="open, confirmed, dismissed or resolved.")
    ] = "open",
    detector: Annotated[str | None, typer.Option("--detector", metavar="WORD", help="What found it.")] = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> int:
    """Say what was found in a dataset or model, or what became of it. A confirmed finding fails verification."""
    from provenance.statement.finding import Finding, FindingState, Severity
    from provenance.statement.frame import parse_choice

    body = Finding(
        id,
        parse_choice(Severity, severity, "severity"),
        title,
        parse_choice(FindingState, state, "state of a finding"),
        detector,
    )
    say(run, reference, body, key, passphrase_file)
    return DONE


def use(
    run: Invocation,
    reference: _Ref,
    purpose: Annotated[str, typer.Option("--purpose", metavar="WORD", help="What for, as training or evaluation.")],
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> int:
    """Say that you used a dataset or model, and what for."""
    from provenance.statement.usage import Usage

    say(run, reference, Usage(purpose), key, passphrase_file)
    return DONE


def supersede(
    run: Invocation,
    reference: _Ref,
    by: Annotated[
        str, typer.Option("--by", metavar="REF", help="What takes its place.", autocompletion=complete_reference)
    ],
    note: _Note = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> int:
    """Say that another registered dataset or model takes its place."""
    from provenance.statement.supersession import Supersession

    with run.ledger() as ledger:
        pin = ledger.pin(by)
    say(run, reference, Supersession(pin, note), key, passphrase_file)
    return DONE


def events(run: Invocation, reference: _Ref) -> int:
    """What was said about a dataset or model, in log order. What of it counts, `verify` says."""
    from provenance.statement.events import event_noun
    from provenance.statement.failed_run import FailedRun
    from provenance.statement.replay import Replay
    from provenance.statement.run import Run

    with run.ledger() as ledger:
        name, said = str(ledger.pin(reference).name), ledger.said_about(reference)
    rows: list[tuple[str, ...]] = []
    for one in said:
        says = one.event.body.to_json().items()
        words = ", ".join(f"{key} {value}" for key, value in says if isinstance(value, str))
        if isinstance(one.event.body, Run):
            words = f"step {one.event.body.step}: {shlex.join(one.event.body.command) or 'a program'}"
        if isinstance(one.event.body, FailedRun):
            words = f"step {one.event.body.step}, exit status {one.event.body.exit_code}: "
            words += shlex.join(one.event.body.command)
        if isinstance(one.event.body, Replay) and one.event.body.sample is not None:
            words += f", a sample of {one.event.body.sample.records} of {one.event.body.sample.of} records"
        rows.append((str(one.index), event_noun(one.event.type), words, one.row.keyid[:16]))
    if rows:
        run.screen.table(("entry", "event", "what it says", "key"), rows)
    else:
        run.screen.line(f"nothing was said about {name}")
    run.document({"about": name, "events": [one.to_json() for one in said]})
    return DONE


def impact(
    run: Invocation,
    reference: Annotated[
        str | None, typer.Argument(metavar="REF", help="What is concerned.", autocompletion=complete_reference)
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="NAME", help="Instead: everything that this key signed.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="REF", help="Only this one of them, with the whole way that leads there."),
    ] = None,
) -> int:
    """Everything that was made from a dataset or model, nearest first, each with a shortest way that leads there, long
    ones shortened in the middle.

    With --key, everything that a key signed, by its name or key id, and what was made from that.
    """
    with run.ledger() as ledger:
        if reference is not None and key is None:
            found, begin = ledger.impact(reference), 1
        elif key is not None and reference is None:
            found, begin = ledger.impact_of_key(key), 0
        else:
            raise MalformedError("nothing is concerned, or too much", expected="a REF, or --key NAME")
        to = str(ledger.pin(to).name) if to is not None else None
    if to is not None:
        found.path_to(to)  # an error if nothing leads there
    shown = [one for one in found.descendants if to in (None, one.name)][:_MAX_WAYS]
    for path, one in zip(found.paths_to([one.name for one in shown]), shown, strict=True):
        way = " -> ".join(path[begin:] if to is not None else shortened(path[begin:]))
        run.screen.line(f"{way}  (spared: older than the revocation)" if one.is_spared else way)
    if to is None and len(found.descendants) > len(shown):
        run.screen.line(f"and {len(found.descendants) - len(shown):,} more, which --json lists")
    run.screen.pairs(_counted(found, nothing=f"key {found.of} signed nothing" if not begin else None))
    run.document(found.to_json(to))
    return DONE


def _counted(found: Impact, *, nothing: str | None) -> list[tuple[str, str | None]]:
    count = count_text(len(found.affected), "dataset") if found.descendants else None
    older = f"{count_text(found.spared_count, 'dataset')}, older than the revocation, as final anchors prove"
    return [
        ("concerned", count or nothing or f"nothing was made from {found.of}"),
        ("spared", older if found.spared_count else None),
    ]


def shortened(path: Sequence[str]) -> Sequence[str]:
    """A path for the eye: its ends, if it is long."""
    if len(path) <= _MAX_STEPS:
        return path
    half = _MAX_STEPS // 2
    return (*path[:half], "...", *path[-half:])


def say(run: Invocation, reference: str, body: Body, key: str | None, passphrase_file: str | None) -> None:
    """Sign and log something about an artefact, and show where it is."""
    from provenance.statement.events import event_noun

    with run.ledger() as ledger:
        passphrase = passphrase_for(ledger.keyring, key, passphrase_file)
        about = ledger.pin(reference)
        row = ledger.state(reference, body, key=key, passphrase=passphrase)
        concerned = len(ledger.impact(reference).affected) if body.TYPE.endswith(":revocation:1") else 0
    run.screen.pairs(
        [
            (event_noun(row.type), str(about.name)),
            ("digest", about.digest.hex),
            ("signed by", f"key {row.keyid[:16]}"),
            ("log entry", str(row.entry_index)),
            ("concerned", f"{count_text(concerned, 'dataset')} made from it: provenance impact {about.name}"
             if concerned else None),
            ("anchor", _UNANCHORED),
        ]
    )  # fmt: skip
    run.document(
        {
            "type": row.type,
            "about": about.to_json(),
            "index": row.entry_index,
            "signer": row.keyid,
            "created": row.created,
            "says": body.to_json(),
        }
    )
