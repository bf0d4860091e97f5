"""Revocations of keys that the log holds, said by their own holders.

Rules: a revocation counts if a trusted log holds it and it is signed by the very key that it revokes, or by another key
in force that the trust roots list under the same name; whoever holds a key may end it, and nobody else. What counts is
added to the trust roots before anything is judged: a revocation with `since` spares what a final block proves to be
older. That there is none cannot be proven by what is at hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from provenance.errors import ProvenanceError
from provenance.policy import Status, TrustedSource, TrustRoots
from provenance.signature import Envelope, PublicKey, parse_envelope, parse_public_key, verify_envelope
from provenance.statement.frame import open_frame
from provenance.statement.key_event import KEY_TYPE, KeyAction, KeyEvent, read_key_event, since_of
from provenance.verify.entry_checks import EntryVerifier
from provenance.verify.evidence import EvidenceEntry


def with_key_revocations(verifier: EntryVerifier, entries: Iterable[EvidenceEntry], trust: TrustRoots) -> TrustRoots:
    """The trust roots with those keys revoked of which that is said in entries at hand; the same object if none is."""
    said = sorted(
        (one for entry in entries if (one := _revocation(verifier, entry)) is not None), key=lambda one: one.index
    )
    found, ended = trust, set[str]()
    for one in said:  # in the order of the log: who ended a key of its own says nothing of others after that
        signer, listed = one.envelope.signatures[0].keyid, trust.source(one.key.keyid)
        is_own = signer == one.key.keyid
        if listed is None or (signer in ended and not is_own) or not _counts(one, listed, trust):
            continue
        # Of several about one key the strictest holds: a thief who speaks first takes nothing from what comes after.
        found = found.revoking(one.key.keyid, since_of(one.event))
        if is_own:
            ended.add(signer)
    return found


@dataclass(frozen=True, slots=True)
class _Said:
    """A revocation that a trusted log holds, and its place there."""

    index: int
    envelope: Envelope
    event: KeyEvent
    key: PublicKey


def _revocation(verifier: EntryVerifier, entry: EvidenceEntry) -> _Said | None:
    try:
        envelope = parse_envelope(entry.envelope)
        frame = open_frame(envelope.payload)
        if frame.predicate_type != KEY_TYPE:
            return None
        event = read_key_event(frame)
        key = parse_public_key(event.key.pem)
    except ProvenanceError:
        return None  # it says nothing that could be understood
    if event.action is not KeyAction.REVOKED or key.keyid != event.key.keyid.hex:
        return None
    # A quorum of witnesses is not asked for: who holds cosignatures back must not hold a revocation back with them.
    index, checks = verifier.judge_log(entry, f"key {key.keyid[:16]}")
    is_logged = all(check.status is Status.PASSED for check in checks if check.id != "log.witnesses")
    return _Said(index, envelope, event, key) if index is not None and is_logged else None


def _counts(said: _Said, listed: TrustedSource, trust: TrustRoots) -> bool:
    signer, key = said.envelope.signatures[0].keyid, said.key
    if signer != key.keyid:
        other = trust.source(signer)
        # One that the trust roots revoke from some time on was in force before: its word on others is kept.
        if other is None or other.name != listed.name or (other.revoked and other.since is None):
            return False
        key = other.key
    try:
        verify_envelope(said.envelope, key)
    except ProvenanceError:
        return False
    return True
