"""What a detector or a person found in an artefact, and what became of it.

Bytes of its predicate (canonical JSON, with what every event has):
`{"created":"..","detector":"duplicates","id":"f1","severity":"high","state":"open","statement":{..},
"title":".."}`
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from provenance.encoding import Digest, Fields, JsonValue
from provenance.errors import MalformedError
from provenance.limits import check_size
from provenance.statement.frame import parse_choice
from provenance.statement.text import MAX_TITLE_CHARS, MAX_WORD_CHARS, check_word, optional_digest


class Severity(StrEnum):
    """How much a finding matters."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class FindingState(StrEnum):
    """What became of a finding, as whoever signs it says (`verify.event_checks` decides who may settle one)."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a detector or a person found, or what became of it. `id` is the finding's own within the artefact; `report`
    is the SHA-256 of its details beside the log."""

    TYPE: ClassVar[str] = "urn:provenance-ledger:finding:1"

    id: str
    severity: Severity
    title: str
    state: FindingState = FindingState.OPEN
    detector: str | None = None
    report: Digest | None = None

    def __post_init__(self) -> None:
        check_word(self.id, "finding's id")
        check_size("title", len(self.title), MAX_TITLE_CHARS, "characters")
        if not self.title.strip():
            raise MalformedError("finding has no title", expected="a line of text")
        if self.detector is not None:
            check_word(self.detector, "detector")

    @property
    def thing(self) -> tuple[str, str | None]:
        """What it is a word about, within the artefact: its id, of one detector. Another detector's is another."""
        return self.id, self.detector

    def to_json(self) -> dict[str, JsonValue]:
        """The fields of its own."""
        value: dict[str, JsonValue] = {
            "id": self.id,
            "severity": str(self.severity),
            "state": str(self.state),
            "title": self.title,
        }
        if self.detector is not None:
            value["detector"] = self.detector
        if self.report is not None:
            value["report"] = {"sha256": self.report.hex}
        return value


def read_finding(fields: Fields) -> Finding:
    """The finding in a predicate; its other fields are read by `events`."""
    return Finding(
        id=fields.string("id", max_chars=MAX_WORD_CHARS),
        severity=parse_choice(Severity, fields.string("severity", max_chars=MAX_WORD_CHARS), "severity"),
        title=fields.string("title", max_chars=MAX_TITLE_CHARS),
        state=parse_choice(FindingState, fields.string("state", max_chars=MAX_WORD_CHARS), "state of a finding"),
        detector=fields.optional_string("detector", max_chars=MAX_WORD_CHARS),
        report=optional_digest(fields, "report"),
    )
