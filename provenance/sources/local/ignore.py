"""Ignore rules: which files of a folder are no part of the dataset.

Invariants: the rules are those of `.gitignore`, read from the dataset's top folder alone: one a line; empty lines and
lines that begin with `#` say nothing; the last rule that fits decides, `!` takes a file back in; a rule with a slash
before its end starts at the top, any other fits at every depth; a slash at the end means folders; `*` and `?` stop at
slashes, `**` as a whole part of the path does not; `[a-z]` and `[!a-z]` are one character; a backslash takes the next
character as it is. A folder that is left out is not entered, so nothing in it can be taken back in. Matching takes time
proportional to rule times name, whatever the rule.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from provenance.errors import MalformedError

IGNORE_FILE: Final = ".provenanceignore"
MAX_IGNORE_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its path's parts, each a list of tokens, or None for `**`."""

    text: str
    takes_back: bool
    folders_only: bool
    parts: tuple[tuple[str, ...] | None, ...]


class IgnoreRules:
    """Rules in order. False if there are none."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.rules = tuple(rule for rule in map(parse_rule, lines) if rule is not None)

    @property
    def texts(self) -> tuple[str, ...]:
        """The rules as they were written, without what says nothing."""
        return tuple(rule.text for rule in self.rules)

    def __bool__(self) -> bool:
        return bool(self.rules)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IgnoreRules) and self.rules == other.rules

    def __hash__(self) -> int:
        return hash(self.rules)

    def leaves_out(self, path: str, *, is_folder: bool) -> bool:
        """Whether the last rule that fits `path`, relative with `/`, leaves it out."""
        names = path.split("/")
        for rule in reversed(self.rules):
            if (is_folder or not rule.folders_only) and _fits(rule.parts, names):
                return not rule.takes_back
        return False


def join_rules(own: Iterable[str], more: Iterable[str]) -> IgnoreRules:
    """The rules of an ignore file, then `more`. Where `more` begins with all of the file's own, as what a statement
    recorded does, they are not said twice."""
    first, second = IgnoreRules(own), IgnoreRules(more)
    if second.rules[: len(first.rules)] == first.rules:
        return second
    return IgnoreRules([*first.texts, *second.texts])


def parse_lines(data: bytes) -> list[str]:
    """The lines of an ignore file. `MalformedError` unless it is UTF-8: a statement could not say what applied."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedError("ignore file is not UTF-8", expected="UTF-8", got=f"byte {error.start}") from error
    # A line ends in a newline and in nothing else that Unicode may call a line's end.
    return [line.removesuffix("\r") for line in text.split("\n")]


def parse_rule(line: str) -> Rule | None:
    """The rule on a line; None if the line says nothing."""
    text = _without_trailing_spaces(line)
    if not text or text.startswith("#"):
        return None
    takes_back = text.startswith("!")
    pattern = text[1:] if takes_back else text
    folders_only = pattern.endswith("/") and not pattern.endswith("\\/")
    pattern = pattern.removesuffix("/") if folders_only else pattern
    if not pattern:
        return None
    anchored = "/" in pattern
    names = pattern.removeprefix("/").split("/")
    parts: list[tuple[str, ...] | None] = [None] if not anchored else []
    for name in names:
        part = None if len(name) > 1 and not name.strip("*") else _tokens(name)
        if part is not None or not parts or parts[-1] is not None:
            parts.append(part)
    return Rule(text, takes_back, folders_only, tuple(parts))


_NOTHING: Final = "[]"
"""A class that never ends: it fits nothing."""
_NAMED: Final = re.compile(r"\[:([a-z]*):\]")
_CLASSES: Final = {
    "alnum": string.ascii_letters + string.digits,
    "alpha": string.ascii_letters,
    "blank": " \t",
    "cntrl": "".join(map(chr, range(32))) + "\x7f",
    "digit": string.digits,
    "graph": string.ascii_letters + string.digits + string.punctuation,
    "lower": string.ascii_lowercase,
    "print": string.ascii_letters + string.digits + string.punctuation + " ",
    "punct": string.punctuation,
    "space": " \t\n\r\v\f",
    "upper": string.ascii_uppercase,
    "xdigit": string.hexdigits,
}


def _without_trailing_spaces(line: str) -> str:
    stripped = line.rstrip(" ")
    slashes = len(stripped) - len(stripped.rstrip("\\"))
    return stripped + " " if slashes % 2 and len(stripped) < len(line) else stripped


def _tokens(name: str) -> tuple[str, ...]:
    """A part as tokens: `*`, `?`, a class as `[...]`, or `=` and one character."""
    tokens: list[str] = []
    place = 0
    while place < len(name):
        character = name[place]
        if character == "*":
            if not tokens or tokens[-1] != "*":
                tokens.append("*")
        elif character == "?":
            tokens.append("?")
        elif character == "\\" and place + 1 < len(name):
            place += 1
            tokens.append(f"={name[place]}")
        elif character == "[":
            end = _class_end(name, place)
            tokens.append(name[place : end + 1] if end else _NOTHING)
            place = end or len(name)
        else:
            tokens.append(f"={character}")
        place += 1
    return tuple(tokens)


def _class_end(name: str, start: int) -> int:
    """Where a class ends; 0 if it does not."""
    place = start + 1
    if name[place : place + 1] in ("!", "^"):
        place += 1
    first = place
    while place < len(name):
        if name[place] == "]" and place > first:
            return place
        named = _NAMED.match(name, place)
        place = named.end() if named is not None else place + (2 if name[place] == "\\" else 1)
    return 0


def _fits(parts: Sequence[tuple[str, ...] | None], names: Sequence[str]) -> bool:
    """Whether the parts fit all the names. `**` at the end fits everything inside, and not the folder itself."""
    reached = {0}
    for position, part in enumerate(parts):
        if part is None:
            low = min(reached)
            last = position == len(parts) - 1
            reached = set(range(low + 1 if last else low, len(names) + 1 if last else len(names)))
        else:
            reached = {place + 1 for place in reached if place < len(names) and _fits_name(part, names[place])}
        if not reached:
            return False
    return len(names) in reached


def _fits_name(tokens: Sequence[str], name: str) -> bool:
    """Wildcards with one place to go back to: the last `*`."""
    place = step = 0
    star, resume = -1, 0
    while place < len(name):
        if step < len(tokens) and tokens[step] == "*":
            star, resume = step, place
            step += 1
        elif step < len(tokens) and _fits_character(tokens[step], name[place]):
            step += 1
            place += 1
        elif star >= 0:
            resume += 1
            step, place = star + 1, resume
        else:
            return False
    return all(left == "*" for left in tokens[step:])


def _fits_character(step: str, character: str) -> bool:
    if step == "?":
        return True
    if step.startswith("="):
        return step[1:] == character
    return _in_class(step[1:-1], character)


def _in_class(inner: str, character: str) -> bool:
    negated = inner[:1] in ("!", "^")
    found = False

    def named(match: re.Match[str]) -> str:
        nonlocal found
        found = found or character in _CLASSES.get(match[1], "")
        return ""

    rest = inner[1:] if negated else inner
    if any(match[1] not in _CLASSES for match in _NAMED.finditer(rest)):
        return False  # as in git: a class that nobody knows fits nothing
    rest = _NAMED.sub(named, rest)
    members = [match[1] or match[0] for match in re.finditer(r"\\(.)|.", rest, re.DOTALL)]
    place = 0
    while place < len(members):
        if place + 2 < len(members) and members[place + 1] == "-":
            found = found or members[place] <= character <= members[place + 2]
            place += 3
        else:
            found = found or members[place] == character
            place += 1
    return found != negated
