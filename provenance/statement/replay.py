"""What came of making an artefact again by the run that made it.

Bytes of its predicate (canonical JSON, with what every event has):
`{"created":"..","found":{"sha256":"<64 hex>"},"result":"reproduced","run":{"sha256":"<64 hex>"},"statement":{..}}`
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from provenance.encoding import Digest, Fields, JsonValue
from provenance.statement.frame import parse_choice
from provenance.statement.text import MAX_WORD_CHARS


class ReplayResult(StrEnum):
    """Whether what came out is what was registered, file for file."""

    REPRODUCED = "reproduced"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class Replay:
    """That somebody made an artefact again. `run` is the SHA-256 of the envelope of the run that was followed, `found`
    the file root of what came out."""

    TYPE: ClassVar[str] = "urn:provenance-ledger:replay:1"

    run: Digest
    result: ReplayResult
    found: Digest

    def to_json(self) -> dict[str, JsonValue]:
        """The fields of its own."""
        return {
            "run": {"sha256": self.run.hex},
            "result": str(self.result),
            "found": {"sha256": self.found.hex},
        }


def read_replay(fields: Fields) -> Replay:
    """The replay in a predicate; its other fields are read by `events`."""
    return Replay(
        run=fields.digest_set("run"),
        result=parse_choice(ReplayResult, fields.string("result", max_chars=MAX_WORD_CHARS), "result of a replay"),
        found=fields.digest_set("found"),
    )
