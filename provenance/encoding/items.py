"""The items of a JSON array as the bytes they are written in, so that each can be kept as it came.

Invariants: an item is a slice of the text, from its first character to its last, never written anew; what is around the
items is strict JSON; depth is bounded before anything is parsed; the time is linear in the data.

`items_of(b'[{"a": 1.10}, "\\u00e9"]', ...)` is `[b'{"a": 1.10}', b'"\\u00e9"']`.

Source: RFC 8259 sections 4 and 5.
"""

from __future__ import annotations

import json
import re
from typing import Final, NoReturn

from provenance.encoding.json import MAX_FOREIGN_DEPTH, check_depth, no_constant, shown_fault
from provenance.errors import MalformedError
from provenance.limits import check_size

_SPACE: Final = re.compile(r"[ \t\n\r]*+")


def items_of(
    data: bytes, *, what: str, max_bytes: int, max_items: int, member: str, max_depth: int = MAX_FOREIGN_DEPTH
) -> list[bytes]:
    """The items of the array that `data` is, or that is its member of this name if it is an object.

    `MalformedError` if it is neither, is no JSON or has that member twice; `LimitError` if it is too large, too deep or
    has more items. Numbers and texts in an item are not looked at any closer than to find its end.
    """
    check_size(what, len(data), max_bytes)
    check_depth(data, what, max_depth)
    try:
        scanner = _Scanner(data.decode("utf-8"), what, max_items)
    except UnicodeDecodeError as error:
        raise MalformedError(f"{what} is not UTF-8", expected="UTF-8", where=f"byte {error.start}") from error
    with shown_fault(what):
        found = scanner.member(member) if scanner.at("{") else scanner.array()
        scanner.end()
    return [item.encode() for item in found]


class _Scanner:
    """A place in a JSON text."""

    def __init__(self, text: str, what: str, max_items: int) -> None:
        self._text, self._what, self._max_items = text, what, max_items
        self._decoder = json.JSONDecoder(parse_constant=no_constant)
        self._place = 0
        self._skip_space()

    def at(self, character: str) -> bool:
        return self._text.startswith(character, self._place)

    def end(self) -> None:
        if self._place != len(self._text):
            self._fail("Extra data")

    def member(self, name: str) -> list[str]:
        """The items of the array that this member of an object is."""
        found: list[str] | None = None
        self._take("{")
        while not self.at("}"):
            if not self.at('"'):
                self._fail("Expecting property name enclosed in double quotes")
            key = self._value()
            self._take(":")
            if key != name:
                self._value()
            elif found is None:
                found = self.array()
            else:
                raise MalformedError(f"{self._what} has {name} twice", where=f"character {self._place}")
            if not self._has_next("}"):
                break
        self._take("}")
        if found is None:
            raise MalformedError(f"{self._what} is no list", expected=f"a list, or an object with {name}")
        return found

    def array(self) -> list[str]:
        if not self.at("["):
            raise MalformedError(f"{self._what} is no list", expected="a list", where=f"character {self._place}")
        self._take("[")
        found: list[str] = []
        while not self.at("]"):
            start = self._place
            self._place = self._end_of_value()
            found.append(self._text[start : self._place])
            check_size(self._what, len(found), self._max_items, "items")
            self._skip_space()
            if not self._has_next("]"):
                break
        self._take("]")
        return found

    def _has_next(self, closing: str) -> bool:
        """Step over a comma, which something follows; False if there is none."""
        if not self.at(","):
            return False
        self._take(",")
        if self.at(closing):
            self._fail("Expecting value")
        return True

    def _value(self) -> object:
        value, self._place = self._decoder.raw_decode(self._text, self._place)
        self._skip_space()
        return value

    def _end_of_value(self) -> int:
        return self._decoder.raw_decode(self._text, self._place)[1]

    def _take(self, character: str) -> None:
        if not self.at(character):
            self._fail(f"Expecting {character!r}")
        self._place += 1
        self._skip_space()

    def _skip_space(self) -> None:
        match = _SPACE.match(self._text, self._place)
        assert match is not None  # of no characters at the least
        self._place = match.end()

    def _fail(self, what: str) -> NoReturn:
        raise json.JSONDecodeError(what, self._text, self._place)
