"""Licences as SPDX expressions: their form, not the list of identifiers, which grows without us.

Invariants: what is accepted derives from the grammar of the SPDX specification 2.3, annex D (AND, OR and WITH in
capitals); time is linear in the length of the text.

    MIT    Apache-2.0+    LicenseRef-Mine    DocumentRef-x:LicenseRef-y    (MIT OR GPL-2.0-only WITH x-exception)
"""

from __future__ import annotations

import re
from typing import Final

from provenance.errors import MalformedError

_WORD = re.compile(r"[()]|[^ ()]+")
_LICENSE = re.compile(
    r"(?:DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+"
    r"|(?!LicenseRef-|DocumentRef-)[A-Za-z0-9.-]+\+?"
)
_EXCEPTION = re.compile(r"[A-Za-z0-9.-]+")
_OPERATORS: Final = ("AND", "OR", "WITH")
_HINT = (
    "identifiers as MIT or CC0-1.0 (spdx.org/licenses), LicenseRef-NAME for one of your own; AND, OR and WITH in "
    "capitals between them"
)


def check_license(text: str) -> None:
    """Raise `MalformedError` unless `text` is an SPDX licence expression."""
    problem = _problem(_WORD.findall(text))
    if problem is not None:
        raise MalformedError(f"not a licence: {problem}", expected="an SPDX licence expression", got=text, hint=_HINT)


def _problem(words: list[str]) -> str | None:
    """What is wrong with the expression, or None. `before` is the kind of the word before."""
    depth, before = 0, "start"
    for word in words:
        wants_operand = before in ("start", "(", "AND", "OR")
        if word == "(" and wants_operand:
            depth, before = depth + 1, "("
        elif word == ")" and depth and not wants_operand and before != "WITH":
            depth, before = depth - 1, ")"
        elif word in _OPERATORS and before in ("licence", "exception", ")"):
            if word == "WITH" and before != "licence":
                return "WITH stands behind one licence only"
            before = word
        elif before == "WITH" and word not in _OPERATORS and _EXCEPTION.fullmatch(word):
            before = "exception"
        elif wants_operand and word not in _OPERATORS and _LICENSE.fullmatch(word):
            before = "licence"
        else:
            return f"{word!a} does not belong there"
    if before not in ("licence", "exception", ")"):
        return "it ends too early" if words else "it is empty"
    return "a bracket is not closed" if depth else None
