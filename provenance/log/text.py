"""What every text of a signed note is made of (c2sp.org/signed-note): UTF-8 without controls, and key names.

Invariants: what `decode_text` returns encodes to the same bytes and holds no ASCII control but newlines.
"""

from __future__ import annotations

import re

from provenance.errors import MalformedError
from provenance.limits import MAX_NOTE_BYTES, check_size

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


def decode_text(data: bytes, what: str) -> str:
    """The text of a note or of a part of one; `MalformedError` or `LimitError` says what is wrong with `what`."""
    check_size(what, len(data), MAX_NOTE_BYTES)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(f"{what} is not UTF-8", where=f"byte {error.start}") from error
    if found := _CONTROL.search(text):
        got = f"U+{ord(found[0]):04X}"
        raise MalformedError(f"{what} has a control character", expected="none", got=got, where=f"{found.start()}")
    return text


def check_key_name(name: str) -> None:
    """Return if `name` can name a key: not empty, no Unicode space, no plus, no control; else `MalformedError`."""
    if not name or "+" in name or "".join(name.split()) != name or _CONTROL.search(name):
        raise MalformedError("key name is out of form", expected="characters other than spaces and +", got=repr(name))
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise MalformedError("key name is not UTF-8", got=repr(name)) from error


def check_note_text(text: bytes) -> None:
    """Return if `text` can be a note's text: UTF-8, no controls but newlines, the last byte one; `MalformedError`."""
    decode_text(text, "note text")
    if not text.endswith(b"\n"):
        raise MalformedError("note text does not end in a newline", where="end of text")
