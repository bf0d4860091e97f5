"""What was said about an artefact, out of the log. What it is worth, a verification says.

Invariant: an event is shown as it was signed, whoever signed it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from provenance.encoding import Digest, JsonValue
from provenance.errors import StoreError
from provenance.ledger.publication import events_about
from provenance.signature import parse_envelope
from provenance.statement.events import Event, parse_event
from provenance.stores import EventRow, StoreReader


@dataclass(frozen=True, slots=True)
class Said:
    """An event and its place in the log."""

    row: EventRow
    event: Event

    @property
    def index(self) -> int:
        """Its entry's index."""
        return self.row.entry_index

    def to_json(self) -> dict[str, JsonValue]:
        """The event as a JSON value; `says` is its own part of the predicate."""
        return {
            "index": self.index,
            "type": self.event.type,
            "created": self.event.created,
            "signer": self.row.keyid,
            "says": self.event.body.to_json(),
        }


def find_said(store: StoreReader, about: Digest, *, after: int | None = None, limit: int | None = None) -> list[Said]:
    """What is said about the statement whose envelope has this SHA-256, in log order. `StoreError` for a gap."""
    return list(islice(_said(store, about, after), limit))


def _said(store: StoreReader, about: Digest, after: int | None) -> Iterator[Said]:
    for row in events_about(store, about, after=after):
        entry = store.entry(row.entry_index)
        if entry is None:
            raise StoreError("log entry is missing", where=f"entry {row.entry_index}", hint="run `provenance log fsck`")
        yield Said(row, parse_event(parse_envelope(entry.envelope).payload))
