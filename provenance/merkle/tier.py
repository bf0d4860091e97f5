"""Who hashes many messages: loaded by whoever must name a tier and need not hash."""

from __future__ import annotations

from enum import StrEnum


class HashTier(StrEnum):
    """The standard library, one message after another, or lanes side by side. Calibrated by `provenance.machine`."""

    HASHLIB = "hashlib"
    LANES = "lanes"
