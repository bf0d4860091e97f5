"""Sources: where a dataset's bytes come from.

Guarantees of every implementation: the fingerprint is of one unchanging state of the dataset, or there is a
`SourceError` that names the file; nothing is written; memory does not grow with the size of a file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from provenance.fingerprint import Fingerprint


@dataclass(frozen=True, slots=True)
class Progress:
    """How far reading has come, in bytes and files."""

    done_bytes: int
    total_bytes: int
    done_files: int
    total_files: int


ProgressCallback = Callable[[Progress], None]


class Source(Protocol):
    """One dataset that can be read."""

    @property
    def location(self) -> str:
        """Where it is, for messages and for the ledger's private index."""

    def fingerprint(self, progress: ProgressCallback | None = None) -> Fingerprint:
        """The fingerprint of what is there now. `SourceError` if it cannot be read or changes while it is read."""
