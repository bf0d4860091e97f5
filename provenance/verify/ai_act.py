"""An audit arranged by what the EU AI Act asks for: each line cites log entries, or says that there is nothing.

Invariants: a line cites only entries that count; a line without evidence says so and is never left out; this arranges
evidence and decides nothing: whether it suffices is a question of law.

Source: Regulation (EU) 2024/1689, Articles 10, 11 with Annex IV, 12, 19 and 53(1)(d).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from provenance.encoding import JsonValue
from provenance.statement.finding import Finding
from provenance.statement.quality import Quality
from provenance.statement.review import Review
from provenance.statement.run import Run
from provenance.verify.audit import Audit, AuditItem

NOTHING: Final = "no evidence"


@dataclass(frozen=True, slots=True)
class Line:
    """What an article asks for, what there is, and the log entries that say so. No entries: there is nothing."""

    article: str
    asks: str
    found: str
    entries: tuple[int, ...] = ()

    def to_json(self) -> JsonValue:
        """The line as a JSON value."""
        return {"article": self.article, "asks": self.asks, "found": self.found, "entries": list(self.entries)}


def evidence_pack(audit: Audit) -> tuple[Line, ...]:
    """The lines, in the order of the articles."""
    return tuple(_line(audit, article, asks, find) for article, asks, find in _LINES)


_Found = tuple[str, Sequence[int]]


def _line(audit: Audit, article: str, asks: str, find: Callable[[Audit], _Found]) -> Line:
    found, entries = find(audit)
    cited = tuple(dict.fromkeys(entries))
    return Line(article, asks, found if cited else NOTHING, cited)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _origins(audit: Audit) -> _Found:
    origins = [item for item in audit.origins if item.statement.origin is not None]
    return f"{_count(len(origins), 'signed origin')} of {len(audit.origins)}", _entries(origins)


def _runs(audit: Audit) -> _Found:
    runs = audit.remarks(Run)
    made = [item for item in audit.items if item.statement.parents]
    steps = ", ".join(dict.fromkeys(one.body.step for _, one in runs if isinstance(one.body, Run)))
    return f"{_count(len(runs), 'signed run')} for {_count(len(made), 'derived artefact')}: {steps}", [
        one.index for _, one in runs
    ]


def _collection(audit: Audit) -> _Found:
    items = [i for i in audit.items if i.statement.standards.method or i.statement.standards.basis]
    words = [str(i.statement.standards.method or i.statement.standards.basis) for i in items]
    return (
        f"how it was collected is said of {_count(len(items), 'artefact')}: {', '.join(dict.fromkeys(words))}",
        _entries(items),
    )


def _tests(audit: Audit) -> _Found:
    tests = audit.remarks(Quality)
    return f"{_count(len(tests), 'signed test result')} of {_count(len({i.name for i, _ in tests}), 'artefact')}", [
        one.index for _, one in tests
    ]


def _findings(audit: Audit) -> _Found:
    found = audit.remarks(Finding)
    return f"{_count(len(found), 'statement')} about findings, {len(audit.open_findings())} of them unsettled", [
        one.index for _, one in found
    ]


def _reviews(audit: Audit) -> _Found:
    found = audit.remarks(Review)
    return f"{_count(len(found), 'signed review')}", [one.index for _, one in found]


def _geography(audit: Audit) -> _Found:
    items = [item for item in audit.items if item.statement.standards.origin_geography]
    return f"origins in {', '.join(audit.geography())}", _entries(items)


def _personal(audit: Audit) -> _Found:
    items = [item for item in audit.items if item.statement.standards.personal_data is not None]
    return f"{_count(len(items), 'artefact')} that say: {len(audit.personal())} with personal data", _entries(items)


def _lineage(audit: Audit) -> _Found:
    return f"{_count(len(audit.items), 'signed statement')} back to {_count(len(audit.origins), 'origin')}", _entries(
        audit.items
    )


def _target_tests(audit: Audit) -> _Found:
    own = [one for item, one in audit.remarks(Quality) if item.artefact.depth == 0]
    return f"{_count(len(own), 'signed test result')} of the artefact itself", [one.index for one in own]


def _uses(audit: Audit) -> _Found:
    return f"{_count(len(audit.uses), 'logged use')}", audit.uses


def _kept(audit: Audit) -> _Found:
    when = audit.report.not_after
    if when is None:
        return "", ()
    return f"the log up to these entries is anchored, not after {when.time} by {when.clock}", _entries(audit.items)


def _training(audit: Audit) -> _Found:
    inputs = [item for item in audit.items if item.artefact.depth > 0 or not item.statement.parents]
    total = sum(item.statement.fingerprint.total_bytes for item in audit.origins)
    return f"{_count(len(inputs), 'input')}, {total} bytes at the origins", _entries(inputs)


def _entries(items: Sequence[AuditItem]) -> list[int]:
    return [item.artefact.index for item in items]


_LINES: Final[tuple[tuple[str, str, Callable[[Audit], _Found]], ...]] = (
    ("10(2)(b)", "data collection processes and the origin of data", _origins),
    ("10(2)(b)", "how data were collected, and on what ground personal data were", _collection),
    ("10(2)(c)", "data preparation: annotation, labelling, cleaning, updating, enrichment, aggregation", _runs),
    ("10(2)(f), (g)", "examination for possible biases, and measures against them", _reviews),
    ("10(2)(h)", "data gaps or shortcomings and how they are addressed", _findings),
    ("10(3)", "relevant, sufficiently representative, to the best extent free of errors, complete", _tests),
    ("10(4)", "the geographical setting", _geography),
    ("10(5)", "special categories of personal data", _personal),
    ("11, Annex IV 2(d)", "data sheets: provenance, scope, how data were obtained and selected", _lineage),
    ("11, Annex IV 2(g)", "validation and testing procedures and their data", _target_tests),
    ("12(1), (2)", "automatic recording of events over the lifetime", _uses),
    ("19(1)", "logs are kept", _kept),
    ("53(1)(d)", "the content used for training, for a summary", _training),
)
