"""What came of making an artefact again by the run that made it.

Bytes of its predicate (canonical JSON, with what every event has):
`{"created":"..","found":{"sha256":"<64 hex>"},"result":"reproduced","run":{"sha256":"<64 hex>"},"statement":{..}}`; of
a sample of records also `"sample":{"found":688,"missing":0,"of":1000000,"records":688,"seed":"<64 hex>"}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from provenance.encoding import Digest, Fields, JsonValue
from provenance.errors import MalformedError
from provenance.statement.frame import parse_choice
from provenance.statement.text import MAX_WORD_CHARS


class ReplayResult(StrEnum):
    """Whether what came out is what was registered, file for file."""

    REPRODUCED = "reproduced"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class Sample:
    """What was made again: `records` of the input, drawn by a seed, `of` so many. `found` records came out, of which
    the artefact does not hold `missing`."""

    records: int
    of: int
    seed: Digest
    found: int
    missing: int

    def __post_init__(self) -> None:
        if not 1 <= self.records <= self.of or not 0 <= self.missing <= self.found or not self.found:
            raise MalformedError("sample is of no such size", expected="records <= of, missing <= found", got=self)

    def to_json(self) -> dict[str, JsonValue]:
        """The sample as a JSON object."""
        return {
            "records": self.records,
            "of": self.of,
            "seed": self.seed.hex,
            "found": self.found,
            "missing": self.missing,
        }


@dataclass(frozen=True, slots=True)
class Replay:
    """That somebody made an artefact again. `run` is the SHA-256 of the envelope of the run that was followed, `found`
    the file root of what came out. With `sample`, only of some records of the input, by a run that works row by row."""

    TYPE: ClassVar[str] = "urn:provenance-ledger:replay:1"

    run: Digest
    result: ReplayResult
    found: Digest
    sample: Sample | None = None

    def __post_init__(self) -> None:
        if self.sample is not None and (self.result is ReplayResult.DIFFERS) != bool(self.sample.missing):
            raise MalformedError(
                "result is not the sample's", expected="differs if records are missing", got=self.result
            )

    def to_json(self) -> dict[str, JsonValue]:
        """The fields of its own."""
        return {
            "run": {"sha256": self.run.hex},
            "result": str(self.result),
            "found": {"sha256": self.found.hex},
            **({"sample": self.sample.to_json()} if self.sample is not None else {}),
        }


def read_replay(fields: Fields) -> Replay:
    """The replay in a predicate; its other fields are read by `events`."""
    return Replay(
        run=fields.digest_set("run"),
        result=parse_choice(ReplayResult, fields.string("result", max_chars=MAX_WORD_CHARS), "result of a replay"),
        found=fields.digest_set("found"),
        sample=_read_sample(fields),
    )


def _read_sample(fields: Fields) -> Sample | None:
    if not fields.has("sample"):
        fields.skip("sample")
        return None
    stated = fields.object("sample")
    sample = Sample(
        records=stated.integer("records"),
        of=stated.integer("of"),
        seed=stated.digest("seed"),
        found=stated.integer("found"),
        missing=stated.integer("missing"),
    )
    stated.end()
    return sample
