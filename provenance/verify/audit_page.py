"""An audit as one HTML file: it needs no network and no script, prints well, and carries its evidence.

Invariants: every text from outside is escaped; nothing is loaded from anywhere; colours only repeat what words say; the
bundle in it is the one the audit is of, and verifies alone.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from provenance.errors import MalformedError
from provenance.policy import Status
from provenance.policy.licences import Obligation
from provenance.verify.ai_act import NOTHING, evidence_pack
from provenance.verify.audit import Audit, AuditItem
from provenance.verify.drawing import draw
from provenance.verify.evidence import MEDIA_TYPE
from provenance.verify.report import Check

MAX_EMBEDDED_BYTES: Final = 16 * 2**20
_MAX_ROWS: Final = 5_000
_STYLE: Final = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,sans-serif;color:#1f2328;background:#fff;max-width:72rem;margin:2rem auto;padding:0 1.5rem}
h1{font-size:1.6rem;margin:0 0 .25rem}h2{font-size:1.15rem;margin:2rem 0 .5rem;border-bottom:1px solid #d0d7de}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #e4e8ec;overflow-wrap:break-word}
th{font-weight:600;background:#f6f8fa}code{font:.85em ui-monospace,monospace;overflow-wrap:anywhere}
.verdict{display:inline-block;padding:.15rem .7rem;border-radius:1rem;font-weight:700;border:1px solid}
.verified,.passed{color:#1a7f37}.failed{color:#b3261e}.affected{color:#9a4b00}.incomplete,.open{color:#8a6d00}.faint{color:#57606a}
.drawing{overflow:auto;border:1px solid #e4e8ec;border-radius:6px;padding:.5rem}.drawing svg{max-width:100%;height:auto}
@media print{body{margin:0;max-width:none;font-size:11px}h2{break-after:avoid}tr,.drawing{break-inside:avoid}
thead{display:table-header-group}a[download]{display:none}}
"""
_CLASS: Final = {
    Status.PASSED: "passed",
    Status.FAILED: "failed",
    Status.AFFECTED: "affected",
    Status.NOT_PERFORMED: "open",
}
_MEANING: Final = {
    Status.PASSED: "every record of it was checked and holds",
    Status.FAILED: "a check of it failed",
    Status.AFFECTED: "nothing of its own failed, but something that it was made from did",
    Status.NOT_PERFORMED: "something of it could not be checked",
}


def audit_page(audit: Audit, bundle: bytes) -> bytes:
    """The page, UTF-8. The bundle is in it if it has at most `MAX_EMBEDDED_BYTES`, else its digest alone is named."""
    report = audit.report
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>Audit of {escape(report.target)}</title>',
        '<meta name="viewport" content="width=device-width">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<style>{_STYLE}</style></head><body>",
        _head(audit),
        _drawing(audit),
        _checks(audit),
        _inputs(audit),
        _licences(audit),
        _people(audit),
        _said(audit),
        _keys(audit),
        _gaps(audit),
        _act(audit),
        _evidence(bundle),
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part).encode("utf-8") + b"\n"


def _head(audit: Audit) -> str:
    report = audit.report
    level = report.level.name if report.level is not None else "none"
    lacks = f"; the next level lacks {', '.join(report.missing)}" if report.missing else ""
    needed = f"{report.required.name} is needed" if report.required is not None else "what it needs is not known"
    rows = [
        ("level", f"{level} ({needed}{lacks})"),
        ("digest", f"sha256 {report.digest}"),
        ("sensitivity", f"{audit.sensitivity}, the highest of all inputs"),
        ("made of", f"{len(audit.items) - 1} artefacts, {len(audit.origins)} of them origins"),
    ]
    times = (("claimed", report.created), ("not before", report.not_before), ("not after", report.not_after))
    rows += [(label, f"{bound.time}, by the clock of {bound.clock}") for label, bound in times if bound is not None]
    verdict = f'<span class="verdict {report.verdict}">{report.verdict.upper()}</span>'
    return f"<h1>Audit of {escape(report.target)}</h1><p>{verdict}</p>{_table((), rows)}"


def _drawing(audit: Audit) -> str:
    try:
        picture = draw(audit.report, "svg")
    except MalformedError as error:
        picture = f"<p>{escape(error.message)}</p>"
    legend = "; ".join(f"{_status(status)}: {meaning}" for status, meaning in _MEANING.items())
    return f'<h2>Lineage</h2><div class="drawing">{picture}</div><p>{legend}.</p>'


def _checks(audit: Audit) -> str:
    rows = [
        (check.subject, check.id, _status(check.status), _note(check))
        for check in audit.report.checks
        if check.subject == audit.report.target or check.status is Status.FAILED
    ]
    return "<h2>Checks</h2>" + _table(("artefact", "check", "status", "note"), rows, raw=(2,))


def _note(check: Check) -> str:
    # Where bytes lay is this machine's own business.
    where = check.where if not check.id.startswith("content") or check.id == "content.file" else None
    return " ".join(filter(None, (check.note, where)))


def _inputs(audit: Audit) -> str:
    rows = [
        (
            item.name,
            str(item.statement.kind),
            _status(item.artefact.status),
            f"entry {item.artefact.index}",
            item.artefact.signer,
            item.statement.origin or ", ".join(item.artefact.parents) or NOTHING,
            f"{item.statement.fingerprint.file_count:,} files, {item.statement.fingerprint.total_bytes:,} bytes",
        )
        for item in audit.items
    ]
    head = ("artefact", "kind", "status", "log", "signed by", "origin, or made from", "size")
    return "<h2>Everything that went into it</h2>" + _table(head, rows, raw=(2,))


def _licences(audit: Audit) -> str:
    rows = []
    for licence, names in audit.licences().items():
        item = next(one for one in audit.items if one.statement.license == licence)
        rows.append((licence, _asks(item), ", ".join(names)))
    without = [item.name for item in audit.items if item.statement.license is None]
    if without:
        rows.append(("none declared", str(Obligation.UNKNOWN), ", ".join(without)))
    return "<h2>Licences and what they ask for</h2>" + _table(("licence", "asks for", "artefacts"), rows)


def _asks(item: AuditItem) -> str:
    parts = []
    for name, asked in item.obligations().items():
        words = ", ".join(str(one) for one in asked) or "nothing"
        parts.append(words if len(item.obligations()) == 1 else f"{name}: {words}")
    return "; ".join(parts)


def _people(audit: Audit) -> str:
    rows = []
    for item in audit.items:
        standards = item.statement.standards
        holds = {True: "yes", False: "no", None: "not said"}[standards.personal_data]
        ground = ", ".join(filter(None, (str(standards.basis or ""), standards.consent_documentation or "")))
        places = ", ".join(standards.origin_geography)
        tools = ", ".join(standards.privacy_technologies)
        rows.append((item.name, str(item.statement.sensitivity), holds, ground, places, tools))
    head = ("artefact", "sensitivity", "personal data", "ground", "origin", "privacy technologies")
    return "<h2>Sensitivity, personal data, geography</h2>" + _table(head, rows)


def _said(audit: Audit) -> str:
    rows = [
        (item.name, one.noun, one.words, f"entry {one.index}", one.signer)
        for item in audit.items
        for one in item.remarks
    ]
    if not rows:
        return "<h2>Runs, tests, reviews, findings</h2><p>Nothing that counts was said.</p>"
    head = ("artefact", "what", "it says", "log", "signed by")
    return "<h2>Runs, tests, reviews, findings</h2>" + _table(head, rows)


def _keys(audit: Audit) -> str:
    title = "<h2>Keys</h2>"
    if not audit.keys:
        return title + "<p>The log at hand says nothing of the keys that signed.</p>"
    rows = [
        (one.name, one.event.key.keyid.hex[:16], one.words, one.event.created, f"entry {one.index}", one.signer[:16])
        for one in audit.keys
    ]
    return title + _table(("name", "key", "it says", "claimed time", "log", "signed by key"), rows)


def _gaps(audit: Audit) -> str:
    return "<h2>Gaps</h2>" + _table(("artefact", "what is not known"), audit.gaps())


def _act(audit: Audit) -> str:
    rows = [
        (line.article, line.asks, line.found, ", ".join(str(index) for index in line.entries) or "none")
        for line in evidence_pack(audit)
    ]
    note = '<p class="faint">Evidence, arranged by article; whether it suffices is a question of law.</p>'
    return "<h2>EU AI Act</h2>" + note + _table(("article", "asks for", "there is", "log entries"), rows)


def _evidence(bundle: bytes) -> str:
    title = "<h2>Evidence</h2>"
    if len(bundle) > MAX_EMBEDDED_BYTES:
        return (
            title
            + f"<p>The bundle has {len(bundle):,} bytes and is not in this file: <code>provenance bundle</code>.</p>"
        )
    data = base64.b64encode(bundle).decode("ascii")
    link = f'<a download="evidence.bundle.json" href="data:{MEDIA_TYPE};base64,{data}">evidence.bundle.json</a>'
    how = "<code>provenance verify --bundle evidence.bundle.json --trust trust.json</code>"
    return title + f"<p>{link} ({len(bundle):,} bytes) verifies offline: {how}</p>"


def _status(status: Status) -> str:
    return f'<span class="{_CLASS[status]}">{status}</span>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], raw: Sequence[int] = ()) -> str:
    """A table; the columns in `raw` are markup already."""
    lines = []
    for number, row in enumerate(rows):
        if number == _MAX_ROWS:
            lines.append(f'<tr><td colspan="{len(row)}">more are left out; the JSON holds all of them</td></tr>')
            break
        cells = (cell if place in raw else escape(cell) for place, cell in enumerate(row))
        if head:
            lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        else:
            first, *others = cells
            lines.append(f"<tr><th>{first}</th>" + "".join(f"<td>{cell}</td>" for cell in others) + "</tr>")
    top = "<thead><tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + "</tr></thead>" if head else ""
    return f"<table>{top}<tbody>{''.join(lines)}</tbody></table>"
