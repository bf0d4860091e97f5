"""The hash of a file's content. Trees, leaves and documents are SHA-256 whichever is chosen."""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha256
from typing import Protocol, cast

from provenance.errors import MalformedError


class Algorithm(StrEnum):
    """How file contents are hashed, 32 bytes each. SHA-256 agrees with `sha256sum`, BLAKE3 with `b3sum`."""

    SHA256 = "sha256"
    BLAKE3 = "blake3"


class Hasher(Protocol):
    """A hash that is fed piece by piece."""

    def update(self, data: bytes | memoryview, /) -> object:
        """Take more bytes."""

    def digest(self) -> bytes:
        """The digest of all bytes so far, 32 bytes."""


def new_hasher(algorithm: Algorithm, *, threads: int = 1) -> Hasher:
    """A hash by this algorithm. `threads` work on each piece where the algorithm lets them."""
    if algorithm is Algorithm.SHA256:
        return sha256()
    from blake3 import blake3

    return cast(Hasher, blake3(max_threads=threads))


def parse_algorithm(text: str) -> Algorithm:
    """The algorithm of this name; `MalformedError` that lists them."""
    try:
        return Algorithm(text)
    except ValueError:
        raise MalformedError("unknown hash algorithm", expected=" | ".join(Algorithm), got=text) from None
