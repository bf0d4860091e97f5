"""What somebody who looked at an artefact decided.

Bytes of its predicate (canonical JSON, with what every event has):
`{"created":"..","decision":"approved","note":"..","scope":["labels"],"statement":{..}}`
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from provenance.encoding import Digest, Fields, JsonValue
from provenance.errors import MalformedError
from provenance.limits import check_size
from provenance.statement.frame import parse_choice
from provenance.statement.text import MAX_NOTE_CHARS, MAX_WORD_CHARS, check_note, check_word, optional_digest


class Decision(StrEnum):
    """What a reviewer decided."""

    APPROVED = "approved"
    REJECTED = "rejected"
    CHANGES_REQUESTED = "changes requested"


@dataclass(frozen=True, slots=True)
class Review:
    """What somebody who looked at an artefact decided. `scope` are words for what was looked at; `report` is the
    SHA-256 of a longer text beside the log."""

    TYPE: ClassVar[str] = "urn:provenance-ledger:review:1"

    decision: Decision
    scope: tuple[str, ...] = ()
    note: str | None = None
    report: Digest | None = None

    def __post_init__(self) -> None:
        check_size("scope", len(self.scope), MAX_WORD_CHARS, "words")
        for word in self.scope:
            check_word(word, "scope")
        if len(set(self.scope)) != len(self.scope):
            raise MalformedError("scope names something twice", got=max(self.scope, key=self.scope.count))
        check_note(self.note)

    def to_json(self) -> dict[str, JsonValue]:
        """The fields of its own."""
        value: dict[str, JsonValue] = {"decision": str(self.decision)}
        if self.scope:
            value["scope"] = list(self.scope)
        if self.note is not None:
            value["note"] = self.note
        if self.report is not None:
            value["report"] = {"sha256": self.report.hex}
        return value


def read_review(fields: Fields) -> Review:
    """The review in a predicate; its other fields are read by `events`."""
    scope = fields.array("scope", max_items=MAX_WORD_CHARS) if fields.has("scope") else []
    words = []
    for word in scope:
        if not isinstance(word, str):
            raise MalformedError("scope is not words", expected="text", got=type(word).__name__)
        words.append(word)
    return Review(
        decision=parse_choice(Decision, fields.string("decision", max_chars=MAX_WORD_CHARS), "decision"),
        scope=tuple(words),
        note=fields.optional_string("note", max_chars=MAX_NOTE_CHARS),
        report=optional_digest(fields, "report"),
    )
