"""What the log holds about keys, said by their own holders: above all, that one was revoked.

Rules: a revocation counts if a trusted log holds it and it is signed by the very key that it revokes, or by another key
in force that the trust roots list under the same name; whoever holds a key may end it, and nobody else. What counts is
added to the trust roots before anything is judged: a revocation with `since` spares what a final block proves to be
older. Which of two words was first is known within one log, and across logs by blocks alone
(`provenance.lineage.place`): where nothing says so, a key that ended still ends others, and nobody follows it. A key
that is listed with an ML-DSA-44 key says nothing without that one's signature: who can forge the other must not end the
key. That there is none cannot be proven by what is at hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from provenance.encoding import JsonValue
from provenance.errors import ProvenanceError
from provenance.lineage import Place
from provenance.policy import Status, TrustedSource, TrustRoots
from provenance.signature import Envelope, PublicKey, parse_envelope, parse_public_key, verify_envelope
from provenance.statement.frame import open_frame
from provenance.statement.key_event import KEY_TYPE, KeyAction, KeyEvent, KeyReason, read_key_event, since_of
from provenance.verify.entry_checks import EntryVerifier, KeyEnd, KeyFacts
from provenance.verify.evidence import EvidenceEntry


def read_key_words(verifier: EntryVerifier, entries: Iterable[EvidenceEntry]) -> tuple[KeyWord, ...]:
    """Those entries that say something of keys and that a trusted log holds, in the order of the log, log by log."""
    found = (one for entry in entries if (one := _said(verifier, entry)) is not None)
    return tuple(sorted(found, key=lambda one: one.place.order))


def key_facts(words: Sequence[KeyWord], trust: TrustRoots) -> KeyFacts:
    """What is said of keys, for judging what they say: who gave way to whom, and where each ended."""
    ends: dict[str, KeyEnd] = {}
    for one in _counting((one for one in words if one.event.action is KeyAction.REVOKED), trust):
        keyid, known = one.key.keyid, ends.get(one.key.keyid, KeyEnd((), is_theft=False))
        is_first = all(place.origin != one.place.origin for place in known.places)
        places = (*known.places, one.place) if is_first else known.places
        ends[keyid] = KeyEnd(places, known.is_theft or one.event.reason is KeyReason.COMPROMISED)
    said = [
        one
        for one in words
        if one.event.successor is not None
        and one.signer == one.key.keyid
        and _verifies(one.envelope, _known(one.key, trust))
    ]
    # What a key says after its end is nothing.
    not_after = [one for one in said if one.key.keyid not in ends or not ends[one.key.keyid].is_before(one.place)]
    before = [one for one in said if one.key.keyid not in ends or ends[one.key.keyid].is_after(one.place)]
    return KeyFacts(_holders([_rotation(one) for one in not_after], trust), ends, _following(before, ends, trust))


def _rotation(word: KeyWord) -> tuple[str, str]:
    assert word.event.successor is not None
    return word.key.keyid, word.event.successor.keyid.hex


def _following(said: Iterable[KeyWord], ends: Mapping[str, KeyEnd], trust: TrustRoots) -> dict[str, str]:
    """Which key took a key's place: the first that it named. If two logs name two, nothing says which was first, and
    no block does, nobody did."""
    firsts: dict[str, list[KeyWord]] = {}
    for one in said:
        keyid = one.key.keyid
        source = trust.source(keyid)
        is_theft = keyid in ends and ends[keyid].is_theft
        if source is None or is_theft or source.reason is KeyReason.COMPROMISED:
            continue
        known = firsts.setdefault(keyid, [])
        if all(other.place.origin != one.place.origin for other in known):
            known.append(one)
    following: dict[str, str] = {}
    for keyid, words in firsts.items():
        for one in words:
            others = [other for other in words if _rotation(other) != _rotation(one)]
            if all(one.place.precedes(other.place) for other in others):
                following[keyid] = _rotation(one)[1]
                break
    return following


def _holders(said: Iterable[tuple[str, str]], trust: TrustRoots) -> dict[str, str]:
    """Keys that gave way to one another, as each said of itself; keys of one holder have one value. Only keys of the
    trust roots, and those that took their place, have a word in it. Nobody asks the successor: two are made one only
    where they must be two, and nothing is taken back by it."""
    successors: dict[str, list[str]] = {}
    for keyid, successor in said:
        successors.setdefault(keyid, []).append(successor)
    holders: dict[str, str] = {}

    def find(keyid: str) -> str:
        while (above := holders.get(keyid, keyid)) != keyid:
            keyid = above
        return keyid

    waiting = [keyid for keyid in successors if trust.source(keyid) is not None]
    while waiting:
        keyid = waiting.pop()
        for successor in successors.pop(keyid, ()):
            first, second = find(keyid), find(successor)
            holders[max(first, second)] = min(first, second)
            waiting.append(successor)
    return {keyid: find(keyid) for keyid in holders}


def keys_of(words: Iterable[KeyWord]) -> list[str]:
    """The ids of the keys that speak, are spoken of, and are said to have taken another's place."""
    found: list[str] = []
    for one in words:
        found += [one.signer, one.key.keyid]
        if one.event.successor is not None:
            found.append(one.event.successor.keyid.hex)
    return found


def with_key_revocations(words: Iterable[KeyWord], trust: TrustRoots) -> TrustRoots:
    """The trust roots with those keys revoked of which that is said; the same object if none is."""
    found = trust
    for one in _counting((one for one in words if one.event.action is KeyAction.REVOKED), trust):
        # Of several about one key the strictest holds: a thief who speaks first takes nothing from what comes after.
        found = found.revoking(one.key.keyid, since_of(one.event), one.event.reason)
    return found


def key_remarks(words: Iterable[KeyWord], trust: TrustRoots) -> tuple[KeyRemark, ...]:
    """What is said of keys and counts, in the order of the log: that a key is in use or gave way, signed with it; that
    one was revoked, as above. `trust`: as they were given, before any revocation in the log."""
    remarks = []
    for one in _counting(words, trust):
        source = trust.source(one.key.keyid)
        remarks.append(KeyRemark(one.event, one.place.index, one.signer, source.name if source is not None else ""))
    return tuple(remarks)


@dataclass(frozen=True, slots=True)
class KeyRemark:
    """Something said of a key that counts: what, in which log entry, by which key, and what the trust roots call it."""

    event: KeyEvent
    index: int
    signer: str
    name: str

    @property
    def words(self) -> str:
        """What it says, for people: `revoked: compromised, since 2026-05-01T00:00:00Z`."""
        event = self.event
        successor = f"by {event.successor.keyid.hex[:16]}" if event.successor is not None else None
        more = [text for text in (successor, event.reason, event.since and f"since {event.since}") if text]
        return f"{event.action}: {', '.join(more)}" if more else str(event.action)

    def to_json(self) -> JsonValue:
        """The remark as a JSON value."""
        return {
            "keyid": self.event.key.keyid.hex,
            "name": self.name,
            "entry": self.index,
            "created": self.event.created,
            "signer": self.signer,
            "says": self.event.to_json(),
        }


def _counting(said: Iterable[KeyWord], trust: TrustRoots) -> Iterator[KeyWord]:
    """Those that count, of all in log order: a key that ended itself says nothing of others after that. One that
    another ended still may: of two that end one another, as an owner and a thief would, neither is good any more."""
    words = [one for one in said if (listed := trust.source(one.key.keyid)) is not None and _counts(one, listed, trust)]
    ended: dict[str, list[Place]] = {}
    for one in words:
        if one.signer == one.key.keyid and one.event.action is KeyAction.REVOKED:
            ended.setdefault(one.signer, []).append(one.place)
    for one in words:
        is_own = one.signer == one.key.keyid
        if is_own or not any(place.precedes(one.place) for place in ended.get(one.signer, ())):
            yield one


@dataclass(frozen=True, slots=True)
class KeyWord:
    """A key event that a trusted log holds, and its place there."""

    place: Place
    envelope: Envelope
    event: KeyEvent
    key: PublicKey

    @property
    def signer(self) -> str:
        """The id of the key that signed it, or says so."""
        return self.envelope.signatures[0].keyid


def _said(verifier: EntryVerifier, entry: EvidenceEntry) -> KeyWord | None:
    try:
        envelope = parse_envelope(entry.envelope)
        frame = open_frame(envelope.payload)
        if frame.predicate_type != KEY_TYPE:
            return None
        event = read_key_event(frame)
        key = parse_public_key(event.key.pem)
    except ProvenanceError:
        return None  # it says nothing that could be understood
    if key.keyid != event.key.keyid.hex:
        return None
    # A quorum of witnesses is not asked for: who holds cosignatures back must not hold a revocation back with them.
    place, checks = verifier.judge_log(entry, f"key {key.keyid[:16]}", event.not_before)
    is_logged = all(check.status is Status.PASSED for check in checks if check.id != "log.witnesses")
    return KeyWord(place, envelope, event, key) if place is not None and is_logged else None


def may_end(listed: TrustedSource, speaker: TrustedSource) -> bool:
    """Whether whoever has one key of the trust roots may end another: the key itself may, and one that is listed under
    the same name, for the same namespaces at least, and is not revoked from the start."""
    if speaker.key.keyid == listed.key.keyid:
        return True
    # One that the trust roots revoke from some time on was in force before: its word on others is kept.
    if speaker.name != listed.name or (speaker.revoked and speaker.since is None):
        return False
    return not speaker.namespaces or (bool(listed.namespaces) and set(listed.namespaces) <= set(speaker.namespaces))


def _counts(said: KeyWord, listed: TrustedSource, trust: TrustRoots) -> bool:
    if said.signer == said.key.keyid:
        return _verifies(said.envelope, listed.key)
    speaker = trust.source(said.signer)
    if said.event.action is not KeyAction.REVOKED or speaker is None or not may_end(listed, speaker):
        return False
    return _verifies(said.envelope, speaker.key)


def _known(key: PublicKey, trust: TrustRoots) -> PublicKey:
    """The key with what the trust roots list beside it."""
    listed = trust.source(key.keyid)
    return key if listed is None else listed.key


def _verifies(envelope: Envelope, key: PublicKey) -> bool:
    try:
        verify_envelope(envelope, key)
    except ProvenanceError:
        return False
    return True
