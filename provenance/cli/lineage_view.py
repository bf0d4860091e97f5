"""How a lineage looks: a tree from a dataset back to its origins, then what was made from it.

Invariants: each statement is unfolded once; a tree of any depth and width is walked without recursion, and what is left
out is said; lines are drawn in ASCII where the terminal is not UTF-8.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from provenance.cli.screen import STATUS_STYLES, Screen, count_text

if TYPE_CHECKING:
    from provenance.ledger import Lineage

_MAX_DEPTH: Final = 16
_MAX_LINES: Final = 1_000
_UNICODE = ("├─ ", "└─ ", "│  ", "   ")
_ASCII = ("|- ", "`- ", "|  ", "   ")


def show_lineage(screen: Screen, lineage: Lineage) -> None:
    """The tree of ancestors, and the descendants."""
    if screen.muted:
        return
    _show_tree(screen, lineage)
    screen.line()
    if lineage.as_of is not None:
        screen.pairs([("as of", f"{lineage.as_of}: the first {lineage.size} log entries, under the trust of now")])
    if not lineage.descendants and lineage.direction != "up" and lineage.depth != 0:
        screen.pairs([("made of it", "nothing in this ledger")])
    for number, name in enumerate(lineage.descendants[:_MAX_LINES]):
        screen.pairs([("made of it" if number == 0 else "", name)])
    if len(lineage.descendants) > _MAX_LINES:
        screen.pairs([("", f"and {len(lineage.descendants) - _MAX_LINES} more (all of them with --json)")])


def _show_tree(screen: Screen, lineage: Lineage) -> None:
    nodes = {artefact.name: artefact for artefact in lineage.shown}
    fork, last_fork, through, blank = _guides()
    shown: set[str] = set()
    lines = 0
    # (name, guides of the levels above, guide of its own line, depth)
    pending: list[tuple[str, str, str, int]] = [(lineage.report.target, "", "", 0)]
    while pending and lines < _MAX_LINES:
        name, above, own, depth = pending.pop()
        lines += 1
        node = nodes.get(name)
        if node is None:
            screen.spans((f"{above}{own}", "faint"), (name, None), ("  not at hand", "bad"))
            continue
        repeated = name in shown and bool(node.parents)
        suffix = "  (unfolded above)" if repeated else ""
        word = (f"  {node.status}", STATUS_STYLES[str(node.status)])
        kind = f" ({node.kind})" if node.kind != "dataset" else ""
        screen.spans((f"{above}{own}", "faint"), (f"{name}{kind}", None), word, (f"  {node.signer}{suffix}", "faint"))
        shown.add(name)
        if repeated or not node.parents:
            continue
        if lineage.depth is not None and depth >= lineage.depth and node.parents[0] not in nodes:
            screen.spans((f"{above}...", "faint"), (f"  made from {count_text(len(node.parents), 'input')}", "faint"))
            continue
        below = above + ("" if depth == 0 else blank if own == last_fork else through)
        if depth >= _MAX_DEPTH:
            screen.spans((f"{below}{last_fork}", "faint"), ("deeper ones are left out (all of them with --json)", None))
            continue
        *others, last = node.parents
        pending.append((last, below, last_fork, depth + 1))
        pending += [(parent, below, fork, depth + 1) for parent in reversed(others)]
    if pending:
        screen.line(f"and {count_text(len(pending), 'more ancestor')} (all of them with --json)")


def _guides() -> tuple[str, str, str, str]:
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
    return _UNICODE if encoding == "utf8" else _ASCII
