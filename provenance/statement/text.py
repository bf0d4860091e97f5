"""Short text in statements: words that programs compare, and notes that people read.

Invariant: a note must not name persons, and nothing here can tell; it is short so that it has no room for much.
"""

from __future__ import annotations

import re
from typing import Final

from provenance.encoding import Digest, Fields
from provenance.errors import MalformedError
from provenance.limits import check_size

MAX_NOTE_CHARS: Final = 2_000
MAX_TITLE_CHARS: Final = 200
MAX_WORD_CHARS: Final = 64
_WORD = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")


def check_word(text: str, what: str) -> None:
    """Raise `MalformedError` unless this is a word: `a-z 0-9` and `. _ -` between them."""
    check_size(what, len(text), MAX_WORD_CHARS, "characters")
    if not _WORD.fullmatch(text):
        raise MalformedError(f"not a word: {what}", expected="a-z 0-9 and . _ - between them", got=ascii(text))


def check_note(note: str | None) -> None:
    """Raise `MalformedError` for a note that is too long or says nothing."""
    if note is not None:
        check_size("note", len(note), MAX_NOTE_CHARS, "characters")
        if not note.strip():
            raise MalformedError("note is empty", expected="text, or no note")


def optional_digest(fields: Fields, name: str) -> Digest | None:
    """A digest set of `sha256` alone; None where the field is missing or null."""
    if not fields.has(name):
        fields.skip(name)
        return None
    return fields.digest_set(name)
