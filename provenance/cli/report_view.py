"""How a verification report looks.

Invariants: the verdict comes first, then the level and what it lacks; a check that was not performed is never shown as
a pass; every failure is shown in full, with its place, up to a number that is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from provenance.cli.screen import STATUS_STYLES, Screen, count_text
from provenance.policy import Level, Status

if TYPE_CHECKING:
    from provenance.verify import Check, Report, TimeBound

_MAX_FAILURES: Final = 50
_MAX_NAMES: Final = 50
_MAX_SAME_CHECKS: Final = 4
_MAX_RANGES: Final = 8


VERDICT_STYLES: Final = {"verified": "good", "incomplete": "warn", "failed": "bad"}


_WAYS: Final = {
    "quality": "quality",
    "agreement": "replay",
    "review": "review",
    "anchor.receipt": "anchor",
    "anchor.block": "anchor",
}
"""Check -> the verb that brings what it looks for."""
BY_SENSITIVITY: Final = "for data of its sensitivity"


def show_report(screen: Screen, report: Report, *, required_by: str = BY_SENSITIVITY, by_hand: bool = False) -> None:
    """The whole report. `required_by` says who asks for the required level; `by_hand`, that `--deep` is no way on."""
    screen.spans((report.verdict.upper(), VERDICT_STYLES[report.verdict]), (f"  {report.target}", "strong"))
    if report.verdict == "incomplete":
        screen.prose(incomplete_text(report, required_by), style="warn")
    screen.pairs([("digest", report.digest or None), ("level", level_text(report))])
    if report.required is not None:
        reached = report.level is not None and report.level >= report.required
        text = f"{report.required.name} {required_by}: {'reached' if reached else 'not reached'}"
        screen.pairs([("needed", text)], style=None if reached else "warn")
    _show_times(screen, report)
    screen.line()
    own = [check for check in report.checks if check.subject == report.target]
    screen.table(("check", "status", "note"), [(c.id, str(c.status), _note(c)) for c in _condensed(own)])
    _show_lineage(screen, report)
    show_failures(screen, report.failures)
    show_affected(screen, report.affected)
    if report.verdict != "incomplete" and any(c.id == "content" and c.status is Status.NOT_PERFORMED for c in own):
        screen.line()
        screen.prose("note: its bytes were not in hand, so nobody looked at them: give a path, or --data REF=PATH")
    _show_unread(screen, report, by_hand=by_hand)


def incomplete_text(report: Report, required_by: str = BY_SENSITIVITY) -> str:
    """Why a report is incomplete and what would complete it."""
    reached = report.level.name if report.level is not None else "none"
    if report.required is None:
        return f"incomplete: level {reached}, and what it needs is not known"
    need = report.required.name
    needed = f"data of its sensitivity needs {need}" if required_by == BY_SENSITIVITY else f"{need} {required_by}"
    start = f"incomplete: level {reached}, {needed}; "
    lacks = f"{start}lacks {', '.join(report.missing)}"
    if "content" not in report.missing:
        verbs = dict.fromkeys(_WAYS[check] for check in report.missing if check in _WAYS)
        return lacks + (f" ({', '.join(f'provenance {verb}' for verb in verbs)})" if verbs else "")
    return f"{lacks} (give the bytes with --data REF=PATH, or accept the record alone with --require D0)"


def _show_unread(screen: Screen, report: Report, *, by_hand: bool) -> None:
    """A line if the bytes of ancestors were not compared."""
    compared = {check.subject for check in report.checks if check.id == "content"}
    unread = [artefact for artefact in report.artefacts if artefact.depth and artefact.name not in compared]
    if unread:
        way = "give them with --data REF=PATH" if by_hand else "--deep reads them where they were registered from"
        screen.line()
        screen.prose(f"note: the bytes of {count_text(len(unread), 'ancestor')} were not read; {way}")


def level_text(report: Report) -> str:
    """The level reached, and what the next one lacks."""
    reached = report.level.name if report.level is not None else "none"
    if not report.missing:
        return reached
    following = "D0" if report.level is None else Level(report.level + 1).name
    return f"{reached}; {following} lacks {', '.join(report.missing)}"


def show_failures(screen: Screen, failures: Iterable[Check]) -> None:
    """Each failed check: whose, what, expected, found, where."""
    failed = list(failures)
    # `lineage` sums up what failed; it is told when nothing else is.
    failed = [check for check in failed if check.id != "lineage"] or failed
    if not failed:
        return
    screen.line()
    for check in failed[:_MAX_FAILURES]:
        screen.spans(("failed", "bad"), (f"  {check.id}  ", "strong"), (check.subject, None))
        screen.prose(_headline(check), indent=2)
        # What was renamed is expected and found with one digest, and the headline has both names.
        same = check.expected is not None and check.expected == check.found
        details = () if same else (("expected", check.expected), ("found", check.found))
        for label, value in (*details, ("where", check.where)):
            if value is not None:
                screen.line(f"  {label:<10} {value}")
        for number, damage in enumerate(check.damage[:_MAX_RANGES]):
            screen.line(f"  {'differs' if number == 0 else '':<10} {damage.describe()}")
        if len(check.damage) > _MAX_RANGES:
            screen.line(f"  {'':<10} and {len(check.damage) - _MAX_RANGES} more ranges (all of them with --json)")
    if len(failed) > _MAX_FAILURES:
        screen.line(f"and {len(failed) - _MAX_FAILURES} more failures (all of them with --json)")


def _show_times(screen: Screen, report: Report) -> None:
    def bound(time: TimeBound | None, missing: str) -> str:
        return f"{time.time}, by the clock of {time.clock}" if time is not None else missing

    if report.created is not None:
        screen.pairs([("claimed", bound(report.created, ""))])
        screen.pairs([("not before", bound(report.not_before, "unknown: it names no block that is known"))])
        screen.pairs([("not after", bound(report.not_after, "unknown: no anchor of it is known to be in a chain"))])


def _note(check: Check) -> str:
    """What was found, and where it passed; the places of failures follow below the table."""
    if check.status is Status.PASSED and check.where is not None:
        return f"{check.note}, {check.where}"
    return _headline(check)


def _headline(check: Check) -> str:
    """The note without digests that follow in full."""
    return check.note.partition(": expected ")[0]


def _condensed(checks: list[Check]) -> list[Check]:
    """The checks, with one line for many of the same id and status."""
    groups: dict[tuple[str, Status], list[Check]] = {}
    for check in checks:
        groups.setdefault((check.id, check.status), []).append(check)
    shown = []
    for (_, status), same in groups.items():
        if len(same) > _MAX_SAME_CHECKS:
            below = ", below" if status is Status.FAILED else ""
            same = [
                *same[: _MAX_SAME_CHECKS - 1],
                replace(same[-1], note=f"and {len(same) - _MAX_SAME_CHECKS + 1} more{below}", where=None),
            ]
        shown += same
    return shown


def _show_lineage(screen: Screen, report: Report) -> None:
    if not report.artefacts:
        return
    from provenance.verify.report import worst

    counts = Counter(artefact.status for artefact in report.artefacts)
    parts = ", ".join(f"{counts[status]} {status}" for status in Status if counts[status])
    screen.line()
    style = STATUS_STYLES[worst(artefact.status for artefact in report.artefacts)]
    text = f"{count_text(len(report.artefacts), 'statement')} with its ancestors: {parts}"
    screen.pairs([("lineage", text)], style=style)


def show_affected(screen: Screen, names: Sequence[str]) -> None:
    """What was made from something that failed."""
    for number, name in enumerate(names[:_MAX_NAMES]):
        screen.pairs([("affected" if number == 0 else "", name)], style="bad")
    if len(names) > _MAX_NAMES:
        screen.pairs([("", f"and {len(names) - _MAX_NAMES} more (all of them with --json)")])
