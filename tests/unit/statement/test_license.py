"""SPDX expressions: what the grammar gives is accepted, and nothing else, against a naive parser of the same rules."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.errors import MalformedError
from provenance.statement.license import check_license

GOOD = (
    "MIT",
    "Apache-2.0+",
    "CC0-1.0",
    "NOASSERTION",
    "LicenseRef-My.Own-1",
    "DocumentRef-spdx-tool-1.2:LicenseRef-MIT-Style-2",
    "MIT AND Apache-2.0",
    "MIT OR (GPL-2.0-only WITH Bison-exception-2.2 AND X11)",
    "((MIT))",
    "( MIT )  OR  X11",
    "GPL-2.0+ WITH Classpath-exception-2.0 OR MIT",
)
BAD = (
    "", " ", "my own", "MIT AND (", "MIT AND", "AND", "WITH", "AND MIT", "MIT and X11", "MIT or X11", "MIT, X11", "()",
    "MIT OR OR X11", "(MIT", "MIT)", ")MIT(", "(MIT) X11", "MIT (X11)", "MIT +", "MIT++", "+", "DocumentRef-x:MIT",
    "LicenseRef-", "LicenseRef-x+", "DocumentRef-x", "x:y", "MIT WITH", "MIT WITH AND", "MIT WITH (x)", "(MIT) WITH x",
    "MIT WITH x WITH y", "MIT WITH x+", "WITH x", "(MIT WITH)", "(AND)", "MIT\n", "MIT\tOR X11", "M\u00efT",
    "https://example.com/licence", "\x1b[31m", "MIT/X11", "M_T", "\ud800",
)  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_expressions(text: str) -> None:
    check_license(text)


@pytest.mark.parametrize("text", BAD, ids=ascii)
def test_what_is_none(text: str) -> None:
    with pytest.raises(MalformedError) as caught:
        check_license(text)
    assert caught.value.hint is not None
    assert "SPDX" in caught.value.message


def naive(text: str) -> bool:
    """Whether rewriting by the rules of the grammar, in any order, leaves one expression."""
    kinds = []
    for token in text.split():
        if token in ("AND", "OR", "WITH", "(", ")"):
            kinds.append({"AND": "o", "OR": "o", "WITH": "w"}.get(token, token))
        else:
            kinds.append("p" if token.endswith("+") else "i")
    rules = ((r"[ip]wi(?!w)", "e"), (r"[ip](?!w)", "e"), (r"eoe", "e"), (r"\(e\)", "e"))
    found = "".join(kinds)
    for pattern, kind in rules[:2]:
        found = re.sub(pattern, kind, found)
    while True:
        reduced = re.sub(rules[2][0], "e", re.sub(rules[3][0], "e", found))
        if reduced == found:
            return found == "e"
        found = reduced


@given(st.lists(st.sampled_from(["MIT", "X11+", "AND", "OR", "WITH", "(", ")"]), max_size=12).map(" ".join))
def test_against_a_naive_parser(text: str) -> None:
    try:
        check_license(text)
        accepted = True
    except MalformedError:
        accepted = False
    assert accepted == naive(text)


def test_depth_costs_nothing() -> None:
    check_license("(" * 50_000 + "MIT" + ")" * 50_000)
    with pytest.raises(MalformedError):
        check_license("(" * 50_000)
