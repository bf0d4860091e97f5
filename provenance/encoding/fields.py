"""Typed reading of a parsed JSON object.

Invariants: every field is read with its type and limit; a missing, extra or ill-typed field is a `MalformedError`
that names the object and the field.
"""

from __future__ import annotations

from provenance.encoding.digest import Digest, b64decode
from provenance.encoding.json import JsonValue
from provenance.errors import MalformedError
from provenance.limits import MAX_SAFE_INTEGER, MAX_TEXT_CHARS, check_size


class Fields:
    """One JSON object being read. Call `end` last: what was not read is refused."""

    __slots__ = ("_object", "_unread", "_what")

    def __init__(self, value: JsonValue, what: str) -> None:
        if not isinstance(value, dict):
            raise MalformedError(f"{what} is not an object", expected="a JSON object", got=_type_name(value))
        self._object, self._what = value, what
        self._unread = set(value)

    def __contains__(self, name: str) -> bool:
        """Whether the field is there, null or not."""
        return name in self._object

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._object.get(name) is not None

    def value(self, name: str) -> JsonValue:
        """The field's value, whatever it is; `MalformedError` if it is missing."""
        if name not in self._object:
            raise MalformedError(f"{self._what} lacks a field", expected=name, where=self._what)
        self._unread.discard(name)
        return self._object[name]

    def skip(self, name: str) -> None:
        """Accept the field, present or not, without reading it."""
        self._unread.discard(name)

    def string(self, name: str, *, max_chars: int = MAX_TEXT_CHARS, min_chars: int = 1) -> str:
        """A string of `min_chars` to `max_chars` characters."""
        value = self.value(name)
        if not isinstance(value, str):
            raise self._wrong(name, "a string", value)
        check_size(self._at(name), len(value), max_chars, "characters")
        if len(value) < min_chars:
            raise MalformedError(f"{self._at(name)} is empty", expected="text")
        return value

    def optional_string(self, name: str, *, max_chars: int = MAX_TEXT_CHARS) -> str | None:
        """A string, or None where the field is missing or null."""
        if not self.has(name):
            self._unread.discard(name)
            return None
        return self.string(name, max_chars=max_chars)

    def constant(self, name: str, expected: str) -> str:
        """The one string that this field may hold."""
        value = self.value(name)
        if value != expected:
            raise MalformedError(f"{self._at(name)} has another value", expected=expected, got=value)
        return expected

    def integer(self, name: str, *, minimum: int = 0, maximum: int = MAX_SAFE_INTEGER) -> int:
        """An integer from `minimum` to `maximum`; 1.0 and true are no integers."""
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(name, "an integer", value)
        if not minimum <= value <= maximum:
            raise MalformedError(f"{self._at(name)} is out of range", expected=f"{minimum} to {maximum}", got=value)
        return value

    def boolean(self, name: str) -> bool:
        """true or false."""
        value = self.value(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return value

    def digest(self, name: str) -> Digest:
        """64 lower-case hex digits as a `Digest`."""
        return Digest.from_hex(self.value(name), what=self._at(name))

    def only_name(self) -> str:
        """The name of the object's one field; `MalformedError` if it has none or several."""
        if len(self._object) != 1:
            got = f"{len(self._object)} fields"
            raise MalformedError(f"{self._what} must have one field", expected="exactly one", got=got)
        return next(iter(self._object))

    def digest_set(self, name: str) -> Digest:
        """An in-toto digest set that holds `sha256` and nothing else."""
        inner = self.object(name)
        digest = inner.digest("sha256")
        inner.end()
        return digest

    def base64(self, name: str, *, max_bytes: int) -> bytes:
        """Canonical base64 as bytes."""
        return b64decode(self.value(name), what=self._at(name), max_bytes=max_bytes)

    def array(self, name: str, *, max_items: int) -> list[JsonValue]:
        """A list of at most `max_items` values."""
        value = self.value(name)
        if not isinstance(value, list):
            raise self._wrong(name, "a list", value)
        check_size(self._at(name), len(value), max_items, "items")
        return value

    def object(self, name: str) -> Fields:
        """The object in this field, for reading in turn."""
        return Fields(self.value(name), self._at(name))

    def end(self) -> None:
        """Refuse every field that was not read."""
        if self._unread:
            raise MalformedError(f"{self._what} has an unknown field", got=sorted(self._unread)[0], where=self._what)

    def _at(self, name: str) -> str:
        return f"{self._what}.{name}"

    def _wrong(self, name: str, expected: str, value: JsonValue) -> MalformedError:
        return MalformedError(f"{self._at(name)} has the wrong type", expected=expected, got=_type_name(value))


def _type_name(value: object) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "a boolean",
        int: "an integer",
        float: "a number",
    }
    return "null" if value is None else names.get(type(value), type(value).__name__)
