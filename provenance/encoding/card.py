"""Cards: Markdown with YAML before it, between two lines of three hyphens, as Hugging Face keeps for each repository.

---
license: mit
---
# Rides
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from provenance.encoding.json import JsonValue
from provenance.encoding.yaml import parse_yaml
from provenance.errors import MalformedError
from provenance.limits import check_size

MAX_CARD_BYTES: Final = 4 * 2**20
_FENCE: Final = "---"


@dataclass(frozen=True, slots=True)
class Card:
    """What stands in the front matter, and the text after it."""

    metadata: JsonValue
    text: str


def is_card(data: bytes) -> bool:
    """Whether these bytes begin as a card does."""
    return data.removeprefix(b"\xef\xbb\xbf").lstrip()[:4] in (b"---\n", b"---\r")


def read_card(data: bytes) -> Card:
    """The card in UTF-8 bytes. `MalformedError` if it has no front matter, or one that is no YAML mapping."""
    check_size("card", len(data), MAX_CARD_BYTES)
    try:
        lines = data.decode("utf-8-sig").lstrip().splitlines()
    except UnicodeDecodeError as error:
        raise MalformedError("card is not UTF-8", where=f"byte {error.start}") from error
    if not lines or lines[0].rstrip() != _FENCE:
        raise MalformedError("card has no front matter", expected="a line of three hyphens first")
    end = next((at for at, line in enumerate(lines[1:], 1) if line.rstrip() == _FENCE), None)
    if end is None:
        raise MalformedError("front matter of the card does not end", expected="a second line of three hyphens")
    metadata = parse_yaml("\n".join(lines[1:end]).encode(), what="card", max_bytes=MAX_CARD_BYTES)
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise MalformedError("front matter of the card is no mapping", expected="name: value")
    return Card(metadata, "\n".join(lines[end + 1 :]))
