"""`provenance verify`: a path, a reference, a bundle, or everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.arguments import parse_places
from provenance.cli.completion import complete_level, complete_reference
from provenance.cli.exits import DONE, FAILED, failure_of
from provenance.cli.files import read_file
from provenance.cli.invocation import Invocation
from provenance.cli.progress import Meter
from provenance.cli.screen import count_text
from provenance.cli.verbs.proof import check_proof
from provenance.cli.witness_policies import WitnessPolicyOption, read_witness_policy
from provenance.errors import MalformedError, NotFoundError, ProvenanceError
from provenance.limits import MAX_BUNDLE_BYTES, MAX_TRUST_BYTES

if TYPE_CHECKING:
    from provenance.encoding import JsonValue
    from provenance.policy import Level, TrustRoots
    from provenance.verify import Check, Report

UNTRUSTED_HINT = (
    "hint: whose keys and which log to trust is the verifier's decision: give the trust roots with --trust FILE "
    "(their owner writes them with `provenance keys export -o FILE`)"
)

_UNREAD_NOTE = (
    "note: the bytes of {whose} are not where they were registered from: `provenance verify REF --data REF=PATH` where "
    "they are, or accept the records alone with --require D0"
)


def verify(
    run: Invocation,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH|REF",
            help="Bytes, or what is registered. With --bundle: where its bytes are.",
            autocompletion=complete_reference,
        ),
    ] = None,
    bundle: Annotated[
        str | None, typer.Option("--bundle", metavar="FILE", help="Verify an offline bundle; needs no ledger.")
    ] = None,
    proof: Annotated[
        str | None,
        typer.Option(
            "--proof",
            metavar="FILE",
            help="Check what `prove` wrote, or a tlog-proof with --witness-policy; needs no ledger. PATH: the file it "
            "names, or the entry's bytes.",
        ),
    ] = None,
    digest: Annotated[
        str | None, typer.Option("--digest", metavar="HEX", help="With --proof: the dataset it should be about.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Verify every dataset in the ledger.")] = False,
    expected: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="REF", help="What the bytes at PATH should be.", autocompletion=complete_reference
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="REF=PATH", help="Where a dataset's bytes are, ancestors' too. Repeatable."),
    ] = None,
    trust: Annotated[
        str | None,
        typer.Option("--trust", metavar="FILE", help="With --bundle: the trust roots. Default: this ledger's, if any."),
    ] = None,
    witness_policy: WitnessPolicyOption = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read the bytes of every ancestor that is still where it was.")
    ] = False,
    records: Annotated[bool, typer.Option("--records", help="Hash the records of its tables again too.")] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="PATH holds some of its files: those must be right, the others may lack.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the chain about blocks.")] = False,
    require: Annotated[
        str | None,
        typer.Option(
            "--require",
            metavar="LEVEL",
            help="Require this level, D0 to D4, instead of the one its sensitivity asks for.",
            autocompletion=complete_level,
        ),
    ] = None,
) -> int:
    """Verify bytes, signatures, log and anchor. Exit code 0: verified; 1: failed, or incomplete.

    With --partial, the files at PATH must be the dataset's, and the report covers those alone.

    Verified is what no check failed of and what reaches the level it needs: D1 for public data, D2 internal, D3
    confidential, D4 restricted, or what --require says. With less it is incomplete: --require D0 takes a record alone.

    PATH is matched to what was registered by its digest, its place or its files. For a REF, the bytes are read where
    they were registered from, if they are still there.
    """
    from provenance.policy import parse_level

    if proof is not None:
        given = [("--bundle", bundle), ("--all", everything), ("--data", data), ("--trust", trust), ("--deep", deep)]
        _refuse([*given, ("--records", records), ("--require", require)], "something other than --proof")
        return check_proof(run, proof, target, expected, digest, witness_policy)
    _refuse([("--digest", digest)], "--proof")
    _check_modes(target, bundle, everything=everything)
    if bundle is None:
        _refuse([("--trust", trust), ("--witness-policy", witness_policy)], "--bundle or --proof")
    else:
        _refuse([("--as", expected), ("--deep", deep), ("--records", records)], "a PATH or REF in a ledger")
    if everything:
        _refuse([("--as", expected), ("--records", records)], "a PATH or REF")
    level = parse_level(require) if require is not None else None
    if partial:
        if target is None or everything:
            raise MalformedError("--partial needs the files that are there", expected="a PATH")
        level = level or parse_level("D0")  # a part can show no more than that its files are the dataset's
    places = parse_places(data or ())
    if bundle is not None:
        roots = trust_of(run, trust, witness_policy)
        return _bundle(run, bundle, roots, target, places, level, partial=partial)
    if target is None:
        if places:
            raise MalformedError("--data does not go with --all", expected="a PATH or REF, or --bundle")
        return _everything(run, level, deep=deep, ask_chain=not offline)
    with run.ledger() as ledger, Meter("reading") as meter:
        report = ledger.verify(
            target,
            expected=expected,
            data=places,
            deep=deep,
            records=records,
            partial=partial,
            ask_chain=not offline,
            progress=meter.read,
        )
    return _conclude(run, report, level, by_hand=deep)


def _check_modes(target: str | None, bundle: str | None, *, everything: bool) -> None:
    hint = "see `provenance verify --help`"
    if target is None and bundle is None and not everything:
        raise MalformedError("nothing to verify", expected="a PATH or REF, --bundle FILE, or --all", hint=hint)
    if everything and (target is not None or bundle is not None):
        raise MalformedError("too much to verify", expected="--all, or something", hint=hint)
    if target == "":
        raise MalformedError("nothing to verify", expected="a PATH or REF", got=target, hint=hint)


def _refuse(options: list[tuple[str, object]], place: str) -> None:
    for name, value in options:
        if value not in (None, False):
            raise MalformedError(f"{name} goes with {place} only", hint="see `provenance verify --help`")


def _bundle(
    run: Invocation,
    file: str,
    trust: tuple[TrustRoots, str],
    target: str | None,
    places: Mapping[str, str],
    level: Level | None,
    *,
    partial: bool = False,
) -> int:
    from provenance.ledger.offline import verify_offline

    roots, whose = trust
    data = read_file(file, "bundle", max_bytes=MAX_BUNDLE_BYTES)
    with Meter("reading") as meter:
        report = verify_offline(data, roots, places, meter.read, target=target, partial=partial)
    run.screen.pairs([("bundle", file), ("trust roots", whose)])
    code = _conclude(run, report, level, {"trustRoots": whose}, by_hand=True)
    if any(check.id in ("trust", "log.checkpoint") for check in report.failures):
        run.screen.line()
        run.screen.prose(UNTRUSTED_HINT)
    return code


def trust_of(run: Invocation, file: str | None, policy_file: str | None = None) -> tuple[TrustRoots, str]:
    """The trust roots of a file, else of the ledger in use, else none, with the witness policy of another file if one
    is named; and whose they are."""
    roots, whose = _trust_of(run, file)
    if policy_file is None:
        return roots, whose
    return roots.with_witness_policy(read_witness_policy(policy_file)), f"{whose}; witness policy {policy_file}"


def _trust_of(run: Invocation, file: str | None) -> tuple[TrustRoots, str]:
    from provenance.policy import TrustRoots, parse_trust

    if file is not None:
        return parse_trust(read_file(file, "trust roots", max_bytes=MAX_TRUST_BYTES)), file
    try:
        with run.ledger() as ledger:
            return ledger.trust_roots(with_blocks=True), f"those of the ledger in {ledger.layout.directory}"
    except NotFoundError:
        if run.names_ledger:
            raise
    return TrustRoots(), "none: nothing is trusted"


def _conclude(
    run: Invocation,
    report: Report,
    level: Level | None,
    more: Mapping[str, JsonValue] | None = None,
    *,
    by_hand: bool = False,
) -> int:
    from provenance.cli.report_view import show_report

    if level is None:
        show_report(run.screen, report, by_hand=by_hand)
    else:
        report = report.requiring(level)
        show_report(run.screen, report, required_by="by --require", by_hand=by_hand)
    run.document({**report.to_json(), **(more or {})})
    return DONE if report.verified else FAILED


@dataclass(slots=True)
class _Sweep:
    """What came of every dataset so far."""

    rows: list[tuple[str, ...]] = field(default_factory=list)
    results: list[JsonValue] = field(default_factory=list)
    failures: list[Check] = field(default_factory=list)
    affected: dict[str, None] = field(default_factory=dict)
    codes: list[int] = field(default_factory=lambda: [DONE])
    unread: int = 0
    """Of so many the bytes were not in hand."""

    def add_report(self, report: Report) -> None:
        level = report.level.name if report.level is not None else "none"
        needed = report.required.name if report.required is not None else ""
        self.rows.append((report.target, report.verdict.upper(), level, needed, ", ".join(report.missing)))
        self.results.append(_summary(report))
        read = any(c.id == "content" and c.subject == report.target and c.where is not None for c in report.checks)
        self.unread += not read
        self.failures += [c for c in report.failures if c.subject == report.target and c.id != "lineage"]
        self.affected.update(dict.fromkeys(report.affected))
        self.codes.append(DONE if report.verified else FAILED)

    def add_error(self, name: str, error: BaseException) -> None:
        failure = failure_of(error)
        self.rows.append((name, "FAILED", "", "", failure.message))
        self.results.append({"target": name, "verified": False, "verdict": "failed", **failure.to_json()})
        self.codes.append(failure.code)

    def count(self, verdict: str) -> int:
        return sum(1 for row in self.rows if row[1] == verdict.upper())


def _everything(run: Invocation, level: Level | None, *, deep: bool, ask_chain: bool) -> int:
    from provenance.cli.report_view import VERDICT_STYLES, show_affected, show_failures
    from provenance.ledger.sweep import verify_all

    sweep = _Sweep()
    with run.ledger() as ledger, Meter("reading") as meter:
        for name, found in verify_all(ledger, deep=deep, ask_chain=ask_chain, progress=meter.read):
            if isinstance(found, ProvenanceError):
                sweep.add_error(name, found)
            else:
                sweep.add_report(found if level is None else found.requiring(level))
    counts: dict[str, JsonValue] = {verdict: sweep.count(verdict) for verdict in VERDICT_STYLES}
    verdict = next((word for word in ("failed", "incomplete") if counts[word]), "verified")
    run.screen.table(("dataset", "verdict", "level", "needed", "the next level lacks"), sweep.rows)
    show_failures(run.screen, sweep.failures)
    show_affected(run.screen, list(sweep.affected))
    if sweep.unread:
        run.screen.line()
        run.screen.prose(_UNREAD_NOTE.format(whose=count_text(sweep.unread, "dataset")))
    run.screen.line()
    parts = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    run.screen.spans(
        (verdict.upper(), VERDICT_STYLES[verdict]),
        (f"  {count_text(len(sweep.rows), 'dataset')}{f': {parts}' if parts else ''}", None),
    )
    run.document(
        {
            "verified": verdict == "verified",
            "verdict": verdict,
            "datasets": len(sweep.rows),
            "unread": sweep.unread,
            "counts": counts,
            "results": sweep.results,
            "affected": list(sweep.affected),
        }
    )
    return FAILED if FAILED in sweep.codes else max(sweep.codes)


def _summary(report: Report) -> dict[str, JsonValue]:
    return {
        "target": report.target,
        "digest": {"sha256": report.digest},
        "verified": report.verified,
        "verdict": report.verdict,
        "level": report.level.name if report.level is not None else None,
        "missing": list(report.missing),
        "requiredLevel": report.required.name if report.required is not None else None,
        "failures": [check.to_json() for check in report.failures],
    }
