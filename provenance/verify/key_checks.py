"""Revocations of keys that the log holds, said by their own holders.

Rules: a revocation counts if a trusted log holds it and it is signed by the very key that it revokes, or by another key
in force that the trust roots list under the same name; whoever holds a key may end it, and nobody else. What counts is
added to the trust roots before anything is judged: a revocation with `since` spares what a final block proves to be
older. That there is none cannot be proven by what is at hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from provenance.errors import ProvenanceError
from provenance.policy import Status, TrustedSource, TrustRoots
from provenance.signature import Envelope, PublicKey, parse_envelope, parse_public_key, verify_envelope
from provenance.statement.frame import open_frame
from provenance.statement.key_event import KEY_TYPE, KeyAction, KeyEvent, read_key_event
from provenance.verify.entry_checks import EntryVerifier
from provenance.verify.evidence import EvidenceEntry


def with_key_revocations(verifier: EntryVerifier, entries: Iterable[EvidenceEntry], trust: TrustRoots) -> TrustRoots:
    """The trust roots with those keys revoked of which that is said in entries at hand; the same object if none is."""
    said = [one for entry in entries if (one := _revocation(verifier, entry)) is not None]
    found = trust
    # Those of the keys themselves first: a key that was ended ends no other.
    for is_own in (True, False):
        for envelope, event, key in said:
            signer = envelope.signatures[0].keyid
            listed = found.source(key.keyid)
            if listed is None or (signer == key.keyid) is not is_own or not _counts(envelope, key, listed, found):
                continue
            revoked = TrustedSource(listed.name, key, revoked=True, since=event.since)
            if revoked not in found.sources:
                found = replace(found, sources=(*found.sources, revoked))
    return found


def _revocation(verifier: EntryVerifier, entry: EvidenceEntry) -> tuple[Envelope, KeyEvent, PublicKey] | None:
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
    checks = verifier.judge_log(entry, f"key {key.keyid[:16]}")
    return (envelope, event, key) if all(check.status is Status.PASSED for check in checks) else None


def _counts(envelope: Envelope, key: PublicKey, listed: TrustedSource, trust: TrustRoots) -> bool:
    signer = envelope.signatures[0].keyid
    if signer != key.keyid:
        other = trust.source(signer)
        if other is None or other.revoked or other.name != listed.name:
            return False
        key = other.key
    try:
        verify_envelope(envelope, key)
    except ProvenanceError:
        return False
    return True
