"""`provenance log`: the log as others read it, and its examination."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.arguments import parse_number
from provenance.cli.exits import DONE, FAILED
from provenance.cli.invocation import Invocation
from provenance.cli.progress import Meter
from provenance.cli.screen import count_text
from provenance.limits import MAX_PAGE_ITEMS

if TYPE_CHECKING:
    from provenance.encoding import JsonValue
    from provenance.ledger.log_view import Listed

_MAX_NOTES_SHOWN = 20
_MAX_SHOWN = 1_000


def show(
    run: Invocation,
    limit: Annotated[str, typer.Option("--limit", metavar="N", help="Show this many entries.")] = "50",
    after: Annotated[str | None, typer.Option("--after", metavar="INDEX", help="Begin after this entry.")] = None,
) -> int:
    """List what is in the log, oldest first."""
    count = parse_number(limit, "--limit", minimum=1, maximum=MAX_PAGE_ITEMS)
    start = parse_number(after, "--after") if after is not None else None
    with run.ledger() as ledger:
        size, rows = ledger.log.size(), ledger.log.listed(0 if start is None else start + 1, count)
        sources = {source.key.keyid: source.name for source in ledger.keyring.trust().sources}
    more = rows[-1].index if rows and rows[-1].index + 1 < size else None
    run.screen.table(
        ("entry", "digest", "signed by", "claimed", "what"),
        [
            (
                str(row.index),
                row.digest.hex[:12] if row.digest is not None else "",
                sources.get(row.keyid, row.keyid[:12])[:12],
                row.created[:10],
                _what(row),
            )
            for row in rows
        ],
    )
    next_page = f"; the next ones: provenance log show --after {more}" if more is not None else ""
    if start is not None and not rows:
        run.screen.line(f"nothing after entry {start}: the log has {_entries(size)}")
    else:
        run.screen.line(f"{len(rows)} of {_entries(size)}{next_page}")
    run.document({"size": size, "entries": [_entry(row) for row in rows], "next": more})
    return DONE


def _what(row: Listed) -> str:
    if row.problem is not None:
        return f"unreadable: {row.problem}"
    if row.dataset is not None:
        return row.name
    from provenance.statement.events import event_noun

    noun = event_noun(row.type)
    return noun if noun == row.name else f"{noun} of {row.name}"


def _entry(row: Listed) -> JsonValue:
    if row.problem is not None or row.digest is None:
        return {"index": row.index, "problem": row.problem}
    value: dict[str, JsonValue] = {
        "index": row.index,
        "type": row.type,
        "name": row.name,
        "digest": {"sha256": row.digest.hex},
        "keyid": row.keyid,
        "created": row.created,
    }
    if row.dataset is not None:
        value["kind"] = str(row.dataset.kind)
        value["sensitivity"] = str(row.dataset.sensitivity)
        value["license"] = row.dataset.license
    return value


def checkpoint(run: Invocation) -> int:
    """Print the signed checkpoint (C2SP signed note)."""
    with run.ledger() as ledger:
        row, vkeys = ledger.log.checkpoint(), ledger.keyring.vkeys
    note = row.note.decode("utf-8")
    run.stream(note)
    run.document(
        {"size": row.size, "root": row.root.hex(), "logKey": vkeys[0], "logKeys": list(vkeys), "checkpoint": note}
    )
    return DONE


def access(
    run: Invocation,
    about: Annotated[
        str | None,
        typer.Option("--about", metavar="REF", help="Only what asked for this reference, as it was asked for."),
    ] = None,
    actor: Annotated[str | None, typer.Option("--actor", metavar="HEX", help="Only this actor.")] = None,
) -> int:
    """Show who asked a server for what: the records that `serve --access-log` signed and logged.

    Actors are pseudonyms: whoever has the ledger's folder, and its access.salt, can say whose they are.
    """
    from provenance.ledger.access import read_access_log
    from provenance.statement.access import encode_record

    rows: list[tuple[str, ...]] = []
    found: list[JsonValue] = []
    dropped = missing = 0
    with run.ledger() as ledger:
        for index, batch, records in read_access_log(ledger):
            dropped += batch.dropped
            missing += batch.records - len(records)
            for one in records:
                if (about is not None and one.about != about) or (actor is not None and one.actor != actor):
                    continue
                if len(rows) < _MAX_SHOWN:
                    rows.append(
                        (str(index), one.at[:16], one.actor[:8], str(one.status), one.operation, one.about or "")
                    )
                found.append({"entry": index, **json.loads(encode_record(one))})
    run.screen.table(("entry", "when", "actor", "got", "operation", "about"), rows)
    if len(found) > len(rows):
        run.screen.line(f"and {len(found) - len(rows)} more (all of them with --json)")
    if dropped or missing:
        run.screen.prose(f"note: {dropped} records were dropped by the server, {missing} are not kept here")
    run.document({"records": found, "dropped": dropped, "missing": missing})
    return DONE


def inclusion(
    run: Invocation,
    index: Annotated[str, typer.Argument(metavar="INDEX", help="A log entry, counted from 0.")],
) -> int:
    """Print the proof that an entry is in the log.

    It is a C2SP tlog-proof.
    """
    number = parse_number(index, "INDEX")
    with run.ledger() as ledger:
        proof = ledger.log.inclusion(number).decode("utf-8")
    run.stream(proof)
    run.document({"index": number, "proof": proof})
    return DONE


def consistency(
    run: Invocation,
    size1: Annotated[str, typer.Argument(metavar="SIZE1", help="An earlier size of the log.")],
    size2: Annotated[
        str | None, typer.Argument(metavar="SIZE2", help="A later size. Default: the current one.")
    ] = None,
) -> int:
    """Print the proof that the log only grew.

    It is that of RFC 9162, 2.1.4, between two sizes.
    """
    first = parse_number(size1, "SIZE1")
    second = parse_number(size2, "SIZE2") if size2 is not None else None
    with run.ledger() as ledger:
        old, old_root, new, new_root, proof = ledger.log.consistency(first, second)
    hashes = [digest.hex() for digest in proof]
    run.screen.pairs(
        [("size 1", f"{old}"), ("root 1", old_root.hex()), ("size 2", f"{new}"), ("root 2", new_root.hex())]
    )
    run.screen.pairs([("proof", digest) for digest in hashes] or [("proof", "empty: the sizes are the same")])
    run.document({"size1": old, "root1": old_root.hex(), "size2": new, "root2": new_root.hex(), "proof": list(hashes)})
    return DONE


def fsck(
    run: Invocation,
    independent: Annotated[
        bool, typer.Option("--independent", help="Let a second implementation (pymerkle) decide, too.")
    ] = False,
) -> int:
    """Derive everything again from the entries and compare. Nothing is repaired; `log reindex` can."""
    with run.ledger(check_shown=False) as ledger, Meter("examining") as meter:
        report = ledger.fsck(independent=independent, progress=meter.count)
    screen = run.screen
    screen.line("CLEAN" if report.clean else "DAMAGED", "good" if report.clean else "bad")
    screen.pairs(
        [
            ("examined", ", ".join([_entries(report.entries), count_text(report.tiles, "tile")])),
            ("", count_text(report.checkpoints, "checkpoint")),
            ("", ", ".join([count_text(report.blobs, "blob"), count_text(report.anchors, "anchor")])),
            ("", count_text(report.trees, "stored tree") if report.trees else None),
            (
                "pymerkle",
                f"{count_text(report.independent_roots, 'root')}, {count_text(report.independent_proofs, 'proof')}"
                if independent
                else None,
            ),
        ]
    )
    for note in report.notes[:_MAX_NOTES_SHOWN]:
        screen.pairs([("note", note)])
    if len(report.notes) > _MAX_NOTES_SHOWN:
        screen.pairs([("note", f"and {len(report.notes) - _MAX_NOTES_SHOWN} more (see --json)")])
    for finding in report.findings:
        screen.pairs([("finding", finding)], style="bad")
    if any("index" in finding for finding in report.findings):
        screen.line()
        screen.prose("hint: the index holds nothing of its own: `provenance log reindex` derives it again")
    run.document(report.to_json())
    return DONE if report.clean else FAILED


def reindex(run: Invocation) -> int:
    """Derive the index again from the entries. The log itself is not touched."""
    with run.ledger() as ledger, Meter("indexing"):
        ledger.rebuild_index()
        size = ledger.log.size()
    run.screen.pairs([("reindexed", _entries(size)), ("next", "provenance log fsck")])
    run.document({"entries": size})
    return DONE


def _entries(count: int) -> str:
    return f"{count:,} {'entry' if count == 1 else 'entries'}"
