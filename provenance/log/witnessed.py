"""Whether a checkpoint is witnessed as a policy (`provenance.log.tlog_policy`) asks.

Invariants: every signature of a key in the policy is verified, and one that fails rejects the checkpoint, even if it is
not needed; a key that is confined to times counts only for those; what a key outside the policy signed says nothing.

Source: c2sp.org/tlog-policy, c2sp.org/signed-note.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from provenance.errors import MalformedError, VerificationError
from provenance.log.algorithm import cosignature_time
from provenance.log.body import Checkpoint, parse_checkpoint
from provenance.log.entry import entry_leaf
from provenance.log.keys import WitnessKey, describe
from provenance.log.note import NoteSignature, NoteVerifier, open_note, parse_note
from provenance.log.proof import TlogProof
from provenance.log.tlog_policy import TlogPolicy
from provenance.merkle import verify_inclusion

_MAX_WORDS = 200


@dataclass(frozen=True, slots=True)
class PolicyVerdict:
    """A checkpoint, the witnesses of a policy (by their names there) that cosigned it and that did not, and whether
    those are enough."""

    checkpoint: Checkpoint
    policy: TlogPolicy
    cosigned: tuple[str, ...]
    lacking: tuple[str, ...]

    @property
    def is_met(self) -> bool:
        """Whether the quorum is met."""
        return self.policy.is_met(self.cosigned)

    @property
    def expected(self) -> str:
        """What the policy asks for, in words; of a long policy the beginning."""
        words = self.policy.requirement()
        return words if len(words) <= _MAX_WORDS else f"{words[:_MAX_WORDS]}..."

    @property
    def found(self) -> str:
        """Which witnesses cosigned, in words."""
        return ", ".join(self.cosigned) or "none"

    def require(self) -> None:
        """Raise `VerificationError` unless the quorum is met."""
        if not self.is_met:
            what = "cosignatures of the checkpoint do not meet the witness policy"
            raise VerificationError(what, expected=self.expected, got=self.found, where=f"size {self.checkpoint.size}")


def judge_checkpoint(data: bytes, policy: TlogPolicy, keys: Sequence[WitnessKey] = ()) -> PolicyVerdict:
    """The verdict of a policy on a checkpoint's signed note. `keys` confine those of the policy's keys that they name.

    `VerificationError` if a signature by a key of the policy fails, or if the policy lists logs and the checkpoint is
    signed by none of them as its own; `MalformedError` for what is no checkpoint. Where the policy lists no log, the
    log's signature is not looked at.
    """
    verifiers = [*(log.verifier for log in policy.logs), *(witness.verifier for witness in policy.witnesses)]
    signed = _verified(data, verifiers)
    checkpoint = parse_checkpoint(parse_note(data).text)
    signers = [log for log in policy.logs if (log.verifier.name, log.verifier.key_id) in signed]
    if policy.logs and not any(log.verifier.name == checkpoint.origin for log in signers):
        raise VerificationError(
            "checkpoint is not signed by a log of the witness policy",
            expected=" or ".join(describe(log.verifier) for log in policy.logs[:4]),
            got=f"{checkpoint.origin}, signed by {', '.join(describe(log.verifier) for log in signers[:4]) or 'none'}",
        )
    spans = {key.verifier: key for key in keys}
    cosigned, lacking = list[str](), list[str]()
    for witness in policy.witnesses:
        line = signed.get((witness.verifier.name, witness.verifier.key_id))
        span = spans.get(witness.verifier, WitnessKey(witness.verifier))
        is_counted = line is not None and span.holds(cosignature_time(line.signature))
        (cosigned if is_counted else lacking).append(witness.name)
    return PolicyVerdict(checkpoint, policy, tuple(cosigned), tuple(lacking))


def verify_witnessed(proof: TlogProof, entry: bytes, policy: TlogPolicy) -> PolicyVerdict:
    """The verdict on the checkpoint of a proof, if a log of the policy signed it, its quorum is met and its tree holds
    the entry at the proof's index. `MalformedError` if the policy lists no log; otherwise as `judge_checkpoint`."""
    if not policy.logs:
        raise MalformedError("witness policy lists no log", expected="a line `log <vkey>`")
    verdict = judge_checkpoint(proof.checkpoint, policy)
    verdict.require()
    head = verdict.checkpoint
    verify_inclusion(entry_leaf(entry), proof.index, head.size, proof.hashes, head.root)
    return verdict


def _verified(data: bytes, verifiers: Sequence[NoteVerifier]) -> dict[tuple[str, bytes], NoteSignature]:
    """The verified lines by key; none if no known key signed."""
    known = {(verifier.name, verifier.key_id) for verifier in verifiers}
    if not any((line.name, line.key_id) in known for line in parse_note(data).signatures):
        return {}
    return {(line.name, line.key_id): line for line in open_note(data, verifiers).verified}
