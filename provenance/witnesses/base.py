"""What a witness of a log promises, and which kinds there are by URI scheme.

Guarantees of every kind: it cosigns a checkpoint only if that extends what it cosigned last of the same origin, and
remembers it, both in one step; an answer comes in bounded time, or `WitnessError`; what it answers is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Final, Protocol, TypeAlias

from provenance.errors import MalformedError
from provenance.log import NoteSignature
from provenance.log.add_checkpoint import AddCheckpoint

_KINDS: Final = {"http": "provenance.witnesses.http", "https": "provenance.witnesses.http"}


@dataclass(frozen=True, slots=True)
class Cosigned:
    """The witness cosigned. Its lines are not verified yet."""

    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True)
class Outgrown:
    """The witness saw another size last: this one."""

    size: int


WitnessAnswer: TypeAlias = Cosigned | Outgrown


class Witness(Protocol):
    """A witness that can be asked."""

    def add_checkpoint(self, request: AddCheckpoint) -> WitnessAnswer:
        """What the witness answers. `PolicyError` if it does not know the log or its key, `VerificationError` if it
        says that the proof does not hold (`AttestationRefusedError`: or that an entry does not), `WitnessError` if it
        cannot be asked, is not done yet, or makes no sense."""


def open_witness(uri: str, *, timeout_s: float) -> Witness:
    """The witness at a URI. `MalformedError` if its scheme is of no kind."""
    kind = _KINDS.get(uri.partition(":")[0])
    if kind is None:
        raise MalformedError("not the address of a witness", expected="http(s)://host[:port][/path]")
    witness: Witness = import_module(kind).open_witness(uri, timeout_s)
    return witness
