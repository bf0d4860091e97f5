"""Policies: read from YAML and JSON, and everything else refused; licences against an oracle."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from provenance.encoding import Digest
from provenance.errors import LimitError, MalformedError
from provenance.policy import Level
from provenance.policy.licences import Obligation, allows, obligations
from provenance.policy.policy import FORMAT, MAX_POLICY_BYTES, Rule, parse_policy
from provenance.statement import Sensitivity

NOBODY: dict[str, Any] = {"sources": [], "logs": [], "anchors": [], "blocks": []}
TEXT = b"""format: urn:provenance-ledger:policy:1
name: training
minimumLevel: D2
requiredLevel: {public: D1, restricted: D4}
allowedLicenses: [CC0-1.0, MIT]
forbiddenAncestors: [acme/scraped, "pirate/*", a/b@1]
maxAgeDays: 365
acceptedChains: [1, 8453]
rules:
- {id: reviewed, expression: target.reviews > 0, message: reviewed by somebody}
"""


def test_a_policy_says_what_must_hold() -> None:
    policy = parse_policy(TEXT)
    assert (policy.name, policy.digest) == ("training", Digest.of(TEXT))
    assert [policy.level_for(word) for word in Sensitivity] == [Level.D2, Level.D2, Level.D3, Level.D4]
    assert policy.allowed_licenses == frozenset(("CC0-1.0", "MIT"))
    assert policy.accepted_chains == frozenset((1, 8453))
    assert policy.rules == (Rule("reviewed", "target.reviews > 0", "reviewed by somebody"),)
    assert [policy.forbids(name) for name in ("acme/scraped@7", "pirate/x@1", "a/b@1", "a/b@2", "acme/other@1")] == [
        "acme/scraped", "pirate/*", "a/b@1", None, None,
    ]  # fmt: skip


def test_a_policy_that_says_two_things_is_refused() -> None:
    for text in (TEXT + b"minimumLevel: D0\n", b'{"format": "x", "format": "%s", "name": "x"}' % FORMAT.encode()):
        with pytest.raises(MalformedError, match="twice"):
            parse_policy(text)


def test_json_is_yaml() -> None:
    assert parse_policy(json.dumps({"format": FORMAT, "name": "x"}).encode()).rules == ()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"format": "x"}, "another value"),
        ({"name": None}, "wrong type"),
        ({"more": 1}, "unknown field"),
        ({"trust": 3}, "not an object"),
        ({"trust": {"logs": []}}, "lacks a field"),
        ({"trust": {**NOBODY, "more": 1}}, "unknown field"),
        ({"trust": {**NOBODY, "witnesses": {"keys": [], "quorum": 1}}}, "cannot be met"),
        ({"minimumLevel": "D9"}, "unknown level"),
        ({"requiredLevel": {"secret": "D1"}}, "unknown sensitivity"),
        ({"requiredLevel": {"public": 1}}, "unknown level"),
        ({"allowedLicenses": [1]}, "no text"),
        ({"forbiddenAncestors": ["*/x"]}, "not an ancestor"),
        ({"maxAgeDays": 0}, "out of range"),
        ({"acceptedChains": ["1"]}, "not a chain id"),
        ({"requiredDetectors": ["Bad Name"]}, "detector"),
        ({"rules": [{"id": "x", "expression": "true"}]}, "lacks a field"),
        ({"rules": [{"id": "x", "expression": "true", "message": "m"}] * 2}, "twice"),
    ],
)
def test_what_is_ill_formed_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(MalformedError, match=said):
        parse_policy(json.dumps({"format": FORMAT, "name": "x", **wrong}).encode())


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff", b"a: [", b"a: &x 1\nb: *x", b"!!python/object/apply:os.system [true]", b"1: 2", b"- 1",
     b"a: 2020-01-01",
     b"[" * 5000, b"{a: " * 400 + b"1" + b"}" * 400],
)  # fmt: skip
def test_hostile_yaml_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_policy(text)


def test_a_policy_has_a_limit() -> None:
    with pytest.raises(LimitError):
        parse_policy(b"#" * (MAX_POLICY_BYTES + 1))


@pytest.mark.parametrize(
    "expression",
    ["A", "A AND B", "A OR B", "A AND B OR C", "A OR B AND C", "(A OR B) AND C", "A AND (B OR C)", "((A))"],
)
def test_an_expression_is_met_as_python_would(expression: str) -> None:
    for count in range(4):
        for allowed in itertools.combinations("ABC", count):
            words = expression.replace("AND", "and").replace("OR", "or")
            expected = eval(words, {name: name in allowed for name in "ABC"})
            assert allows(expression, frozenset(allowed)) == expected


def test_an_exception_is_part_of_a_licence() -> None:
    assert not allows("GPL-2.0-only WITH Classpath-exception-2.0", frozenset({"GPL-2.0-only"}))
    assert allows("MIT OR GPL-2.0-only WITH x", frozenset({"GPL-2.0-only WITH x"}))


def test_obligations_are_those_of_the_licence() -> None:
    asked, alike = Obligation.ATTRIBUTION, Obligation.SHARE_ALIKE
    assert obligations("CC0-1.0") == {"CC0-1.0": ()}
    assert obligations("CC-BY-NC-SA-4.0") == {"CC-BY-NC-SA-4.0": (asked, Obligation.NON_COMMERCIAL, alike)}
    assert obligations("MIT OR (GPL-3.0-or-later WITH x AND LicenseRef-Mine)") == {
        "MIT": (asked,),
        "GPL-3.0-or-later": (asked, alike),
        "LicenseRef-Mine": (Obligation.UNKNOWN,),
    }
