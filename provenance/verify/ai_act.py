"""An audit arranged by what the EU AI Act asks for: each line cites log entries, or says that there is nothing.

Invariants: a line cites only entries that count and that are about what it asks, what it asks of data none about a
model; a line without evidence says so and is never left out; this arranges evidence and decides nothing: whether it
suffices is a question of law.

Source: Regulation (EU) 2024/1689, Articles 10, 11 with Annex IV, 12, 19 and 53(1)(d).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from provenance.encoding import JsonValue
from provenance.statement.dataset import Kind
from provenance.statement.finding import Finding
from provenance.statement.quality import Quality, QualityResult
from provenance.statement.review import Review
from provenance.statement.run import Run
from provenance.verify.audit import Audit, AuditItem, Remark

NOTHING: Final = "no evidence"
_BIAS: Final = re.compile(r"(?:\b|_)(?:de)?bias|(?:\b|_)(?:un)?fair(?:ness)?(?:\b|_)", re.IGNORECASE)
"""What a scope or the name of a test has in it that is about biases."""


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


def _is_data(item: AuditItem) -> bool:
    """Whether it is data: what a model's statement says is about no data."""
    return item.statement.kind is not Kind.MODEL


def _data(items: Sequence[AuditItem]) -> list[AuditItem]:
    return [item for item in items if _is_data(item)]


def _origins(audit: Audit) -> _Found:
    without_inputs = _data(audit.origins)
    origins = [item for item in without_inputs if item.statement.origin is not None]
    return f"{_count(len(origins), 'signed origin')} of {len(without_inputs)}", _entries(origins)


def _runs(audit: Audit) -> _Found:
    """Runs that made data; one that made a model is training, not preparation."""
    made = [item for item in _data(audit.items) if item.statement.parents]
    runs = [one for item, one in audit.remarks(Run) if _is_data(item)]
    steps = ", ".join(dict.fromkeys(one.body.step for one in runs if isinstance(one.body, Run)))
    of = _count(len(made), "derived dataset")
    return f"{_count(len(runs), 'signed run')} for {of}: {steps}", [one.index for one in runs]


def _collection(audit: Audit) -> _Found:
    items = [i for i in _data(audit.items) if i.statement.standards.method or i.statement.standards.basis]
    words = [str(i.statement.standards.method or i.statement.standards.basis) for i in items]
    return (
        f"how it was collected is said of {_count(len(items), 'dataset')}: {', '.join(dict.fromkeys(words))}",
        _entries(items),
    )


def _tests(audit: Audit) -> _Found:
    tests = [(item, one) for item, one in audit.remarks(Quality) if _is_data(item)]
    of = _count(len({item.name for item, _ in tests}), "dataset")
    return f"{_results([one for _, one in tests])} of {of}", [one.index for _, one in tests]


def _results(tests: Sequence[Remark]) -> str:
    failed = sum(isinstance(one.body, Quality) and one.body.result is QualityResult.FAILED for one in tests)
    return _count(len(tests), "signed test result") + (f", {failed} of them failed," if failed else "")


def _findings(audit: Audit) -> _Found:
    found = [one for item, one in audit.remarks(Finding) if _is_data(item)]
    unsettled = sum(_is_data(item) for item, _ in audit.open_findings())
    return f"{_count(len(found), 'statement')} about findings, {unsettled} of them unsettled", [
        one.index for one in found
    ]


def _biases(audit: Audit) -> _Found:
    """Reviews and test results that say themselves that they looked for biases."""
    reviews = [one for _, one in audit.remarks(Review) if isinstance(one.body, Review) and _names_bias(one.body.scope)]
    tests = [
        one for _, one in audit.remarks(Quality) if isinstance(one.body, Quality) and _names_bias(_tested(one.body))
    ]
    words = f"{_count(len(reviews), 'signed review')} and {_count(len(tests), 'test result')} that name biases"
    return words, [one.index for one in (*reviews, *tests)]


def _tested(body: Quality) -> tuple[str, ...]:
    return (*body.passed, *body.warned, *body.failed, *(one.name for one in body.configuration))


def _names_bias(words: Sequence[str]) -> bool:
    return any(_BIAS.search(word) for word in words)


def _geography(audit: Audit) -> _Found:
    items = [item for item in _data(audit.items) if item.statement.standards.origin_geography]
    places = sorted({place for item in items for place in item.statement.standards.origin_geography})
    return f"origins in {', '.join(places)}", _entries(items)


def _personal(audit: Audit) -> _Found:
    """Data that are said to hold no personal data at all, and by what others are protected. Nobody says which category
    personal data are of."""
    standards = [(item, item.statement.standards) for item in _data(audit.items)]
    free = [item for item, said in standards if said.personal_data is False]
    personal = [(item, said) for item, said in standards if said.personal_data]
    guarded = [item for item, said in personal if said.privacy_technologies]
    words = (
        f"{_count(len(free), 'dataset')} said to hold no personal data; of {len(personal)} that hold some, "
        f"{len(guarded)} under privacy technologies, and of which category is not said"
    )
    return words, _entries([*free, *guarded])


def _lineage(audit: Audit) -> _Found:
    items = [item for item in audit.items if item.statement.parents or _is_data(item)]
    origins = _count(len(_data(audit.origins)), "origin")
    return f"{_count(len(items), 'signed statement')} back to {origins}", _entries(items)


def _target_tests(audit: Audit) -> _Found:
    own = [one for item, one in audit.remarks(Quality) if item.artefact.depth == 0]
    return f"{_results(own)} of the artefact itself", [one.index for one in own]


def _recorded(audit: Audit) -> _Found:
    uses = f"; {_count(len(audit.uses), 'logged use')}" if audit.uses else ""
    return _batches(audit) + uses, sorted([*(one.entry for one in audit.logs), *audit.uses])


def _kept(audit: Audit) -> _Found:
    return f"{_batches(audit)}, in an append-only log", [one.entry for one in audit.logs]


def _batches(audit: Audit) -> str:
    parts = []
    for kind, noun in (("decisions", "decision"), ("requests", "request")):
        batches = [one for one in audit.logs if one.kind == kind]
        word = "batch" if len(batches) == 1 else "batches"
        parts.append(f"{len(batches)} {word} with {_count(sum(one.count for one in batches), noun)} about it")
    return ", ".join(parts)


def _training(audit: Audit) -> _Found:
    inputs = [item for item in audit.items if item.artefact.depth > 0 or _is_data(item)]
    total = sum(item.statement.fingerprint.total_bytes for item in _data(audit.origins))
    return f"{_count(len(inputs), 'input')}, {total} bytes at the origins", _entries(inputs)


def _entries(items: Sequence[AuditItem]) -> list[int]:
    return [item.artefact.index for item in items]


_LINES: Final[tuple[tuple[str, str, Callable[[Audit], _Found]], ...]] = (
    ("10(2)(b)", "data collection processes and the origin of data", _origins),
    ("10(2)(b)", "how data were collected, and on what ground personal data were", _collection),
    ("10(2)(c)", "data preparation: annotation, labelling, cleaning, updating, enrichment, aggregation", _runs),
    ("10(2)(f), (g)", "examination for possible biases, and measures against them", _biases),
    ("10(2)(h)", "data gaps or shortcomings and how they are addressed", _findings),
    ("10(3)", "relevant, sufficiently representative, to the best extent free of errors, complete", _tests),
    ("10(4)", "the geographical setting", _geography),
    ("10(5)", "special categories of personal data", _personal),
    ("11, Annex IV 2(d)", "data sheets: provenance, scope, how data were obtained and selected", _lineage),
    ("11, Annex IV 2(g)", "validation and testing procedures and their data", _target_tests),
    ("12(1), (2)", "automatic recording of events over the lifetime", _recorded),
    ("19(1)", "logs are kept", _kept),
    ("53(1)(d)", "the content used for training, for a summary", _training),
)
