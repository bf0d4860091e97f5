"""What fsck examined and found.

Invariants: a ledger is clean if nothing is found; a note is no finding; both lists are bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from provenance.encoding import JsonValue

_MAX_LISTED: Final = 1_000


@dataclass(slots=True)
class FsckReport:
    """What was examined and what is wrong. `clean` if nothing is."""

    entries: int = 0
    tiles: int = 0
    checkpoints: int = 0
    blobs: int = 0
    anchors: int = 0
    trees: int = 0
    independent_roots: int = 0
    independent_proofs: int = 0
    notes: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def find(self, text: str) -> None:
        """Add a finding; past a thousand they are only counted as one."""
        _add(self.findings, text)

    def note(self, text: str) -> None:
        """Add something worth knowing that is no damage, likewise."""
        _add(self.notes, text)

    def to_json(self) -> dict[str, JsonValue]:
        """The report as a JSON value."""
        value: dict[str, JsonValue] = {"clean": self.clean}
        for key in ("entries", "tiles", "checkpoints", "blobs", "anchors", "trees"):
            value[key] = getattr(self, key)
        value.update(independentRoots=self.independent_roots, independentProofs=self.independent_proofs)
        return {**value, "notes": list(self.notes), "findings": list(self.findings)}


def _add(texts: list[str], text: str) -> None:
    if len(texts) < _MAX_LISTED:
        texts.append(text)
    elif len(texts) == _MAX_LISTED:
        texts.append("more follow and are not listed")
