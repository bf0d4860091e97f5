"""Who hashes many messages: loaded by whoever must name a tier and need not hash."""

from __future__ import annotations

from enum import StrEnum


class HashTier(StrEnum):
    """The standard library, one message after another; lanes side by side; or the processor's SHA extensions, three
    messages at a time, where the project was built with a compiler. Calibrated by `provenance.machine`."""

    HASHLIB = "hashlib"
    LANES = "lanes"
    EXTENSIONS = "extensions"
