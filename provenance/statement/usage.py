"""That an artefact was used.

Bytes of its predicate (canonical JSON, with what every event has):
`{"actor":{"sha256":"<64 hex>"},"created":"..","purpose":"training","read":{"files":2,"root":"<64 hex>"},
"statement":{..}}`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from provenance.encoding import Digest, Fields, JsonValue
from provenance.errors import MalformedError
from provenance.limits import MAX_SAFE_INTEGER
from provenance.statement.text import MAX_WORD_CHARS, check_word, optional_digest


@dataclass(frozen=True, slots=True)
class Usage:
    """That an artefact was used: for what, by whom (a salted pseudonym), which files of it, in which run.

    `files` and `root` are a usage digest as `provenance.ReadUsage` gives it; `run` is the SHA-256 of the envelope of
    the run that used it.
    """

    TYPE: ClassVar[str] = "urn:provenance-ledger:usage:1"

    purpose: str
    actor: Digest | None = None
    files: int | None = None
    root: Digest | None = None
    run: Digest | None = None

    def __post_init__(self) -> None:
        check_word(self.purpose, "purpose")
        if (self.files is None) != (self.root is None):
            raise MalformedError("usage digest is half there", expected="its count and root, or neither")

    def to_json(self) -> dict[str, JsonValue]:
        """The fields of its own."""
        value: dict[str, JsonValue] = {"purpose": self.purpose}
        if self.actor is not None:
            value["actor"] = {"sha256": self.actor.hex}
        if self.root is not None:
            value["read"] = {"files": self.files, "root": self.root.hex}
        if self.run is not None:
            value["run"] = {"sha256": self.run.hex}
        return value


def read_usage(fields: Fields) -> Usage:
    """The usage in a predicate; its other fields are read by `events`."""
    files, root = None, None
    if fields.has("read"):
        read = fields.object("read")
        files, root = read.integer("files", maximum=MAX_SAFE_INTEGER), read.digest("root")
        read.end()
    purpose = fields.string("purpose", max_chars=MAX_WORD_CHARS)
    return Usage(purpose, optional_digest(fields, "actor"), files, root, optional_digest(fields, "run"))
