"""The audit of an artefact: everything that went into it, what is known of each, and what is not.

Invariants: it says nothing that the evidence does not; each line names the log entries that say so, or says that there
is none; what was said by keys that do not count is not in it; the same evidence gives the same audit.
"""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from provenance.encoding import Digest, JsonValue
from provenance.errors import ProvenanceError
from provenance.policy import Status, TrustRoots
from provenance.policy.licences import Obligation, obligations
from provenance.signature import parse_envelope
from provenance.statement import DatasetStatement, Sensitivity, parse_statement
from provenance.statement.events import Body, event_noun
from provenance.statement.quality import Quality
from provenance.statement.run import Run
from provenance.verify.entry_checks import EntryVerifier
from provenance.verify.event_checks import (
    EventVerdict,
    Registrant,
    approvals,
    detectors,
    judge_events,
    passed_results,
    unsettled_findings,
)
from provenance.verify.evidence import BlockFinding, Evidence
from provenance.verify.key_checks import KeyRemark, key_facts, key_remarks, read_key_words, with_key_revocations
from provenance.verify.report import Artefact, Report


@dataclass(frozen=True, slots=True)
class Remark:
    """Something said of an artefact that counts: what, by whom, in which log entry."""

    body: Body
    index: int
    signer: str

    @property
    def noun(self) -> str:
        """`run`, `review`, `finding`."""
        return event_noun(self.body.TYPE)

    @property
    def words(self) -> str:
        """What it says, for people: its plain texts, and of a run the step and the command."""
        if isinstance(self.body, Run):
            return f"step {self.body.step}: {shlex.join(self.body.command) or 'a program'}"
        return ", ".join(f"{name} {value}" for name, value in self.body.to_json().items() if isinstance(value, str))

    def to_json(self) -> JsonValue:
        """The remark as a JSON value."""
        return {"type": self.noun, "entry": self.index, "signer": self.signer, "says": self.body.to_json()}


@dataclass(frozen=True, slots=True)
class AuditItem:
    """One artefact of the lineage, what its statement says, what was said of it, and the findings that nobody settled
    who may.

    `approvals`: how many approve it who did not register it; `passed_results`: how many test results stand that did not
    fail; `detectors`: which looked at it, by the word of somebody who did not register it.
    """

    artefact: Artefact
    statement: DatasetStatement
    remarks: tuple[Remark, ...]
    unsettled: tuple[Remark, ...] = ()
    approvals: int = 0
    passed_results: int = 0
    detectors: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its pinned name."""
        return self.artefact.name

    def gaps(self) -> tuple[str, ...]:
        """What nobody says of it, and an auditor asks."""
        statement, standards = self.statement, self.statement.standards
        found = []
        if statement.license is None:
            found.append("no licence is declared")
        if not statement.names_parents:
            found.append("the list of its inputs is not at hand")
        elif not statement.parents:
            if statement.origin is None:
                found.append("no origin is declared")
            if standards.personal_data is None:
                found.append("nobody says whether it holds personal data")
            if not standards.origin_geography:
                found.append("no geography is declared")
        elif not (runs := [one.body for one in self.remarks if isinstance(one.body, Run)]):
            found.append("nobody says how it was made")
        elif any(run.read_nothing for run in runs):
            found.append("a run that is said to have made it opened no file of its inputs")
        if standards.personal_data and standards.basis is None:
            found.append("it holds personal data, and no ground of collection is declared")
        if not any(isinstance(one.body, Quality) for one in self.remarks):
            found.append("no test results")
        if statement.parameters.declared_files:
            by = statement.parameters.declared_by
            found.append(f"{statement.parameters.declared_files} file digests are declared by {by}, not computed")
        return tuple(found)

    def to_json(self) -> JsonValue:
        """The item as a JSON value."""
        statement = self.statement
        return {
            "name": self.name,
            "kind": str(statement.kind),
            "entry": self.artefact.index,
            "depth": self.artefact.depth,
            "digest": {"sha256": self.artefact.digest},
            "status": str(self.artefact.status),
            "signer": self.artefact.signer,
            "created": statement.created,
            "parents": list(self.artefact.parents),
            "origin": statement.origin,
            "license": statement.license,
            "obligations": {name: [str(one) for one in asked] for name, asked in self.obligations().items()},
            "sensitivity": str(statement.sensitivity),
            "files": statement.fingerprint.file_count,
            "totalBytes": statement.fingerprint.total_bytes,
            "standards": statement.standards.to_json(),
            "remarks": [one.to_json() for one in self.remarks],
            "gaps": list(self.gaps()),
        }

    def obligations(self) -> dict[str, tuple[Obligation, ...]]:
        """What its licence asks for."""
        return obligations(self.statement.license) if self.statement.license is not None else {}


@dataclass(frozen=True, slots=True)
class LogBatch:
    """A log entry that holds a batch of automatic records, and how many of them are about the target: decisions that
    it made, or requests that asked about it."""

    kind: Literal["decisions", "requests"]
    entry: int
    count: int

    def to_json(self) -> JsonValue:
        """The batch as a JSON value."""
        return {"kind": self.kind, "entry": self.entry, "count": self.count}


@dataclass(frozen=True, slots=True)
class Audit:
    """The audit of a report's target. `items` begin with it, its inputs nearest first; `uses` are log entries that say
    what it was used for; `keys` is what the log holds about the keys that signed; `logs` are batches of automatic
    records about the target."""

    report: Report
    items: tuple[AuditItem, ...]
    uses: tuple[int, ...] = ()
    keys: tuple[KeyRemark, ...] = ()
    logs: tuple[LogBatch, ...] = ()

    @property
    def origins(self) -> tuple[AuditItem, ...]:
        """The artefacts without inputs."""
        return tuple(item for item in self.items if item.statement.names_parents and not item.statement.parents)

    @property
    def sensitivity(self) -> Sensitivity:
        """The highest sensitivity of all that went into it; restricted where nothing can be read."""
        order = list(Sensitivity)
        said = (item.statement.sensitivity for item in self.items)
        return max(said, key=order.index, default=Sensitivity.RESTRICTED)

    def remarks(self, kind: type) -> list[tuple[AuditItem, Remark]]:
        """All remarks of a kind, with what they are about."""
        return [(item, one) for item in self.items for one in item.remarks if isinstance(one.body, kind)]

    def open_findings(self) -> list[tuple[AuditItem, Remark]]:
        """Findings that are open or confirmed, the strictest word about each."""
        return [(item, one) for item in self.items for one in item.unsettled]

    def geography(self) -> dict[str, list[str]]:
        """Places of origin -> artefacts from there."""
        found: dict[str, list[str]] = {}
        for item in self.items:
            for place in item.statement.standards.origin_geography:
                found.setdefault(place, []).append(item.name)
        return dict(sorted(found.items()))

    def licences(self) -> dict[str, list[str]]:
        """Licence expressions -> artefacts under them."""
        found: dict[str, list[str]] = {}
        for item in self.items:
            if item.statement.license is not None:
                found.setdefault(item.statement.license, []).append(item.name)
        return dict(sorted(found.items()))

    def personal(self) -> list[AuditItem]:
        """Artefacts that are said to hold personal data."""
        return [item for item in self.items if item.statement.standards.personal_data]

    def gaps(self) -> list[tuple[str, str]]:
        """(artefact, what is not known of it), of checks of the target that were not performed too."""
        target = self.report.target
        checks = [
            (target, f"{check.id}: {check.note}")
            for check in self.report.checks
            if check.subject == target and check.status is Status.NOT_PERFORMED
        ]
        return checks + [(item.name, gap) for item in self.items for gap in item.gaps()]

    def to_json(self) -> dict[str, JsonValue]:
        """The audit as a JSON value."""
        report = self.report
        return {
            "target": report.target,
            "verdict": report.verdict,
            "level": report.level.name if report.level is not None else None,
            "missing": list(report.missing),
            "sensitivity": str(self.sensitivity),
            "personalData": [item.name for item in self.personal()],
            "licenses": {name: list(names) for name, names in self.licences().items()},
            "geography": {place: list(names) for place, names in self.geography().items()},
            "openFindings": [{"about": item.name, "entry": one.index} for item, one in self.open_findings()],
            "gaps": [{"about": name, "gap": gap} for name, gap in self.gaps()],
            "items": [item.to_json() for item in self.items],
            "uses": list(self.uses),
            "keys": [one.to_json() for one in self.keys],
            "logs": [one.to_json() for one in self.logs],
            "report": report.to_json(),
        }


def audit_evidence(
    evidence: Evidence,
    report: Report,
    trust: TrustRoots,
    *,
    blocks: Sequence[BlockFinding] = (),
    uses: Sequence[int] = (),
    logs: Sequence[LogBatch] = (),
) -> Audit:
    """The audit of what `report` says of this evidence. `uses` and `logs` are of the target, and count."""
    statements, entries = _statements(evidence), {entry.digest: entry for entry in evidence.entries}
    words = read_key_words(EntryVerifier(evidence, trust, blocks), evidence.entries)
    verifier = EntryVerifier(evidence, with_key_revocations(words, trust), blocks, key_facts(words, trust))
    about = dict(statements.values())
    said = judge_events(verifier, evidence.entries, about)
    items = []
    for artefact in report.artefacts:
        if artefact.name not in statements:
            continue
        envelope, statement = statements[artefact.name]
        verdicts = [verdict for verdict in said.get(envelope, ()) if verdict.problem is None]
        keyid = parse_envelope(entries[envelope].envelope).signatures[0].keyid
        registrant = Registrant(verifier.holder(keyid), verifier.source_name(keyid))
        spoken = said.get(envelope, ())
        unsettled = [verdict for verdict, _ in unsettled_findings(spoken, registrant)]
        counts = approvals(spoken, registrant), passed_results(spoken), tuple(sorted(detectors(spoken, registrant)))
        items.append(AuditItem(artefact, statement, _remarks(verdicts), _remarks(unsettled), *counts))
    return Audit(report, tuple(items), tuple(uses), key_remarks(words, trust), tuple(logs))


def _remarks(verdicts: Iterable[EventVerdict]) -> tuple[Remark, ...]:
    return tuple(Remark(verdict.event.body, verdict.index, verdict.signer) for verdict in verdicts)


def _statements(evidence: Evidence) -> Mapping[str, tuple[Digest, DatasetStatement]]:
    """The dataset statements that the target's pins lead to, by name; what else lies in the evidence is nobody's
    business. The report fails where two of them claim one name."""
    entries = {entry.digest: entry for entry in evidence.entries}
    found: dict[str, tuple[Digest, DatasetStatement]] = {}
    waiting, seen = deque([evidence.target]), {evidence.target}
    while waiting:
        entry = entries.get(waiting.popleft())
        if entry is None:
            continue
        try:
            statement = parse_statement(parse_envelope(entry.envelope).payload)
        except ProvenanceError:
            continue
        if statement.materials is not None and (data := evidence.blobs.get(statement.materials.digest)) is not None:
            with suppress(ProvenanceError):  # the report says so; it is audited all the same
                statement = statement.with_materials(data)
        found.setdefault(str(statement.name), (entry.digest, statement))
        for pin in statement.parents:
            if pin.envelope not in seen:
                seen.add(pin.envelope)
                waiting.append(pin.envelope)
    return found
