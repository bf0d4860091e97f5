"""That another registered artefact takes an artefact's place.

Bytes of its predicate (canonical JSON, with what every event has):
`{"by":{"digest":{..},"envelope":{..},"name":"ns/name@2"},"created":"..","statement":{..}}`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from provenance.encoding import Fields, JsonValue
from provenance.statement.frame import Pin, parse_pin
from provenance.statement.text import MAX_NOTE_CHARS, check_note


@dataclass(frozen=True, slots=True)
class Supersession:
    """That another registered artefact takes an artefact's place."""

    TYPE: ClassVar[str] = "urn:provenance-ledger:supersession:1"

    by: Pin
    note: str | None = None

    def __post_init__(self) -> None:
        check_note(self.note)

    def to_json(self) -> dict[str, JsonValue]:
        """The fields of its own."""
        value: dict[str, JsonValue] = {"by": self.by.to_json()}
        if self.note is not None:
            value["note"] = self.note
        return value


def read_supersession(fields: Fields) -> Supersession:
    """The supersession in a predicate; its other fields are read by `events`."""
    by = parse_pin(fields.value("by"), "statement.predicate.by")
    return Supersession(by, fields.optional_string("note", max_chars=MAX_NOTE_CHARS))
