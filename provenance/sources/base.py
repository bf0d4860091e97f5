"""Sources: where a dataset's bytes come from.

Guarantees of every implementation: the fingerprint is of one unchanging state of the dataset, or there is a
`SourceError` that names the file; nothing is written; memory does not grow with the size of a file. A change is what
leaves another time, size or identity, in the end or when it begins: docs/sources.md names what does not, on memory
file systems above all. Nor do two writes within one tick of a file system whose times are coarser than `TICK_NS` of the
local source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from provenance.encoding import Digest
from provenance.errors import MalformedError, SourceError
from provenance.fingerprint import Algorithm, Fingerprint, Parameters

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far reading has come, in bytes and files."""

    done_bytes: int
    total_bytes: int
    done_files: int
    total_files: int


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Reading:
    """How a dataset is to be read.

    `cache` is the folder of caches of what was read before, or None to read every byte; `ignore` are rules that hold
    besides the dataset's own `.provenanceignore`; `declared_by` names whose stated digests are taken in place of
    computed ones, where the source has them (None: every digest is computed); `declared` are such digests by path, from
    a checksum file; `leave_out` is one folder, the ledger in use, that is no part of the dataset though it may lie
    within. `MalformedError` if digests are declared by nobody, or of another hash.
    """

    algorithm: Algorithm = Algorithm.SHA256
    cache: Path | None = None
    ignore: tuple[str, ...] = ()
    declared_by: str | None = None
    declared: Mapping[str, Digest] = field(default_factory=dict)
    leave_out: Path | None = None

    def __post_init__(self) -> None:
        if self.declared_by is None:
            if self.declared:
                raise MalformedError("somebody must declare the digests", expected="a name", hint="give --declared-by")
            return
        Parameters(declared_by=self.declared_by, declared_files=1)  # raises if it is no declarer
        if self.algorithm is not Algorithm.SHA256:
            hint = "compute the digests, or use sha256"
            raise MalformedError(
                "only SHA-256 digests can be declared", expected="sha256", got=self.algorithm, hint=hint
            )

    def check_declared(self, names: Iterable[str], where: object) -> None:
        """Raise `SourceError` if digests are declared, and none of them is of a file of the dataset."""
        if self.declared and self.declared.keys().isdisjoint(names):
            expected = "paths as in the dataset, one of them at least"
            raise SourceError(
                "checksum file names no file of the dataset", expected=expected, got=ascii(next(iter(self.declared))),
                where=where,
            )  # fmt: skip


class Workers(Protocol):
    """Other processes or machines that do the work. An engine is one (`provenance.engines`)."""

    def map(self, work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        """The results in the order of the items. `work` is importable by name and everything can be pickled; an item
        whose worker is lost is done again."""


class Source(Protocol):
    """One dataset that can be read."""

    @property
    def location(self) -> str:
        """Where it is, for messages and for the ledger's private index."""

    def fingerprint(self, progress: ProgressCallback | None = None, *, workers: Workers | None = None) -> Fingerprint:
        """The fingerprint of what is there now. `SourceError` if it cannot be read or changes while it is read."""

    def check_unchanged(self) -> None:
        """Raise `SourceError` that names a file unless the dataset is what it was when it was fingerprinted last."""
