"""Which cosignatures trust roots ask for, and whether a checkpoint has them.

Invariants: what is asked for is a witness policy (`provenance.log.tlog_policy`), or a number of witnesses, which is
short for one; nothing counts that does not verify; keys that are confined to times count for those alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from provenance.errors import MalformedError, ProvenanceError
from provenance.log import NoteVerifier, PolicyGroup, PolicyWitness, TlogPolicy, judge_checkpoint, parse_vkey
from provenance.policy.trust import TrustRoots


@dataclass(frozen=True, slots=True)
class QuorumFinding:
    """Whether a checkpoint has the cosignatures that trust roots ask for, in words; what was expected and found."""

    is_met: bool
    note: str
    expected: str | None = None
    found: str | None = None


def find_quorum(trust: TrustRoots, note: bytes, count: int) -> QuorumFinding:
    """What comes of a checkpoint's signed note, which its log vouches for, and on which `count` of the witnesses that
    the trust roots list were counted. Never raises for a bad note: it is not met then."""
    if trust.witness_policy is not None:
        return _by_policy(trust, trust.witness_policy, note)
    needed, known = trust.quorum, trust.witness_count
    if not needed:
        return QuorumFinding(True, f"none required by the policy, {count or 'none'} counted")
    if count >= needed:
        return QuorumFinding(True, f"{count} of {known} cosigned, {needed} are needed")
    return QuorumFinding(False, "too few witnesses cosigned the checkpoint", f"{needed} of {known}", f"{count}")


def _by_policy(trust: TrustRoots, policy: TlogPolicy, note: bytes) -> QuorumFinding:
    try:
        verdict = judge_checkpoint(note, policy, trust.witness_keys())
    except ProvenanceError as error:
        kind = "malformed" if isinstance(error, MalformedError) else "invalid"
        return QuorumFinding(False, f"{kind}: {error.what}", error.expected, error.got)
    if not verdict.is_met:
        what = "cosignatures of the checkpoint do not meet the witness policy"
        return QuorumFinding(False, what, verdict.expected, verdict.found)
    return QuorumFinding(True, f"the witness policy is met ({verdict.expected}): {verdict.found} cosigned")


def policy_of(trust: TrustRoots) -> TlogPolicy:
    """The witness policy of trust roots, or the one that their number of witnesses is short for.

    Of a witness with keys of two types both are asked for, of two keys of one type either. A key that has an end is
    left out: the policy is one for what comes next. `MalformedError` if it cannot be met without those.
    """
    if trust.witness_policy is not None:
        return trust.witness_policy
    if not trust.quorum:
        return TlogPolicy()
    ended = {span.vkey for span in trust.witness_spans if span.until_time is not None}
    by_name: dict[str, list[NoteVerifier]] = {}
    for verifier in (parse_vkey(vkey) for vkey in dict.fromkeys(trust.witnesses) if vkey not in ended):
        by_name.setdefault(verifier.name, []).append(verifier)
    witnesses = [PolicyWitness(_key_name(one), one) for keys in by_name.values() for one in keys]
    groups, members = list[PolicyGroup](), list[str]()
    for name, keys in by_name.items():
        types = [_grouped(groups, f"{name}+0x{kind:02x}", _of_type(keys, kind), 1) for kind in _types(keys)]
        members.append(_grouped(groups, f"{name}+keys", types, len(types)))
    quorum = _grouped(groups, "quorum+witnesses", members, trust.quorum)
    return TlogPolicy((), tuple(witnesses), tuple(groups), quorum)


def _key_name(verifier: NoteVerifier) -> str:
    return f"{verifier.name}+{verifier.key_id.hex()}"


def _types(keys: Sequence[NoteVerifier]) -> list[int]:
    return sorted({key.type_byte for key in keys})


def _of_type(keys: Sequence[NoteVerifier], type_byte: int) -> list[str]:
    return [_key_name(key) for key in keys if key.type_byte == type_byte]


def _grouped(groups: list[PolicyGroup], name: str, members: Sequence[str], threshold: int) -> str:
    """The one member's name, or that of a new group."""
    if len(members) == 1 == threshold:
        return members[0]
    groups.append(PolicyGroup(name, threshold, tuple(members)))
    return name
