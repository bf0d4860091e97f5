"""Which cosignatures this log's checkpoints need before they are published: a witness policy, or a number of witnesses.

Invariants: what is set is in the trust roots, so that whoever verifies by them asks for the same; a policy that the
witnesses who are asked could not meet, or that is of other logs, is not set; what was published stays published.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from provenance.encoding import JsonValue
from provenance.errors import ConflictError, NotFoundError, WitnessError
from provenance.ledger.witnessing import public_checkpoint, quorum_of, witnesses_of
from provenance.log import TlogPolicy, encode_tlog_policy, encode_vkey, parse_checkpoint, parse_note, parse_tlog_policy
from provenance.policy import QuorumFinding, policy_of

if TYPE_CHECKING:
    from provenance.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class WitnessState:
    """What a log's checkpoints need, and where it stands: the size of the latest checkpoint, None of an empty log, and
    whether it has what it needs; the size that is shown to others, None if there is none yet. `unasked` are the names
    of the policy's witnesses whose keys are of no witness that is asked."""

    policy: TlogPolicy
    is_set: bool
    size: int | None
    finding: QuorumFinding | None
    shown: int | None
    unasked: tuple[str, ...]

    @property
    def words(self) -> str:
        """Where it stands."""
        if self.size is None or self.finding is None:
            return "the log is empty"
        if self.finding.is_met:
            return f"size {self.size} is published"
        waits = f"size {self.size} waits for cosignatures"
        return f"{waits}; {'nothing is published' if self.shown is None else f'size {self.shown} is published'}"

    def to_json(self) -> dict[str, JsonValue]:
        """The state as a JSON value."""
        return {
            "policy": encode_tlog_policy(self.policy).decode("utf-8"),
            "requirement": self.policy.requirement(),
            "set": self.is_set,
            "size": self.size,
            "met": self.finding.is_met if self.finding is not None else None,
            "finding": self.finding.note if self.finding is not None else None,
            "published": self.shown,
            "unasked": list(self.unasked),
        }


def set_witness_policy(ledger: Ledger, data: bytes) -> WitnessState:
    """Have checkpoints published, and believed by the trust roots, by the policy in a file's bytes from now on.

    `MalformedError` for what is none, `ConflictError` for one that lists other logs only, names this log as a witness
    of itself, or could not be met by all witnesses that are asked.
    """
    policy = parse_tlog_policy(data)
    own = set(ledger.keyring.vkeys)
    if policy.logs and not any(encode_vkey(log.verifier) in own for log in policy.logs):
        expected, got = ledger.config.origin, policy.logs[0].verifier.name
        hint = "its log lines are those of `provenance log keys list --json`, or left out"
        raise ConflictError("witness policy is not of this log's keys", expected=expected, got=got, hint=hint)
    if any(witness.verifier.name == ledger.config.origin for witness in policy.witnesses):
        got = ledger.config.origin
        raise ConflictError("log is no witness of itself", expected="witnesses of other names", got=got)
    unasked = _unasked(ledger, policy)
    if not policy.is_met([one.name for one in policy.witnesses if one.name not in unasked]):
        hint = "add its witnesses first: `provenance witness add URL KEY...`"
        got = ", ".join(unasked[:8])
        raise ConflictError("witnesses who are asked cannot meet the policy", expected="more", got=got, hint=hint)
    with ledger.keyring.editing_trust():
        trust = ledger.keyring.trust()
        ledger.keyring.write_trust(replace(trust, quorum=0, witness_policy=policy))
    return witness_state(ledger)


def remove_witness_policy(ledger: Ledger) -> TlogPolicy:
    """Ask for no cosignatures from now on; the policy that was set. `NotFoundError` if none was."""
    with ledger.keyring.editing_trust():
        trust = ledger.keyring.trust()
        policy = trust.witness_policy
        if policy is None:
            raise NotFoundError("no witness policy is set", hint="`provenance witness policy set FILE`")
        ledger.keyring.write_trust(replace(trust, witness_policy=None))
    return policy


def witness_state(ledger: Ledger) -> WitnessState:
    """What this log's checkpoints need, and whether the latest has it."""
    trust = ledger.keyring.trust()
    policy, is_set = policy_of(trust), trust.witness_policy is not None
    unasked = _unasked(ledger, policy)
    if not ledger.log.size():
        return WitnessState(policy, is_set, None, None, None, unasked)
    row = ledger.log.checkpoint()
    try:
        shown: int | None = parse_checkpoint(parse_note(public_checkpoint(ledger)).text).size
    except WitnessError:
        shown = None
    return WitnessState(policy, is_set, row.size, quorum_of(ledger, row), shown, unasked)


def _unasked(ledger: Ledger, policy: TlogPolicy) -> tuple[str, ...]:
    asked = {vkey for place in witnesses_of(ledger) for vkey in place.vkeys}
    return tuple(one.name for one in policy.witnesses if encode_vkey(one.verifier) not in asked)
