"""The decision of a policy on an artefact, by its audit; and that decision in forms that pipelines read.

Invariants: every rule of the policy is decided, each with a reason; an error in a rule denies; nothing is allowed that
a check failed for; time is an argument.

Source: Common Expression Language; JUnit XML as CI systems read it; SARIF 2.1.0 (OASIS).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from provenance.encoding import Digest, JsonValue
from provenance.errors import printable
from provenance.policy.licences import allows
from provenance.policy.policy import Policy, Rule
from provenance.statement import Sensitivity
from provenance.statement.run import Run
from provenance.statement.verdict import MAX_ATTESTATIONS, Verdict, VerdictResult
from provenance.verify.audit import Audit, AuditItem
from provenance.verify.evidence import Evidence
from provenance.verify.report import worst

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What came of one rule, and about which artefact."""

    rule: str
    about: str
    allowed: bool
    reason: str

    def to_json(self) -> JsonValue:
        """The ruling as a JSON value."""
        return {"rule": self.rule, "about": self.about, "allowed": self.allowed, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy decides about an artefact: allowed if every ruling allows it."""

    target: str
    digest: str
    policy: Policy
    level: str | None
    rulings: tuple[Ruling, ...]
    entry: int | None = None
    """The log entry that says so, if there is one."""

    @property
    def allowed(self) -> bool:
        """Whether it may be used."""
        return bool(self.rulings) and all(one.allowed for one in self.rulings)

    @property
    def denials(self) -> tuple[Ruling, ...]:
        """The rulings that deny it."""
        return tuple(one for one in self.rulings if not one.allowed)

    def to_json(self) -> dict[str, JsonValue]:
        """The decision as a JSON value."""
        return {
            "target": self.target,
            "digest": {"sha256": self.digest},
            "allowed": self.allowed,
            "level": self.level,
            "policy": {"name": self.policy.name, "digest": {"sha256": self.policy.digest.hex}},
            "rulings": [one.to_json() for one in self.rulings],
            **({"entry": self.entry} if self.entry is not None else {}),
        }


def verdict(decision: Decision, audit: Audit, evidence: Evidence, now: datetime) -> Verdict:
    """What is signed of a decision on this audit, which is of this evidence: at a time in UTC."""
    return Verdict(
        result=VerdictResult.PASSED if decision.allowed else VerdictResult.FAILED,
        policy=decision.policy.digest,
        artefact=Digest.from_hex(audit.report.digest),
        verified=now.strftime(_TIME),
        levels=(f"PROVENANCE_{decision.level}",) if decision.level is not None else (),
        attestations=tuple(entry.digest for entry in evidence.entries[:MAX_ATTESTATIONS]),
    )


def refused(target: str, policy: Policy, reason: str) -> Decision:
    """The decision on something that no evidence can be had of."""
    return Decision(target, "", policy, None, (Ruling("evidence", target, False, reason),))


def decide(policy: Policy, audit: Audit, now: datetime) -> Decision:
    """What the policy decides at a time in UTC."""
    report = audit.report
    rulings = [*_checks(audit), *_level(policy, audit), *_licences(policy, audit), *_ancestors(policy, audit)]
    rulings += [*_chain(policy, audit), *_age(policy, audit, now), *_looked(policy, audit)]
    facts = audit_facts(audit, now) if policy.rules else {}
    rulings += [_rule(rule, report.target, facts) for rule in policy.rules]
    level = report.level.name if report.level is not None else None
    return Decision(report.target, report.digest, policy, level, tuple(rulings))


def _checks(audit: Audit) -> Iterable[Ruling]:
    failures = audit.report.failures
    if not failures:
        yield Ruling("checks", audit.report.target, audit.report.sound, "no check failed")
    for check in failures:
        yield Ruling("checks", check.subject, False, f"{check.id}: {check.note}")


def _level(policy: Policy, audit: Audit) -> Iterable[Ruling]:
    needed = policy.level_for(audit.sensitivity)
    reached = audit.report.level
    name = reached.name if reached is not None else "none"
    lacks = f", lacks {', '.join(audit.report.missing)}" if audit.report.missing else ""
    reason = f"level {name}, {needed.name} is needed for {audit.sensitivity} data"
    is_enough = reached is not None and reached >= needed
    yield Ruling("level", audit.report.target, is_enough, reason if is_enough else reason + lacks)


def _licences(policy: Policy, audit: Audit) -> Iterable[Ruling]:
    if policy.allowed_licenses is None:
        return
    for item in audit.items:
        licence = item.statement.license
        if licence is None:
            yield Ruling("license", item.name, False, "no licence is declared")
        else:
            is_allowed = allows(licence, policy.allowed_licenses)
            yield Ruling("license", item.name, is_allowed, f"{licence} is {'' if is_allowed else 'not '}allowed")


def _ancestors(policy: Policy, audit: Audit) -> Iterable[Ruling]:
    if not policy.forbidden:
        return
    names = dict.fromkeys(
        [*(a.name for a in audit.report.artefacts), *(p for a in audit.report.artefacts for p in a.parents)]
    )
    hits = [(name, pattern) for name in names if (pattern := policy.forbids(name)) is not None]
    for name, pattern in hits:
        yield Ruling("ancestor", name, False, f"{pattern} is forbidden")
    if not hits:
        yield Ruling("ancestor", audit.report.target, True, f"none of {len(names)} artefacts is forbidden")


def _chain(policy: Policy, audit: Audit) -> Iterable[Ruling]:
    if policy.accepted_chains is None:
        return
    target, bound = audit.report.target, audit.report.not_after
    if bound is None or bound.chain_id is None:
        yield Ruling("chain", target, False, "no final anchor is at hand")
        return
    chain, is_accepted = bound.chain_id, bound.chain_id in policy.accepted_chains
    yield Ruling("chain", target, is_accepted, f"anchored on chain {chain}" + ("" if is_accepted else ", not accepted"))


def _looked(policy: Policy, audit: Audit) -> Iterable[Ruling]:
    found = audit.items[0].detectors if audit.items else ()
    for name in sorted(policy.required_detectors):
        reason = f"detector {name} looked at it" if name in found else f"nobody but its registrant says that {name} ran"
        yield Ruling("detector", audit.report.target, name in found, reason)


def _age(policy: Policy, audit: Audit, now: datetime) -> Iterable[Ruling]:
    if policy.max_age_days is None:
        return
    for item in audit.items:
        made = datetime.strptime(item.statement.created, _TIME).replace(tzinfo=UTC)
        days = (now - made) / timedelta(days=1)
        reason = f"{max(days, 0):.0f} days old by its signer's clock, {policy.max_age_days} are allowed"
        if days < -1:
            reason = f"said to be made {-days:.0f} days from now, by its signer's clock"
        yield Ruling("age", item.name, -1 <= days <= policy.max_age_days, reason)


def _rule(rule: Rule, target: str, facts: dict[str, Any]) -> Ruling:
    from cel import evaluate

    try:
        value = evaluate(rule.expression, facts)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no yes
        return Ruling(rule.id, target, False, f"{rule.message} (it cannot be decided: {type(error).__name__})")
    if value is not True:
        return Ruling(rule.id, target, False, rule.message + ("" if value is False else " (it gives no yes or no)"))
    return Ruling(rule.id, target, True, rule.message)


def audit_facts(audit: Audit, now: datetime) -> dict[str, Any]:
    """What rules speak about: `target`, `ancestors`, `checks`, `now`."""
    statuses: dict[str, list[Any]] = {}
    for check in audit.report.checks:
        if check.subject == audit.report.target:
            statuses.setdefault(check.id, []).append(check.status)
    target, *ancestors = [_item_facts(item) for item in audit.items] or [{}]
    level = audit.report.level
    return {
        "target": {**target, "level": -1 if level is None else int(level)},
        "ancestors": ancestors,
        "checks": {name: str(worst(some)) for name, some in statuses.items()},
        "openFindings": len(audit.open_findings()),
        "now": now.strftime(_TIME),
    }


def _item_facts(item: AuditItem) -> dict[str, Any]:
    statement = item.statement
    facts: dict[str, Any] = {
        "name": item.name,
        "namespace": statement.name.dataset.namespace,
        "kind": str(statement.kind),
        "digest": item.artefact.digest,
        "status": str(item.artefact.status),
        "signer": item.artefact.signer,
        "sensitivity": list(Sensitivity).index(statement.sensitivity),
        "created": statement.created,
        "files": statement.fingerprint.file_count,
        "totalBytes": statement.fingerprint.total_bytes,
        "geography": list(statement.standards.origin_geography),
        "runs": sum(isinstance(one.body, Run) for one in item.remarks),
        "tests": item.passed_results,
        "reviews": item.approvals,
        "detectors": list(item.detectors),
    }
    # What nobody says is not there: a rule that asks for it denies.
    optional: dict[str, Any] = {
        "license": statement.license,
        "origin": statement.origin,
        "personalData": statement.standards.personal_data,
        "basis": statement.standards.basis and str(statement.standards.basis),
        "method": statement.standards.method and str(statement.standards.method),
    }
    return {**facts, **{name: value for name, value in optional.items() if value is not None}}


def junit(decisions: Sequence[Decision]) -> str:
    """The decisions as JUnit XML: a suite an artefact, a case a ruling."""
    suites = []
    for one in decisions:
        cases = [_case(one, ruling) for ruling in one.rulings]
        counts = f'tests="{len(one.rulings)}" failures="{len(one.denials)}"'
        suites.append(f"<testsuite name={_attribute(one.target)} {counts}>{''.join(cases)}</testsuite>")
    return '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>' + "\n".join(suites) + "</testsuites>\n"


def _case(decision: Decision, ruling: Ruling) -> str:
    name = _attribute(f"{decision.policy.name}: {ruling.rule}")
    head = f"<testcase classname={_attribute(ruling.about)} name={name}"
    if ruling.allowed:
        return head + "/>"
    return (
        f"{head}><failure message={_attribute(ruling.reason)}>{escape(printable(ruling.reason))}</failure></testcase>"
    )


def _attribute(text: str) -> str:
    """The text as an attribute of XML 1.0, in which most control characters cannot be written at all."""
    return quoteattr(printable(text))


def sarif(decisions: Sequence[Decision], version: str) -> str:
    """The denials as SARIF 2.1.0."""
    ids = dict.fromkeys(ruling.rule for one in decisions for ruling in one.rulings)
    results: list[JsonValue] = [
        {
            "ruleId": ruling.rule,
            "level": "error",
            "message": {"text": f"{ruling.about}: {ruling.reason}"},
            "locations": [{"logicalLocations": [{"fullyQualifiedName": ruling.about, "kind": "resource"}]}],
            "properties": {"target": one.target, "policy": one.policy.digest.hex},
        }
        for one in decisions
        for ruling in one.denials
    ]
    driver: dict[str, JsonValue] = {
        "name": "provenance",
        "version": version,
        "rules": [{"id": name, "shortDescription": {"text": f"policy rule {name}"}} for name in ids],
    }
    value: JsonValue = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    return json.dumps(value, indent=1) + "\n"
