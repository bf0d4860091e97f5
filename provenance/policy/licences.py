"""What well-known licences ask of whoever uses the data or passes something made from it on.

Invariants: an identifier that is not here is *not known*, never free of obligations; of an expression every part is
told, whatever joins them. This is no legal advice: it says which texts to read first.

Source: SPDX licence list; Creative Commons and Open Data Commons deeds; each licence's own text.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final


class Obligation(StrEnum):
    """Something a licence asks for, or does not allow."""

    ATTRIBUTION = "attribution"
    SHARE_ALIKE = "share alike"
    NON_COMMERCIAL = "no commercial use"
    NO_DERIVATIVES = "no derivatives"
    UNKNOWN = "not known"


_NONE: Final = ("CC0-1.0", "PDDL-1.0", "Unlicense", "0BSD", "MIT-0")
_ATTRIBUTION: Final = (
    "MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "ODC-By-1.0", "CDLA-Permissive-1.0", "OGL-UK-3.0",
)  # fmt: skip
_SHARE_ALIKE: Final = (
    "ODbL-1.0",
    "CDLA-Sharing-1.0",
    "GPL-2.0",
    "GPL-3.0",
    "AGPL-3.0",
    "LGPL-2.1",
    "LGPL-3.0",
    "MPL-2.0",
)
_WORD = re.compile(r"[A-Za-z0-9.:+-]+")
_CREATIVE_COMMONS = re.compile(r"CC-BY((?:-(?:NC|ND|SA))*)-[0-9]\.[0-9](?:-[A-Z]+)?")


def obligations(expression: str) -> dict[str, tuple[Obligation, ...]]:
    """What each licence of an SPDX expression asks for, by its identifier. Exceptions are left out."""
    found: dict[str, tuple[Obligation, ...]] = {}
    words = _WORD.findall(expression)
    for before, word in zip(["", *words], words, strict=False):
        if word not in ("AND", "OR", "WITH") and before != "WITH":
            found[word] = _of(word)
    return found


def allows(expression: str, allowed: frozenset[str]) -> bool:
    """Whether an SPDX expression can be met by licences that are allowed: one side of each OR, both of each AND.

    A licence with an exception is allowed as `LICENCE WITH EXCEPTION`. The expression is well formed.
    """
    words = re.findall(r"[()]|[^ ()]+", expression)
    # Shunting-yard: AND binds closer than OR; operands are already verdicts.
    rank = {"AND": 2, "OR": 1, "(": 0}
    values: list[bool] = []
    operators: list[str] = []

    def reduce() -> None:
        right, left = values.pop(), values.pop()
        values.append(left and right if operators.pop() == "AND" else left or right)

    place = 0
    while place < len(words):
        word = words[place]
        place += 1
        if word == "(":
            operators.append(word)
        elif word == ")":
            while operators[-1] != "(":
                reduce()
            operators.pop()
        elif word in rank:
            while operators and rank[operators[-1]] >= rank[word]:
                reduce()
            operators.append(word)
        elif words[place : place + 1] == ["WITH"]:
            values.append(f"{word} WITH {words[place + 1]}" in allowed)
            place += 2
        else:
            values.append(word in allowed)
    while operators:
        reduce()
    return values[0]


def _of(identifier: str) -> tuple[Obligation, ...]:
    base = identifier.removesuffix("+").removesuffix("-only").removesuffix("-or-later")
    if base in _NONE:
        return ()
    if base in _ATTRIBUTION or base == "CDLA-Permissive-2.0":
        return (Obligation.ATTRIBUTION,)
    if base in _SHARE_ALIKE:
        return (Obligation.ATTRIBUTION, Obligation.SHARE_ALIKE)
    if (match := _CREATIVE_COMMONS.fullmatch(base)) is not None:
        parts = {
            "SA": Obligation.SHARE_ALIKE, "NC": Obligation.NON_COMMERCIAL, "ND": Obligation.NO_DERIVATIVES
        }  # fmt: skip
        return (Obligation.ATTRIBUTION, *(parts[part] for part in match[1].split("-") if part))
    return (Obligation.UNKNOWN,)
