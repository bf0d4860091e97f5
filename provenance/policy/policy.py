"""A policy: what must hold of an artefact and all that went into it before somebody uses it.

Invariants: what a policy does not allow is denied: an unknown field of it is an error, a rule that cannot be evaluated
denies, and so does a rule that asks for something that is not there; the policy's digest is that of its file's bytes.

Bytes (YAML or JSON):

    format: urn:provenance-ledger:policy:1
    name: training
    minimumLevel: D2
    requiredLevel: {public: D1, restricted: D4}
    allowedLicenses: [CC0-1.0, MIT, Apache-2.0]
    forbiddenAncestors: [acme/scraped, "pirate/*"]
    maxAgeDays: 365
    acceptedChains: [1, 8453]
    requiredDetectors: [duplicates]
    trust: {sources: [{name: museum, pem: "..", status: trusted, namespaces: []}], logs: ["<vkey>"], anchors: [],
      blocks: [], witnesses: {keys: ["<vkey>", "<vkey>"], quorum: 1}}
    rules:
    - {id: european, expression: "ancestors.all(a, 'EU' in a.geography)", message: from Europe only}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from provenance.encoding import Digest, Fields, JsonValue
from provenance.encoding.yaml import parse_yaml
from provenance.errors import LimitError, MalformedError
from provenance.limits import MAX_JSON_DEPTH, MAX_TEXT_CHARS
from provenance.policy.levels import REQUIRED_LEVEL, Level, parse_level
from provenance.policy.trust import TrustRoots, read_trust
from provenance.statement import Sensitivity, parse_sensitivity
from provenance.statement.text import MAX_TITLE_CHARS, MAX_WORD_CHARS, check_word

FORMAT: Final = "urn:provenance-ledger:policy:1"
MAX_POLICY_BYTES: Final = 1 * 2**20
MAX_RULES: Final = 256
_MAX_LIST: Final = 1_000
_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]*/(?:\*|[a-z0-9][a-z0-9._-]*(?:@[A-Za-z0-9][A-Za-z0-9._+-]*)?)")


@dataclass(frozen=True, slots=True)
class Rule:
    """An expression over the evidence that must be true, and what to say if it is not."""

    id: str
    expression: str
    message: str


@dataclass(frozen=True, slots=True)
class Policy:
    """What must hold. None and empty lists ask for nothing, but for `allowed_licenses`: None allows any. `trust` stands
    in the place of what the ledger trusts; None leaves it at that."""

    name: str
    digest: Digest
    minimum: Level | None = None
    required: Mapping[Sensitivity, Level] = field(default_factory=lambda: dict(REQUIRED_LEVEL))
    allowed_licenses: frozenset[str] | None = None
    forbidden: tuple[str, ...] = ()
    max_age_days: int | None = None
    accepted_chains: frozenset[int] | None = None
    required_detectors: frozenset[str] = frozenset()
    rules: tuple[Rule, ...] = ()
    trust: TrustRoots | None = None

    def level_for(self, sensitivity: Sensitivity) -> Level:
        """The level that data of this sensitivity needs."""
        level = self.required[sensitivity]
        return level if self.minimum is None else max(level, self.minimum)

    def forbids(self, name: str) -> str | None:
        """The entry of `forbiddenAncestors` that this pinned name falls under; None if there is none."""
        plain, namespace = name.partition("@")[0], name.partition("/")[0]
        return next((one for one in self.forbidden if one in (name, plain, f"{namespace}/*")), None)


def parse_policy(data: bytes) -> Policy:
    """The policy in a file's bytes; `MalformedError` says what is wrong."""
    fields = Fields(_plain(parse_yaml(data, what="policy", max_bytes=MAX_POLICY_BYTES), 0), "policy")
    fields.constant("format", FORMAT)
    minimum = fields.optional_string("minimumLevel", max_chars=2)
    policy = Policy(
        name=fields.string("name", max_chars=MAX_TITLE_CHARS),
        digest=Digest.of(data),
        minimum=None if minimum is None else parse_level(minimum),
        required=_required(fields),
        allowed_licenses=_texts(fields, "allowedLicenses"),
        forbidden=tuple(sorted(_texts(fields, "forbiddenAncestors") or ())),
        max_age_days=fields.integer("maxAgeDays", minimum=1, maximum=36_500) if fields.has("maxAgeDays") else None,
        accepted_chains=_chains(fields),
        required_detectors=_detectors(fields),
        rules=_rules(fields),
        trust=_trust(fields),
    )
    fields.end()
    for pattern in policy.forbidden:
        if not _PATTERN.fullmatch(pattern):
            raise MalformedError("not an ancestor", expected="ns/name, ns/name@version or ns/*", got=pattern)
    return policy


def _plain(value: Any, depth: int) -> JsonValue:
    if depth > MAX_JSON_DEPTH:
        raise LimitError("policy is too deep", expected=f"at most {MAX_JSON_DEPTH} levels")
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise MalformedError("policy has a field that is no text", expected="text", where="policy")
        return {name: _plain(one, depth + 1) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one, depth + 1) for one in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise MalformedError("policy has a value of another kind", expected="what JSON has", got=type(value).__name__)


def _required(fields: Fields) -> dict[Sensitivity, Level]:
    levels = dict(REQUIRED_LEVEL)
    if not fields.has("requiredLevel"):
        fields.skip("requiredLevel")
        return levels
    value = fields.value("requiredLevel")
    if not isinstance(value, dict):
        raise MalformedError("requiredLevel is no object", expected="sensitivity: level")
    for word, level in value.items():
        levels[parse_sensitivity(word)] = parse_level(level if isinstance(level, str) else json.dumps(level))
    return levels


def _texts(fields: Fields, name: str) -> frozenset[str] | None:
    if not fields.has(name):
        fields.skip(name)
        return None
    texts: set[str] = set()
    for text in fields.array(name, max_items=_MAX_LIST):
        if not isinstance(text, str):
            raise MalformedError(f"{name} holds something that is no text", expected="text")
        texts.add(text)
    return frozenset(texts)


def _detectors(fields: Fields) -> frozenset[str]:
    names = _texts(fields, "requiredDetectors") or frozenset()
    for name in names:
        check_word(name, "detector")
    return names


def _chains(fields: Fields) -> frozenset[int] | None:
    if not fields.has("acceptedChains"):
        fields.skip("acceptedChains")
        return None
    chains: set[int] = set()
    for number in fields.array("acceptedChains", max_items=_MAX_LIST):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise MalformedError("not a chain id", expected="a positive integer", got=json.dumps(number))
        chains.add(number)
    return frozenset(chains)


def _trust(fields: Fields) -> TrustRoots | None:
    if not fields.has("trust"):
        fields.skip("trust")
        return None
    return read_trust(fields.object("trust"))


def _rules(fields: Fields) -> tuple[Rule, ...]:
    if not fields.has("rules"):
        fields.skip("rules")
        return ()
    rules: list[Rule] = []
    for item in fields.array("rules", max_items=MAX_RULES):
        one = Fields(item, "policy.rules")
        rule = Rule(
            one.string("id", max_chars=MAX_WORD_CHARS),
            one.string("expression", max_chars=MAX_TEXT_CHARS),
            one.string("message", max_chars=MAX_TITLE_CHARS),
        )
        one.end()
        check_word(rule.id, "rule's id")
        if any(rule.id == other.id for other in rules):
            raise MalformedError("rule is there twice", got=rule.id)
        rules.append(rule)
    return tuple(rules)
