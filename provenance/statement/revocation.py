"""That an artefact must not be used any more.

Bytes of its predicate (canonical JSON, with what every event has):
`{"created":"..","reason":"consent withdrawn","since":"2026-11-01T00:00:00Z","statement":{..}}`
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from provenance.encoding import Fields, JsonValue
from provenance.statement.frame import check_time, parse_choice
from provenance.statement.text import MAX_NOTE_CHARS, MAX_WORD_CHARS, check_note


class RevocationReason(StrEnum):
    """Why an artefact must not be used any more."""

    CONSENT_WITHDRAWN = "consent withdrawn"
    LICENSE_WITHDRAWN = "license withdrawn"
    ERRONEOUS = "erroneous"
    UNLAWFUL = "unlawful"
    COMPROMISED = "compromised"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Revocation:
    """That an artefact must not be used any more; what was made from it is tainted. `since`: from when on, RFC 3339, if
    it was good before; None if it never was."""

    TYPE: ClassVar[str] = "urn:provenance-ledger:revocation:1"

    reason: RevocationReason
    since: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        if self.since is not None:
            check_time(self.since)
        check_note(self.note)

    def to_json(self) -> dict[str, JsonValue]:
        """The fields of its own."""
        value: dict[str, JsonValue] = {"reason": str(self.reason)}
        if self.since is not None:
            value["since"] = self.since
        if self.note is not None:
            value["note"] = self.note
        return value


def read_revocation(fields: Fields) -> Revocation:
    """The revocation in a predicate; its other fields are read by `events`."""
    return Revocation(
        reason=parse_choice(RevocationReason, fields.string("reason", max_chars=MAX_WORD_CHARS), "reason"),
        since=fields.optional_string("since", max_chars=20),
        note=fields.optional_string("note", max_chars=MAX_NOTE_CHARS),
    )
