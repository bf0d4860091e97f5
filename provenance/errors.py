"""The one error tree.

Invariants: every error a caller can see is a `ProvenanceError`; its message says what was wrong, what was expected,
what was found and where, in that order; no message carries a secret or the content of a row.
"""

from __future__ import annotations

_MAX_FOUND_CHARS = 200
_LAST_STATUS = 128


class ProvenanceError(Exception):
    """Base of every error raised on purpose. `hint` names a way out and is shown on its own line."""

    def __init__(
        self,
        what: str,
        *,
        expected: object = None,
        got: object = None,
        where: object = None,
        hint: str | None = None,
    ) -> None:
        self.what = what
        self.expected = None if expected is None else str(expected)
        self.got = None if got is None else _shorten(str(got))
        self.where = None if where is None else str(where)
        self.hint = hint
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """One line: what, expected, got, where. Control characters from outside are escaped."""
        parts = [self.what]
        if self.expected is not None:
            parts.append(f"expected {self.expected}")
        if self.got is not None:
            parts.append(f"got {self.got}")
        if self.where is not None:
            parts.append(f"at {self.where}")
        return printable("; ".join(parts))


class MalformedError(ProvenanceError):
    """Input does not have the form its format prescribes."""


class LimitError(MalformedError):
    """Input is larger than a limit of `provenance.limits`."""


class NotFoundError(MalformedError):
    """A reference names nothing in this ledger."""


class VerificationError(ProvenanceError):
    """A hash, proof or signature does not verify."""


class SourceError(ProvenanceError):
    """Bytes to be fingerprinted cannot be read as one unchanging dataset."""


class CommandError(SourceError):
    """A command that was run for a user failed. `status` is its exit code as a shell gives it: 128 and the signal's
    number, if one ended it."""

    def __init__(self, what: str, *, status: int = 1, where: object = None, hint: str | None = None) -> None:
        got = f"exit status {status}" if status <= _LAST_STATUS else f"signal {status - _LAST_STATUS}"
        super().__init__(what, expected="exit status 0", got=got, where=where, hint=hint)
        self.status = status


class StoreError(ProvenanceError):
    """The ledger's own storage failed or is damaged."""


class SignerError(ProvenanceError):
    """A signing key is missing, locked, unsafe or of the wrong kind."""


class ChainError(ProvenanceError):
    """An EVM chain is unreachable, refuses a transaction or answers nonsense."""


class WitnessError(ProvenanceError):
    """A witness is unreachable or answers nonsense, or too few of them cosigned."""


class LogError(ProvenanceError):
    """A log's public files, ours or another's, cannot be read or published, or make no sense."""


class PolicyError(ProvenanceError):
    """A rule of this ledger forbids what was asked."""


class ConflictError(PolicyError):
    """What was asked contradicts what is already in the ledger."""


def printable(text: str) -> str:
    """`text` with control characters and lone surrogates escaped, so that hostile names cannot forge a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_FOUND_CHARS else f"{text[:_MAX_FOUND_CHARS]}... ({len(text)} characters)"
