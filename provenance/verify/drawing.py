"""A lineage as a picture and for other tools: DOT, Mermaid, SVG, PROV-JSON.

Invariants: every artefact and every edge of the report is there, also to a parent that is not at hand; what is drawn is
coloured by its verdict and says it in words too; names from outside are escaped; the same lineage gives the same text.

Source: Graphviz DOT language; Mermaid flowcharts; SVG 1.1; W3C PROV-JSON (member submission of 2013).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from provenance.encoding import JsonValue
from provenance.errors import LimitError, MalformedError
from provenance.policy import Status
from provenance.verify.report import Artefact, Report

MAX_DRAWN: Final = 5_000
"""Artefacts in a picture; the JSON holds any number."""
_FILL: Final[Mapping[Status, str]] = {
    Status.PASSED: "#d7f0dc",
    Status.FAILED: "#f9d3d0",
    Status.AFFECTED: "#fbdcc4",
    Status.NOT_PERFORMED: "#fbf0cc",
}
_STROKE: Final[Mapping[Status, str]] = {
    Status.PASSED: "#1a7f37",
    Status.FAILED: "#b3261e",
    Status.AFFECTED: "#9a4b00",
    Status.NOT_PERFORMED: "#8a6d00",
}
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 240, 52, 70, 22, 16
_MAX_LABEL_CHARS: Final = 32


def draw(report: Report, form: str) -> str:
    """The report's lineage in a form of `FORMS`; `LimitError` if it is too large for a picture."""
    if form not in FORMS:
        raise MalformedError("unknown form of a lineage", expected=" | ".join(FORMS), got=form)
    if not report.artefacts:
        raise MalformedError("there is no lineage to draw", got=report.target, hint="see `provenance verify`")
    if len(report.artefacts) > MAX_DRAWN:
        hint = "use --json, which holds any number"
        raise LimitError("lineage is too large to draw", expected=MAX_DRAWN, got=len(report.artefacts), hint=hint)
    return FORMS[form](report)


def _missing(artefacts: Sequence[Artefact]) -> list[str]:
    """Parents that are named and not at hand."""
    known = {artefact.name for artefact in artefacts}
    return list(dict.fromkeys(parent for one in artefacts for parent in one.parents if parent not in known))


def _edges(artefacts: Sequence[Artefact]) -> list[tuple[str, str]]:
    """(parent, child)."""
    return [(parent, one.name) for one in artefacts for parent in one.parents]


def _dot(report: Report) -> str:
    lines = ["digraph lineage {", "  rankdir=LR;", '  node [shape=box, style="filled,rounded", fontname="sans-serif"];']
    for one in report.artefacts:
        label = f"{one.name}\\n{one.kind}, {one.status}"
        colours = f'fillcolor="{_FILL[one.status]}", color="{_STROKE[one.status]}"'
        lines.append(f'  {json.dumps(one.name)} [label="{label}", {colours}];')
    lines += [
        f'  {json.dumps(name)} [label="{name}\\nnot at hand", style="dashed"];' for name in _missing(report.artefacts)
    ]
    lines += [f"  {json.dumps(parent)} -> {json.dumps(child)};" for parent, child in _edges(report.artefacts)]
    return "\n".join([*lines, "}", ""])


def _mermaid(report: Report) -> str:
    missing = _missing(report.artefacts)
    ids = {name: f"n{number}" for number, name in enumerate([*(one.name for one in report.artefacts), *missing])}
    lines = ["flowchart LR"]
    for one in report.artefacts:
        opening, closing = ("([", "])") if one.kind == "model" else ("[", "]")
        text = f"{one.name}<br/>{one.kind}, {one.status}"
        lines.append(f'  {ids[one.name]}{opening}"{text}"{closing}:::{_CLASSES[one.status]}')
    lines += [f'  {ids[name]}["{name}<br/>not at hand"]:::missing' for name in missing]
    lines += [f"  {ids[parent]} --> {ids[child]}" for parent, child in _edges(report.artefacts)]
    lines += [
        f"  classDef {_CLASSES[status]} fill:{_FILL[status]},stroke:{_STROKE[status]},color:#1f2328"
        for status in Status
    ]
    return "\n".join([*lines, "  classDef missing stroke-dasharray:4,color:#1f2328", ""])


_CLASSES: Final = {
    Status.PASSED: "passed",
    Status.FAILED: "failed",
    Status.AFFECTED: "affected",
    Status.NOT_PERFORMED: "open",
}


def _columns(report: Report) -> dict[str, int]:
    """Each name's column: origins at 0, everything right of all that it was made from. A cycle cannot be made."""
    parents: dict[str, tuple[str, ...]] = dict.fromkeys(_missing(report.artefacts), ())
    parents.update({one.name: one.parents for one in report.artefacts})
    columns: dict[str, int] = {}
    for start in parents:
        stack = [start]
        while stack:
            name = stack[-1]
            waiting = [parent for parent in parents[name] if parent not in columns and parent not in stack]
            if waiting and name not in columns:
                stack += waiting
                continue
            stack.pop()
            columns.setdefault(name, 1 + max((columns.get(parent, -1) for parent in parents[name]), default=-1))
    return columns


def _places(report: Report) -> dict[str, tuple[int, int]]:
    """Where each box's upper left corner is; each column is ordered by where its parents are."""
    rows: dict[int, list[str]] = {}
    for name, column in _columns(report).items():
        rows.setdefault(column, []).append(name)
    parents = {one.name: one.parents for one in report.artefacts}
    tallest = max(len(names) for names in rows.values())
    places: dict[str, tuple[int, int]] = {}
    for column in sorted(rows):

        def middle(name: str) -> tuple[float, str]:
            above = [places[parent][1] for parent in parents.get(name, ()) if parent in places]
            return (sum(above) / len(above) if above else 0.0, name)

        top = _MARGIN + (tallest - len(rows[column])) * (_HEIGHT + _GAP_Y) // 2
        for number, name in enumerate(sorted(rows[column], key=middle)):
            places[name] = (_MARGIN + column * (_WIDTH + _GAP_X), top + number * (_HEIGHT + _GAP_Y))
    return places


def _svg(report: Report) -> str:
    places = _places(report)
    width = max(x for x, _ in places.values()) + _WIDTH + _MARGIN
    height = max(y for _, y in places.values()) + _HEIGHT + _MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label={quoteattr("lineage of " + report.target)} font-family="sans-serif" font-size="13">'
    ]
    for parent, child in _edges(report.artefacts):
        (x1, y1), (x2, y2) = places[parent], places[child]
        x1, y1, y2 = x1 + _WIDTH, y1 + _HEIGHT // 2, y2 + _HEIGHT // 2
        bend = _GAP_X // 2
        lines.append(f'<path d="M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}" fill="none" stroke="#6e7781"/>')
    shown = {one.name: one for one in report.artefacts}
    for name, (x, y) in places.items():
        one = shown.get(name)
        lines.append(_box(name, one, x, y))
    return "\n".join([*lines, "</svg>", ""])


def _box(name: str, one: Artefact | None, x: int, y: int) -> str:
    fill, stroke = (_FILL[one.status], _STROKE[one.status]) if one else ("#ffffff", "#6e7781")
    dash = "" if one else ' stroke-dasharray="4"'
    radius = _HEIGHT // 2 if one is not None and one.kind == "model" else 6
    words = f"{one.kind}, {one.status}" if one else "not at hand"
    title = f"{name}\n{words}" + (f"\nsigned by {one.signer}\nsha256 {one.digest}" if one else "")
    label = name if len(name) <= _MAX_LABEL_CHARS else f"{name[: _MAX_LABEL_CHARS - 1]}\u2026"
    middle = x + _WIDTH // 2
    return (
        f'<g><title>{escape(title)}</title><rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="{radius}" '
        f'fill="{fill}" stroke="{stroke}"{dash}/>'
        f'<text x="{middle}" y="{y + 22}" text-anchor="middle" font-weight="bold" fill="#1f2328">{escape(label)}</text>'
        f'<text x="{middle}" y="{y + 40}" text-anchor="middle" fill="{stroke}">{escape(words)}</text></g>'
    )


def _prov(report: Report) -> str:
    agents = {one.name: one.signer for one in report.artefacts if one.signer}
    ids = {signer: f"pl:signer-{number}" for number, signer in enumerate(dict.fromkeys(agents.values()))}
    entities: dict[str, JsonValue] = {
        _entity(one.name): {
            "prov:label": one.name,
            "prov:type": {"$": f"pl:{one.kind}", "type": "prov:QUALIFIED_NAME"},
            "pl:sha256": one.digest,
            "pl:status": str(one.status),
        }
        for one in report.artefacts
    }
    entities.update(
        {_entity(name): {"prov:label": name, "pl:status": "not at hand"} for name in _missing(report.artefacts)}
    )
    value: dict[str, JsonValue] = {
        "prefix": {"pl": "urn:provenance-ledger:prov:"},
        "entity": entities,
        "agent": {ids[signer]: {"prov:label": signer} for signer in ids},
        "wasDerivedFrom": {
            f"_:d{number}": {"prov:generatedEntity": _entity(child), "prov:usedEntity": _entity(parent)}
            for number, (parent, child) in enumerate(_edges(report.artefacts))
        },
        "wasAttributedTo": {
            f"_:a{number}": {"prov:entity": _entity(name), "prov:agent": ids[signer]}
            for number, (name, signer) in enumerate(agents.items())
        },
    }
    return json.dumps({name: part for name, part in value.items() if part}, indent=1) + "\n"


def _entity(name: str) -> str:
    """A qualified name: `/` and `@` are in neither names nor versions otherwise."""
    return "pl:" + name.replace("/", "-slash-").replace("@", "-at-").replace("+", "-plus-")


FORMS: Final[Mapping[str, Callable[[Report], str]]] = {
    "dot": _dot,
    "mermaid": _mermaid,
    "svg": _svg,
    "prov-json": _prov,
}
"""The forms, by name."""
