"""`provenance log about` and `log check-about`: all entries about something, and the proof that there are no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.exits import DONE
from provenance.cli.files import read_file, write_file
from provenance.cli.invocation import Invocation
from provenance.cli.progress import Meter
from provenance.errors import MalformedError

if TYPE_CHECKING:
    from provenance.log.map import Listed, MapKey

_MAX_SHOWN = 1_000
_KindArgument = Annotated[
    str,
    typer.Argument(
        metavar="KIND",
        help="name (of a dataset), subject (its digest, or a key's id), about or use (an envelope's SHA-256), or "
        "signer (a key's id).",
        autocompletion=lambda: ["name", "subject", "about", "use", "signer"],
    ),
]


def about(
    run: Invocation,
    kind: _KindArgument,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="`namespace/name`, or 64 hex digits.")],
    out: Annotated[str | None, typer.Option("--out", metavar="FILE", help="Write the answer with its proof.")] = None,
) -> int:
    """List every entry about something, with the proof that there are no others.

    The log's map commits to it, under a signed head; `log check-about` checks the answer with the log's key alone.
    """
    from provenance.ledger.mapping import answer_about, update_map
    from provenance.log.map import answer_json, encode_answer, verify_answer

    key = parse_map_key(kind, value)
    with run.ledger() as ledger:
        with Meter("mapping") as meter:
            update_map(ledger, meter.count)
        answer = answer_about(ledger, key)
        listed = verify_answer(answer, ledger.keyring.log_keys.keys())
    if out is not None:
        write_file(out, encode_answer(answer))
    _show(run, listed)
    run.screen.pairs([("proof", out)])
    run.document(answer_json(answer))
    return DONE


def check_about(
    run: Invocation,
    file: Annotated[str, typer.Argument(metavar="FILE", help="An answer of `log about --out`.")],
    vkey: Annotated[str, typer.Option("--vkey", metavar="KEY", help="The log's verifier key.")],
) -> int:
    """Check an answer of `log about` with the log's key alone: every entry about something, and no other."""
    from provenance.log import LogKey, parse_vkey
    from provenance.log.map import MAX_ANSWER_BYTES, parse_answer, verify_answer

    answer = parse_answer(read_file(file, "answer", max_bytes=MAX_ANSWER_BYTES))
    listed = verify_answer(answer, [LogKey(parse_vkey(vkey))])
    _show(run, listed)
    run.document(
        {
            "kind": str(listed.key.kind),
            "value": listed.key.value,
            "origin": listed.origin,
            "size": listed.size,
            "logRoot": listed.log_root.hex(),
            "entries": list(listed.entries),
        }
    )
    return DONE


def parse_map_key(kind: str, value: str) -> MapKey:
    """The key that is meant. `MalformedError` that lists the kinds."""
    from provenance.log.map import KeyKind, MapKey

    if kind not in list(KeyKind):
        raise MalformedError("unknown kind", expected=" | ".join(KeyKind), got=kind, where="KIND")
    return MapKey(KeyKind(kind), value)


def _show(run: Invocation, listed: Listed) -> None:
    shown = ", ".join(str(index) for index in listed.entries[:_MAX_SHOWN]) or "none"
    more = len(listed.entries) - _MAX_SHOWN
    run.screen.pairs(
        [
            ("about", f"{listed.key.kind} {listed.key.value}"),
            ("entries", shown + (f" and {more:,} more" if more > 0 else "")),
            ("and no others", f"among the first {listed.size:,} of {listed.origin}"),
            ("log root", listed.log_root.hex()),
        ]
    )
