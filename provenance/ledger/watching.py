"""Which entries of a log are about what somebody watches: a dataset's name, a key, a digest.

Invariants: entries come from a stranger's log and are trusted for nothing, so what is found says what an entry claims,
not that its signature is good; an entry that is none of ours is known by its index and hashes alone; looking at an
entry takes memory for that entry alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Final

from provenance.encoding import JsonValue, parse_json
from provenance.errors import MalformedError, ProvenanceError
from provenance.limits import MAX_ENTRY_BYTES, check_size
from provenance.signature import Envelope, parse_envelope
from provenance.statement.frame import open_frame

MAX_PATTERNS: Final = 1_000
_MAX_PATTERN_CHARS: Final = 512
_MIN_DIGITS: Final = 8
_DIGITS = re.compile(r"[0-9a-f]{8,64}")
_NAME = re.compile(r"[!-~]+")
EVERYTHING: Final = "*"


@dataclass(frozen=True, slots=True)
class Found:
    """An entry that a pattern names. What it claims is empty where it is no statement of ours."""

    index: int
    pattern: str
    leaf: bytes
    entry_sha256: bytes
    type: str = ""
    name: str = ""
    digest: str = ""
    keyid: str = ""

    @property
    def is_understood(self) -> bool:
        """Whether it is a signed statement as ours are."""
        return bool(self.keyid)

    def to_json(self) -> dict[str, JsonValue]:
        """The entry as a JSON object."""
        value: dict[str, JsonValue] = {
            "index": self.index,
            "pattern": self.pattern,
            "leafHash": self.leaf.hex(),
            "sha256": self.entry_sha256.hex(),
        }
        if self.is_understood:
            value.update(type=self.type, name=self.name, digest={"sha256": self.digest}, keyid=self.keyid)
        return value


@dataclass(frozen=True, slots=True)
class Watch:
    """Patterns. Hex digits, 8 to 64, name a digest or key id that begins with them; `*` is every entry; anything else
    is a name, of all its versions if it has none, in which `*`, `?` and `[..]` stand for what they do in a shell."""

    patterns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_size("patterns", len(self.patterns), MAX_PATTERNS, "patterns")
        for pattern in self.patterns:
            check_size("pattern", len(pattern), _MAX_PATTERN_CHARS, "characters")
            is_name = "/" in pattern or pattern == EVERYTHING or pattern == "key"
            if not _NAME.fullmatch(pattern) or not (is_name or _DIGITS.fullmatch(pattern)):
                expected = f"ns/name[@version], with * if you like, or {_MIN_DIGITS} to 64 lower-case hex digits"
                raise MalformedError("not something to watch", expected=expected, got=pattern)

    def look(self, index: int, entry: bytes, leaf: bytes) -> Found | None:
        """The entry, if a pattern names it: the first that does."""
        if not self.patterns:
            return None
        digest = sha256(entry).digest()
        claims = _claims(entry)
        for pattern in self.patterns:
            if self._names(pattern, claims, digest.hex(), leaf.hex()):
                if claims is None:
                    return Found(index, pattern, leaf, digest)
                return Found(
                    index, pattern, leaf, digest, claims.type, claims.name, claims.digest, claims.keyid
                )  # fmt: skip
        return None

    def _names(self, pattern: str, claims: _Claims | None, *hashes: str) -> bool:
        if pattern == EVERYTHING:
            return True
        if _DIGITS.fullmatch(pattern):
            found = any(one.startswith(pattern) for one in hashes)
            return found or (claims is not None and any(one.startswith(pattern) for one in claims.hashes))
        return claims is not None and any(_is_name(pattern, name) for name in claims.names)


@dataclass(frozen=True, slots=True)
class _Claims:
    """What an entry says: of its first subject, and every name and every hash anywhere in it."""

    type: str
    name: str
    digest: str
    keyid: str
    names: Sequence[str]
    hashes: Sequence[str]


def _claims(entry: bytes) -> _Claims | None:
    """None for an entry that is no statement of ours."""
    try:
        envelope: Envelope = parse_envelope(entry)
        frame = open_frame(envelope.payload)
        document = parse_json(envelope.payload, what="statement", max_bytes=MAX_ENTRY_BYTES)
    except ProvenanceError:
        return None
    subject, keyid = frame.subjects[0], envelope.signatures[0].keyid
    names = [text for key, text in _texts(document) if key == "name"]
    hashes = [keyid, *(text for _, text in _texts(document) if _DIGITS.fullmatch(text))]
    return _Claims(frame.predicate_type, subject.name, subject.digest.hex, keyid, names, hashes)


def _texts(value: JsonValue) -> Iterator[tuple[str, str]]:
    """Every text in a document, after the name of the member that holds it; its depth is bounded by the parser."""
    if isinstance(value, dict):
        for key, child in value.items():
            if isinstance(child, str):
                yield key, child
            else:
                yield from _texts(child)
    elif isinstance(value, list):
        for child in value:
            if isinstance(child, str):
                yield "", child
            else:
                yield from _texts(child)


def _is_name(pattern: str, name: str) -> bool:
    if fnmatchcase(name, pattern):
        return True
    return "@" not in pattern and fnmatchcase(name.partition("@")[0], pattern)
