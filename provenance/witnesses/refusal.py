"""What an attester says when it does not cosign, for programs and people: the body of its 422 and 503.

Invariants: `parse_refusal(encode_refusal(x)) == x`; every line is printable, and the whole is bounded.

    attester refused
    check: signature
    entry: 3
    reason: key is not trusted; expected a key of the trust roots; got 5f0c...

`refused` is final until something changes, `checking` says how far it is, and `unavailable` that something failed in
passing; `check` is a check of an entry, or what is wrong with the log (`withheld`, `mismatch`, `forked`, `went back`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from provenance.errors import MalformedError, VerificationError, printable
from provenance.log.decimal import parse_decimal

MAX_REFUSAL_BYTES: Final = 4_096
_HEAD: Final = "attester "
_MAX_REASON_CHARS: Final = 600
_NAMES: Final = ("check", "entry", "reason")


class RefusalKind(StrEnum):
    """Whether to come back."""

    REFUSED = "refused"
    CHECKING = "checking"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no cosignature: which check, of which entry (None: of none), and what is wrong."""

    kind: RefusalKind
    check: str
    reason: str
    entry: int | None = None

    @property
    def message(self) -> str:
        """One line."""
        entry = "" if self.entry is None else f" entry {self.entry}"
        return f"attester {self.kind}{entry}: {self.check}: {self.reason}"


class AttestationRefusedError(VerificationError):
    """An attester does not cosign: `refusal` says why."""

    def __init__(self, refusal: Refusal, *, where: str | None = None) -> None:
        super().__init__(refusal.message, where=where)
        self.refusal = refusal


def encode_refusal(refusal: Refusal) -> bytes:
    """The body of the answer."""
    lines = [f"{_HEAD}{refusal.kind}", f"check: {printable(refusal.check)}"]
    if refusal.entry is not None:
        lines.append(f"entry: {refusal.entry}")
    lines.append(f"reason: {printable(refusal.reason)[:_MAX_REASON_CHARS]}")
    return "".join(f"{line}\n" for line in lines).encode()


def parse_refusal(data: bytes) -> Refusal:
    """The refusal in the body of an answer; `MalformedError` for anything else."""
    try:
        text = data[: MAX_REFUSAL_BYTES + 1].decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    head, *lines = text.split("\n")
    if len(data) > MAX_REFUSAL_BYTES or not head.startswith(_HEAD) or not text.endswith("\n"):
        raise MalformedError("not an attester's answer", expected="attester refused | checking | unavailable")
    fields = dict(line.split(": ", 1) for line in lines[:-1] if ": " in line)
    if any(name not in _NAMES for name in fields) or not {"check", "reason"} <= fields.keys():
        raise MalformedError("attester's answer lacks a line", expected=", ".join(_NAMES))
    try:
        kind = RefusalKind(head.removeprefix(_HEAD))
    except ValueError:
        raise MalformedError("not an attester's answer", expected=" | ".join(RefusalKind)) from None
    entry = parse_decimal(fields["entry"], what="entry") if "entry" in fields else None
    return Refusal(kind, printable(fields["check"]), printable(fields["reason"]), entry)
