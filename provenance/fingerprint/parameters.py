"""How a fingerprint was made, as far as its digest does not say: what was left out, and whose word was taken.

Invariants: the parameters are in the signed statement, not in the fingerprint document: the same files have the same
digest whoever hashed them. Nothing is written where there is nothing to say.

Bytes (canonical JSON): `{"chunks":{"sha256":"<64 hex>"},"declared":{"by":"huggingface.co","files":3},
"ignore":["*.tmp","/cache/"]}` (one line)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from provenance.encoding import Digest, Fields, JsonValue
from provenance.errors import MalformedError
from provenance.limits import MAX_FILES, check_size

MAX_IGNORE_RULES: Final = 256
MAX_RULE_CHARS: Final = 256
MAX_DECLARER_CHARS: Final = 128
_DECLARER = re.compile(r"[!-~]+(?: [!-~]+)*")


@dataclass(frozen=True, slots=True)
class Parameters:
    """`ignore`: the rules by which files were left out, in order; `declared_files` digests are not computed from the
    bytes but stated by `declared_by`, for example a host name; `chunks` is the SHA-256 of a chunk map of the files."""

    ignore: tuple[str, ...] = ()
    declared_by: str | None = None
    declared_files: int = 0
    chunks: Digest | None = None

    def __post_init__(self) -> None:
        check_size("ignore rules", len(self.ignore), MAX_IGNORE_RULES, "rules")
        for rule in self.ignore:
            check_size("ignore rule", len(rule), MAX_RULE_CHARS, "characters")
            if not rule.strip() or "\n" in rule or "\0" in rule:
                raise MalformedError("not an ignore rule", expected="one line of text", got=ascii(rule))
        if (self.declared_by is None) != (self.declared_files == 0):
            raise MalformedError("declared digests need a declarer, and a declarer digests", got=self.declared_by)
        if self.declared_by is not None:
            check_size("declarer", len(self.declared_by), MAX_DECLARER_CHARS, "characters")
            if not _DECLARER.fullmatch(self.declared_by) or "@" in self.declared_by or "?" in self.declared_by:
                raise MalformedError("not a declarer", expected="a name or host in ASCII, without @ and ?")

    def __bool__(self) -> bool:
        return bool(self.ignore) or self.declared_by is not None or self.chunks is not None

    def to_json(self) -> dict[str, JsonValue]:
        """The parameters as a JSON object; empty where there is nothing to say."""
        value: dict[str, JsonValue] = {}
        if self.chunks is not None:
            value["chunks"] = {"sha256": self.chunks.hex}
        if self.declared_by is not None:
            value["declared"] = {"by": self.declared_by, "files": self.declared_files}
        if self.ignore:
            value["ignore"] = list(self.ignore)
        return value


def parse_parameters(value: JsonValue, what: str = "parameters") -> Parameters:
    """The parameters in a parsed JSON object; `MalformedError` for an empty one or anything unknown."""
    fields = Fields(value, what)
    ignore: list[str] = []
    if fields.has("ignore"):
        for rule in fields.array("ignore", max_items=MAX_IGNORE_RULES):
            if not isinstance(rule, str):
                raise MalformedError("not an ignore rule", expected="text", got=type(rule).__name__, where=what)
            ignore.append(rule)
    by, files = None, 0
    if fields.has("declared"):
        declared = fields.object("declared")
        by = declared.string("by", max_chars=MAX_DECLARER_CHARS)
        files = declared.integer("files", minimum=1, maximum=MAX_FILES)
        declared.end()
    chunks = fields.digest_set("chunks") if fields.has("chunks") else None
    fields.end()
    parameters = Parameters(tuple(ignore), by, files, chunks)
    if not parameters or parameters.to_json() != value:
        raise MalformedError(f"{what} are not in their one form", expected=str(parameters.to_json()))
    return parameters
