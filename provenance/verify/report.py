"""The verification report: what was checked, and what came of it.

Invariants: a check passed, failed or was *not performed*, and the last is never a pass; a failed check says what was
expected, what was found and where; a report is *verified* only if some check passed, none failed, and the required
level is reached; with a lower level it is *incomplete*.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from provenance.encoding import JsonValue
from provenance.fingerprint.chunks import Damage
from provenance.policy import Level, Status

Verdict = Literal["verified", "incomplete", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one artefact. `id` is a name that policies use; `subject` says which artefact; `damage` are the
    ranges of bytes in which a file differs, if they are known; `could_be_spared`: it failed for want of a final block
    that proves that something was older, and no chain was asked."""

    id: str
    subject: str
    status: Status
    note: str = ""
    expected: str | None = None
    found: str | None = None
    where: str | None = None
    damage: tuple[Damage, ...] = ()
    could_be_spared: bool = False

    def to_json(self) -> dict[str, JsonValue]:
        """The check as a JSON value."""
        value: dict[str, JsonValue] = {"check": self.id, "subject": self.subject, "status": str(self.status)}
        extra = {"note": self.note or None, "expected": self.expected, "found": self.found, "where": self.where}
        value.update({name: text for name, text in extra.items() if text is not None})
        if self.damage:
            value["damage"] = [one.to_json() for one in self.damage]
        return value


@dataclass(frozen=True, slots=True)
class TimeBound:
    """One side of when a statement was made: RFC 3339 time and whose clock that is; `chain_id` if it is a chain's."""

    time: str
    clock: str
    chain_id: int | None = None

    def is_before(self, time: str) -> bool:
        """Whether it is certainly before an RFC 3339 time; not if it is of a year that RFC 3339 cannot write."""
        try:
            return datetime.fromisoformat(self.time) < datetime.fromisoformat(time)
        except (ValueError, TypeError):
            return False

    def to_json(self) -> JsonValue:
        """The bound as a JSON value."""
        return {"time": self.time, "clock": self.clock}


@dataclass(frozen=True, slots=True)
class Artefact:
    """One statement of the lineage: the target at depth 0, its inputs at 1, and so on. `status` is FAILED if a check
    about it failed, and AFFECTED if none did but one about an ancestor."""

    name: str
    kind: str
    digest: str
    index: int
    depth: int
    signer: str
    status: Status
    parents: tuple[str, ...]

    def to_json(self) -> JsonValue:
        """The artefact as a JSON value."""
        return {
            "name": self.name,
            "kind": self.kind,
            "digest": {"sha256": self.digest},
            "index": self.index,
            "depth": self.depth,
            "signer": self.signer,
            "status": str(self.status),
            "parents": list(self.parents),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome for one artefact, its target, and everything it was made from."""

    target: str
    digest: str
    checks: tuple[Check, ...]
    level: Level | None
    missing: tuple[str, ...]
    required: Level | None
    artefacts: tuple[Artefact, ...] = ()
    created: TimeBound | None = None
    not_before: TimeBound | None = None
    not_after: TimeBound | None = None
    affected: tuple[str, ...] = ()
    revoked: Mapping[str, str | None] = field(default_factory=dict)
    """Of what was revoked, by a word that counts, from when on, by name: None for what is revoked altogether."""
    could_be_spared: bool = False
    """Whether everything that failed might not, if a chain were asked about the blocks of anchors that are at hand."""

    @property
    def sound(self) -> bool:
        """Whether some check passed and none failed. It says nothing of checks that were not performed."""
        statuses = {check.status for check in self.checks}
        return Status.PASSED in statuses and Status.FAILED not in statuses

    @property
    def verdict(self) -> Verdict:
        """`failed` if a check failed; `verified` if the required level is reached; else `incomplete`."""
        if not self.sound:
            return "failed"
        enough = self.level is not None and self.required is not None and self.level >= self.required
        return "verified" if enough else "incomplete"

    @property
    def verified(self) -> bool:
        """Whether no check failed and the level that is required of it is reached."""
        return self.verdict == "verified"

    @property
    def needs_final_anchor(self) -> bool:
        """Whether the level that is required asks for an anchor that is final."""
        return self.required is not None and self.required >= Level.D3

    def requiring(self, level: Level) -> Report:
        """This report under a policy that requires `level`, whatever the sensitivity of the data asks for."""
        return replace(self, required=level)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The failed checks."""
        return tuple(check for check in self.checks if check.status is Status.FAILED)

    def to_json(self) -> dict[str, JsonValue]:
        """The report as a JSON value."""
        return {
            "verified": self.verified,
            "verdict": self.verdict,
            "sound": self.sound,
            "target": self.target,
            "digest": {"sha256": self.digest},
            "level": self.level.name if self.level is not None else None,
            "missing": list(self.missing),
            "requiredLevel": self.required.name if self.required is not None else None,
            "checks": [check.to_json() for check in self.checks],
            "lineage": [artefact.to_json() for artefact in self.artefacts],
            "time": {
                "claimed": self.created.to_json() if self.created else None,
                "notBefore": self.not_before.to_json() if self.not_before else None,
                "notAfter": self.not_after.to_json() if self.not_after else None,
            },
            "affected": list(self.affected),
        }


def worst(statuses: Iterable[Status]) -> Status:
    """FAILED if any failed, else AFFECTED if any is, else NOT_PERFORMED if any was not, else PASSED. NOT_PERFORMED for
    none."""
    found = set(statuses)
    for status in (Status.FAILED, Status.AFFECTED, Status.NOT_PERFORMED, Status.PASSED):
        if status in found:
            return status
    return Status.NOT_PERFORMED
