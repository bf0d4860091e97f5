"""From the error tree to exit codes: one table.

Invariants: every error that a verb may raise has a row; the first row that fits decides, so a subclass stands above its
base; what fits no row is a defect of this program, and says so without its text, which could hold anything.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from provenance.errors import (
    ChainError,
    CommandError,
    ConflictError,
    LimitError,
    LogError,
    MalformedError,
    NotFoundError,
    PolicyError,
    ProvenanceError,
    SignerError,
    SourceError,
    StoreError,
    VerificationError,
    WitnessError,
    printable,
)

if TYPE_CHECKING:
    from provenance.encoding import JsonValue

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
ENVIRONMENT: Final = 3
INTERRUPTED: Final = 130
READER_GONE: Final = 141

MEANINGS: Final[tuple[tuple[int, str], ...]] = (
    (DONE, "done; for `verify`: verified; for `lineage` and `log fsck`: nothing failed"),
    (
        FAILED,
        "verification failed: a check failed, the required level is not reached, or the ledger is damaged; of `run`: "
        "the command failed",
    ),
    (USAGE, "usage or malformed input: arguments, files, names, keys, what this ledger's rules forbid"),
    (ENVIRONMENT, "environment: chain, store, network, disk, or a defect of this program"),
    (INTERRUPTED, "interrupted by Ctrl-C"),
    (READER_GONE, "whoever read the output went away"),
)

TABLE: Final[tuple[tuple[type[BaseException], str, int], ...]] = (
    (VerificationError, "verification", FAILED),
    (LimitError, "limit", USAGE),
    (NotFoundError, "not-found", USAGE),
    (MalformedError, "malformed", USAGE),
    (CommandError, "command", FAILED),
    (SourceError, "source", USAGE),
    (ConflictError, "conflict", USAGE),
    (PolicyError, "policy", USAGE),
    (SignerError, "signer", USAGE),
    (StoreError, "store", ENVIRONMENT),
    (ChainError, "chain", ENVIRONMENT),
    (WitnessError, "witness", ENVIRONMENT),
    (LogError, "log", ENVIRONMENT),
    (OSError, "system", ENVIRONMENT),
)
"""(error class, its name in JSON, exit code)."""


_MAX_PLACE_CHARS = 400


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it is shown. `kind` is its name in JSON, `code` the exit code it leads to."""

    kind: str
    code: int
    what: str
    expected: str | None = None
    got: str | None = None
    where: str | None = None
    hint: str | None = None
    status: int | None = None
    """The exit status of a command that failed."""

    @property
    def details(self) -> tuple[tuple[str, str | None], ...]:
        """What follows `what` for people, by its label."""
        return ("expected", self.expected), ("got", self.got), ("where", _shortened(self.where)), ("hint", self.hint)

    @property
    def message(self) -> str:
        """What, expected, got, where, in one line with control characters escaped."""
        named = (("expected", self.expected), ("got", self.got), ("at", _shortened(self.where)))
        return printable("; ".join([self.what, *(f"{name} {text}" for name, text in named if text is not None)]))

    def to_json(self) -> dict[str, JsonValue]:
        """The document that `--json` puts on stdout in place of a result."""
        details: dict[str, JsonValue] = {"kind": self.kind, "message": self.message, "what": self.what}
        optional = {"expected": self.expected, "got": self.got, "where": self.where, "hint": self.hint}
        details.update({name: text for name, text in optional.items() if text is not None})
        if self.status is not None:
            details["status"] = self.status
        return {"error": {**details, "exitCode": self.code}}


def _shortened(text: str | None) -> str | None:
    if text is None or len(text) <= _MAX_PLACE_CHARS:
        return text
    return f"{text[:_MAX_PLACE_CHARS]}... ({len(text)} characters)"


def failure_of(error: BaseException) -> Failure:
    """How an error is shown and what exit code it gives."""
    kind, code = next(
        ((kind, code) for known, kind, code in TABLE if isinstance(error, known)), ("internal", ENVIRONMENT)
    )
    if kind == "internal":
        hint = "run it again with PROVENANCE_DEBUG=1 to see where, and report it"
        return Failure(kind, code, f"internal error: {type(error).__name__}", hint=hint)
    if isinstance(error, ProvenanceError):
        status = error.status if isinstance(error, CommandError) else None
        return Failure(kind, code, error.what, error.expected, error.got, error.where, error.hint, status)
    what = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    where = (
        os.fsdecode(error.filename) if isinstance(error, OSError) and isinstance(error.filename, str | bytes) else None
    )
    return Failure(kind, code, what, where=where)
