"""`provenance log monitor|mirror`: somebody's log, followed and copied by who trusts its key alone."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from provenance.cli.arguments import parse_number
from provenance.cli.exits import DONE, failure_of
from provenance.cli.invocation import Invocation
from provenance.cli.progress import Meter
from provenance.cli.screen import complain, count_text
from provenance.cli.verbs.log_publishing import complain_lines
from provenance.cli.witness_policies import WitnessPolicyOption, read_witness_policy
from provenance.errors import LogError, MalformedError

if TYPE_CHECKING:
    from provenance.encoding import JsonValue
    from provenance.ledger.log_monitor import Monitor, Progress
    from provenance.ledger.watching import Found
    from provenance.log import TlogPolicy
    from provenance.log.fault import LogFaultError

_MAX_FOUND: Final = 10_000
"""Entries in a JSON document; a run that has found so many ends early and says so."""
_MAX_EVERY_S: Final = 7 * 86_400

_Log = Annotated[str, typer.Argument(metavar="URL", help="What /checkpoint and /tile follow; or a folder.")]
_Key = Annotated[str, typer.Option("--vkey", metavar="KEY", help="The log's verifier key, from somebody you trust.")]


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """How a log is read."""

    origin: Annotated[
        str | None,
        typer.Option("--origin", metavar="ORIGIN", help="The log's origin, where its key is named otherwise."),
    ] = None
    tiles: Annotated[
        bool,
        typer.Option("--tiles", help="Fetch and compare every tile, not only those that proofs need."),
    ] = False
    evidence: Annotated[
        str | None,
        typer.Option("--evidence", metavar="FILE", help="Where evidence of a fault goes: FILE.evidence-....json."),
    ] = None
    timeout: Annotated[str, typer.Option("--timeout", metavar="SECONDS", help="How long one request may take.")] = "30"
    witness_policy: WitnessPolicyOption = None

    def policy(self) -> TlogPolicy | None:
        """The witness policy that is named."""
        return None if self.witness_policy is None else read_witness_policy(self.witness_policy)


def monitor(
    run: Invocation,
    url: _Log,
    vkey: _Key,
    reading: ReadingOptions,
    state: Annotated[
        str | None, typer.Option("--state", metavar="FILE", help="Remember there what was seen, and go on from it.")
    ] = None,
    watch: Annotated[
        list[str] | None,
        typer.Option(
            "--watch",
            metavar="PATTERN",
            help="Tell of entries about ns/name, ns/name@1, ns/*, a key id or digest (8 digits or more); * is all.",
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once. The default.")] = False,
    every: Annotated[
        str | None, typer.Option("--every", metavar="SECONDS", help="Look again and again, until Ctrl-C.")
    ] = None,
) -> int:
    """Follow a log, ours or not: that it only grows, that its entries are those it signed, and what is new in it.

    Any C2SP tlog-tiles log will do. Exit code 1 for a log that forked, went back, withholds what it signed or has
    other entries than it signed, with both checkpoints in a file; 3 if it cannot be reached.
    """
    from provenance.ledger.lock import editing_lock
    from provenance.ledger.log_monitor import Monitor
    from provenance.ledger.watching import Watch
    from provenance.log import parse_vkey
    from provenance.logs import open_log

    if once and every is not None:
        raise MalformedError("--once and --every ask for different things", expected="one of them")
    if run.as_json and every is not None:
        raise MalformedError("--json prints one document", expected="--once with it")
    wait_s = None if every is None else parse_number(every, "--every", minimum=1, maximum=_MAX_EVERY_S)
    policy = reading.policy()
    watched, verifier, path = Watch(tuple(watch or ())), parse_vkey(vkey), None if state is None else Path(state)
    with ExitStack() as stack:
        if path is not None:
            stack.enter_context(editing_lock(path.with_name(f"{path.name}.lock")))
        files = stack.enter_context(closing(open_log(url, timeout_s=_timeout(reading))))
        one = Monitor(
            files,
            verifier,
            origin=reading.origin,
            state=path,
            watch=watched,
            all_tiles=reading.tiles or files.is_local,
            policy=policy,
        )
        return _follow(run, one, files.label, wait_s, _evidence_base(reading, path))


def _follow(run: Invocation, one: Monitor, label: str, wait_s: int | None, evidence: Path) -> int:
    from provenance.log.fault import LogFaultError

    while True:
        try:
            _look(run, one, label)
        except LogFaultError as fault:
            return _report_fault(run, fault, evidence)
        except LogError as error:
            if wait_s is None:
                raise
            run.problem(error)
        if wait_s is None:
            return DONE
        run.flush()
        time.sleep(wait_s)


def _look(run: Invocation, one: Monitor, label: str) -> None:
    """One poll: finds as they come, and what was checked at the end."""
    found: list[JsonValue] = []
    count = 0
    last: Progress | None = None
    with Meter("checking") as meter:
        for last in one.poll():
            meter.count(last.seen - last.since, last.head.checkpoint.size - last.since)
            count += len(last.found)
            for entry in last.found:
                _show(run, entry)
            if run.as_json:
                found += [entry.to_json() for entry in last.found]
            if len(found) >= _MAX_FOUND:
                break
            if not found:  # what is in the document is remembered once that is out
                run.flush()
                one.remember(last)
    if last is None:
        return
    head, new = last.head.checkpoint, last.seen - last.since
    run.screen.pairs(
        [
            ("log", head.origin),
            ("read from", label),
            ("size", f"{head.size}" + (f", {last.since} seen before" if last.since else "")),
            ("root", head.root.hex()),
            ("checked", f"{new:,} new {'entry' if new == 1 else 'entries'}, {count:,} watched"),
        ]
    )
    run.document(
        {
            "log": label,
            "origin": head.origin,
            "size": head.size,
            "root": head.root.hex(),
            "since": last.since,
            "seen": last.seen,
            "complete": last.is_complete,
            "checkpoint": last.head.note.decode("utf-8"),
            "found": found,
        }
    )
    one.remember(last)


def _show(run: Invocation, found: Found) -> None:
    from provenance.statement.events import event_noun

    run.screen.spans(("entry ", None), (str(found.index), "strong"), (f"  by {found.pattern}", "faint"))
    if not found.is_understood:
        run.screen.pairs([("  SHA-256", found.entry_sha256.hex()), ("  leaf hash", found.leaf.hex())])
        return
    run.screen.pairs(
        [
            ("  claims", f"{event_noun(found.type)} of {found.name}"),
            ("  digest", found.digest),
            ("  key id", found.keyid),
            ("  SHA-256", found.entry_sha256.hex()),
        ]
    )


def mirror(
    run: Invocation,
    url: _Log,
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The folder; it is made if it is not there.")],
    vkey: _Key,
    reading: ReadingOptions,
) -> int:
    """Copy a log, ours or not, as files that any web server can serve, once they are verified as `monitor` does.

    Again, it copies what is new, also after it was stopped. `log monitor DIR` checks a copy.
    """
    from provenance.ledger.log_mirror import mirror_log
    from provenance.log import parse_vkey
    from provenance.log.fault import LogFaultError
    from provenance.logs import open_log
    from provenance.publishers import open_publisher

    verifier, policy = parse_vkey(vkey), reading.policy()
    with (
        closing(open_log(url, timeout_s=_timeout(reading))) as files,
        closing(open_publisher(f"file://{folder}")) as publisher,
        Meter("copying") as meter,
    ):
        try:
            done = mirror_log(
                files,
                publisher,
                verifier,
                origin=reading.origin,
                all_tiles=reading.tiles,
                policy=policy,
                progress=meter.count,
            )
        except LogFaultError as fault:
            return _report_fault(run, fault, _evidence_base(reading, Path(folder)))
    head = done.head.checkpoint
    run.screen.pairs(
        [
            ("log", head.origin),
            ("copied to", publisher.label),
            ("size", f"{head.size}" + (f", was {done.since}" if done.since != head.size else ", as before")),
            ("root", head.root.hex()),
            ("written", count_text(done.files, "file")),
        ]
    )
    run.document({**done.to_json(), "where": publisher.label})
    return DONE


def evidence(
    run: Invocation,
    near: Annotated[str, typer.Option("--out", metavar="PATH", help="Where the evidence begins its name.")] = "log",
) -> int:
    """Say whether this log is what it showed to witnesses, chains and publishers.

    A ledger whose log went back (an old copy of its database was put in place) or forked is not opened by other verbs.
    This one looks at it all the same, and writes the evidence: both signed checkpoints, and of a fork the proof.
    """
    from provenance.ledger.rollback import shown_checkpoint
    from provenance.log.fault import LogFaultError

    with run.ledger(check_shown=False) as ledger:
        try:
            ledger.check_shown()
        except LogFaultError as fault:
            return _report_fault(run, fault, Path(near))
        shown, size = shown_checkpoint(ledger.layout.directory), ledger.log.size()
    seen = None if shown is None else shown[1].size
    run.screen.pairs([("log", f"{size} entries"), ("others have", "nothing yet" if seen is None else f"size {seen}")])
    run.screen.pairs([("it is", "an extension of that")] if seen is not None else [])
    run.document({"size": size, "shown": seen})
    return DONE


def check_evidence(
    run: Invocation,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Evidence of `log evidence`, `monitor` or `mirror`.")],
    vkey: Annotated[str, typer.Option("--vkey", metavar="KEY", help="The log's verifier key.")],
) -> int:
    """Check with a log's key alone that evidence proves a fork: two signed trees of which neither extends the other."""
    from provenance.cli.files import read_file
    from provenance.log import parse_vkey
    from provenance.log.fault import MAX_EVIDENCE_BYTES, verify_fork

    earlier, later = verify_fork(read_file(file, "evidence", max_bytes=MAX_EVIDENCE_BYTES), parse_vkey(vkey))
    run.screen.pairs(
        [
            ("proven", f"{earlier.origin} signed two histories"),
            ("one", f"size {earlier.size}, root {earlier.root.hex()}"),
            ("another", f"size {later.size}, root {later.root.hex()}"),
        ]
    )
    run.document(
        {
            "origin": earlier.origin,
            "earlier": {"size": earlier.size, "root": earlier.root.hex()},
            "later": {"size": later.size, "root": later.root.hex()},
        }
    )
    return DONE


def _timeout(reading: ReadingOptions) -> float:
    return float(parse_number(reading.timeout, "--timeout", minimum=1, maximum=3_600))


def _evidence_base(reading: ReadingOptions, near: Path | None) -> Path:
    if reading.evidence is not None:
        return Path(reading.evidence)
    return Path("log") if near is None else near.absolute()


def _report_fault(run: Invocation, fault: LogFaultError, base: Path) -> int:
    """Keep the evidence, and show the fault with both checkpoints."""
    from provenance.ledger.log_state import write_evidence

    failure, path = failure_of(fault), write_evidence(base, fault)
    notes = {
        name: note.decode("utf-8", "backslashreplace")
        for name, note in (("earlier", fault.earlier), ("later", fault.later))
        if note is not None
    }
    document = failure.to_json()
    document.update(fault=str(fault.kind), evidence=str(path), checkpoints=dict(notes))
    run.document(document)
    if not run.as_json:
        sys.stdout.flush()
        complain(failure.what, [*failure.details, ("evidence", str(path))])
        for name, note in notes.items():
            complain_lines(f"{name} checkpoint:", note)
    return failure.code
