"""The hash of a file's content. Trees, leaves and documents are SHA-256 whichever is chosen."""

from __future__ import annotations

from enum import StrEnum

from provenance.errors import MalformedError


class Algorithm(StrEnum):
    """How file contents are hashed, 32 bytes each. SHA-256 agrees with `sha256sum`, BLAKE3 with `b3sum`."""

    SHA256 = "sha256"
    BLAKE3 = "blake3"


def parse_algorithm(text: str) -> Algorithm:
    """The algorithm of this name; `MalformedError` that lists them."""
    try:
        return Algorithm(text)
    except ValueError:
        raise MalformedError("unknown hash algorithm", expected=" | ".join(Algorithm), got=text) from None
