"""What an attester's policy and trust roots let pass of one entry, and what not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from provenance.encoding import Digest
from provenance.policy import TrustedSource, TrustRoots
from provenance.policy.policy import Policy, parse_policy
from provenance.signature import PrivateKey, encode_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE, Pin, PinnedName
from provenance.statement.checked_range import EntryCheck, SkipReason
from provenance.statement.events import Event, encode_event
from provenance.statement.key_event import KeyAction, KeyEvent, KeyReason, NamedKey, encode_key_event
from provenance.statement.received import Received, encode_received
from provenance.statement.review import Decision, Review
from provenance.verify.admission import (
    EntryRefusedError,
    OpenedEntry,
    check_policy,
    check_references,
    check_signature,
    open_envelope,
    open_statement,
)
from tests.unit.verify import forge

NOW = datetime(2026, 1, 10, tzinfo=UTC)
OWN, SECOND, NARROW, REVOKED, STRANGER = (forge.key(number) for number in range(1, 6))
TRUST = TrustRoots(
    (
        TrustedSource("own", OWN.public),
        TrustedSource("own", SECOND.public),
        TrustedSource("narrow", NARROW.public, namespaces=("elsewhere",)),
        TrustedSource("former", REVOKED.public, revoked=True),
    )
)


@dataclass(slots=True)
class Before:
    """What was logged before."""

    begin: int = 0
    pins: dict[Pin, int] = field(default_factory=dict)
    names: dict[PinnedName, int] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)

    def pinned(self, pin: Pin) -> int | None:
        return self.pins.get(pin)

    def named(self, name: PinnedName) -> int | None:
        return self.names.get(name)

    def end_of(self, keyid: str) -> int | None:
        return self.ends.get(keyid)


def opened(payload: bytes, key: PrivateKey = OWN) -> OpenedEntry:
    """The entry that holds it."""
    entry = encode_envelope(sign_envelope(payload, PAYLOAD_TYPE, key))
    return open_statement(entry, open_envelope(entry))


def dataset(key: PrivateKey = OWN, **more: Any) -> OpenedEntry:
    """A dataset statement."""
    entry = forge.sign(replace(forge.statement("a"), **more), key)
    return open_statement(entry, open_envelope(entry))


def said_of_key(signer: PrivateKey, about: PrivateKey, action: KeyAction = KeyAction.REVOKED) -> OpenedEntry:
    """What one key says of another, or of itself."""
    event = KeyEvent(
        NamedKey.of(about.public.pem), action, forge.CREATED,
        successor=NamedKey.of(STRANGER.public.pem) if action is KeyAction.ROTATED else None,
        reason=KeyReason.COMPROMISED if action is KeyAction.REVOKED else None,
    )  # fmt: skip
    return opened(encode_key_event(event), signer)


def batch(key: PrivateKey = OWN) -> OpenedEntry:
    """A batch of lineage events."""
    return opened(encode_received(Received(Digest.of(b"b"), 1, Digest.of(b"r"), forge.CREATED)), key)


def policy(**more: Any) -> Policy:
    """A policy with these fields."""
    return parse_policy(json.dumps({"format": "urn:provenance-ledger:policy:1", "name": "p", **more}).encode())


PASSES = [
    (dataset(), Before()),
    (batch(), Before()),
    (batch(NARROW), Before()),
    (said_of_key(OWN, OWN), Before()),
    (said_of_key(OWN, OWN, KeyAction.ROTATED), Before()),
    (said_of_key(OWN, OWN, KeyAction.INTRODUCED), Before()),
    (said_of_key(SECOND, OWN), Before()),  # another key of the same holder ends it
    (said_of_key(REVOKED, REVOKED), Before()),  # a key may always end itself
    (said_of_key(OWN, OWN), Before(ends={OWN.public.keyid: 3})),
]
REFUSED = [
    (dataset(STRANGER), Before(), "key is not trusted"),
    (dataset(REVOKED), Before(), "revoked in the trust roots"),
    (dataset(NARROW), Before(), "not trusted for this namespace"),
    (dataset(), Before(ends={OWN.public.keyid: 3}), "revoked by entry 3"),
    (batch(STRANGER), Before(), "key is not trusted"),
    (batch(), Before(ends={OWN.public.keyid: 3}), "revoked by entry 3"),
    (said_of_key(OWN, NARROW), Before(), "speaks of another's key"),
    (said_of_key(SECOND, OWN, KeyAction.ROTATED), Before(), "speaks of another's key"),
    (said_of_key(OWN, STRANGER), Before(), "speaks of another's key"),
    (said_of_key(STRANGER, OWN), Before(), "key is not trusted"),
    (said_of_key(SECOND, OWN), Before(ends={SECOND.public.keyid: 3}), "revoked by entry 3"),
    (said_of_key(OWN, OWN, KeyAction.ROTATED), Before(ends={OWN.public.keyid: 3}), "revoked by entry 3"),
    (said_of_key(REVOKED, REVOKED, KeyAction.INTRODUCED), Before(), "revoked in the trust roots"),
]


@pytest.mark.parametrize("number", range(len(PASSES)))
def test_who_may_say_it(number: int) -> None:
    entry, before = PASSES[number]
    check_signature(entry, TRUST, before)


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_who_may_not(number: int) -> None:
    entry, before, what = REFUSED[number]
    with pytest.raises(EntryRefusedError, match=what) as caught:
        check_signature(entry, TRUST, before)
    assert caught.value.check is EntryCheck.SIGNATURE


def test_a_key_that_speaks_for_less_ends_no_wider_one() -> None:
    wide, narrow = (TrustedSource("own", OWN.public), TrustedSource("own", SECOND.public, namespaces=("forge",)))
    with pytest.raises(EntryRefusedError, match="speaks for less"):
        check_signature(said_of_key(SECOND, OWN), TrustRoots((wide, narrow)), Before())
    check_signature(said_of_key(OWN, SECOND), TrustRoots((wide, narrow)), Before())


@pytest.mark.parametrize("at", range(0, 600, 7))
def test_a_signature_holds_for_these_bytes_alone(at: int) -> None:
    entry = bytearray(forge.sign(forge.statement("a"), OWN))
    entry[at] ^= 1
    with pytest.raises(EntryRefusedError):
        envelope = open_envelope(bytes(entry))
        found = open_statement(bytes(entry), envelope)
        check_signature(found, TRUST, Before())


def test_what_it_refers_to() -> None:
    parent = forge.statement("parent")
    pin = forge.pin(parent, forge.sign(parent, OWN))
    child = dataset(parents=(pin,))
    assert check_references(child, Before(pins={pin: 0})) is None
    with pytest.raises(EntryRefusedError, match="not logged before"):
        check_references(child, Before())
    assert check_references(child, Before(begin=4)) is SkipReason.UNSEEN
    assert check_references(dataset(), Before()) is None
    with pytest.raises(EntryRefusedError, match="registered already"):
        check_references(dataset(), Before(names={forge.name("a"): 2}))
    about = opened(encode_event(Event(pin, Review(Decision.APPROVED), forge.CREATED)))
    assert check_references(about, Before(pins={pin: 0})) is None
    with pytest.raises(EntryRefusedError, match="not logged before"):
        check_references(about, Before())
    for entry in (batch(), said_of_key(OWN, OWN)):
        assert check_references(entry, Before()) is SkipReason.INAPPLICABLE
    many = forge.statement("many", [forge.pin(forge.statement(f"p{n}"), b"%d" % n) for n in range(300)])
    listed = forge.sign(many, OWN)
    assert many.materials is not None
    assert check_references(open_statement(listed, open_envelope(listed)), Before()) is SkipReason.UNREAD_LIST


def test_what_a_policy_allows() -> None:
    entry = dataset(license="MIT")
    for more in (
        {}, {"allowedLicenses": ["MIT"]}, {"maxAgeDays": 30}, {"forbiddenAncestors": ["forge/b", "other/*"]},
        {"rules": [{"id": "r", "expression": "target.namespace == 'forge' && target.files == 1", "message": "m"}]},
        {"rules": [{"id": "r", "expression": "now > target.created", "message": "m"}]},
    ):  # fmt: skip
        check_policy(entry, policy(**more), NOW)
    for more, what in (
        ({"allowedLicenses": ["CC0-1.0"]}, "licence is not allowed"),
        ({"maxAgeDays": 3}, "too old"),
        ({"forbiddenAncestors": ["forge/*"]}, "forbidden"),
        ({"rules": [{"id": "r", "expression": "target.files == 2", "message": "two files"}]}, "rule r: two files"),
        ({"rules": [{"id": "r", "expression": "target.absent == 2", "message": "m"}]}, "cannot be decided"),
        ({"rules": [{"id": "r", "expression": "ancestors.all(a, true)", "message": "m"}]}, "cannot be decided"),
        ({"rules": [{"id": "r", "expression": "1", "message": "m"}]}, "no yes or no"),
    ):
        with pytest.raises(EntryRefusedError, match=what) as caught:
            check_policy(entry, policy(**more), NOW)
        assert caught.value.check is EntryCheck.POLICY
    with pytest.raises(EntryRefusedError, match="no licence is declared"):
        check_policy(dataset(), policy(allowedLicenses=["MIT"]), NOW)
    with pytest.raises(EntryRefusedError, match="yet to come"):
        check_policy(dataset(created="2026-01-12T00:00:00Z"), policy(), NOW)
    pin = forge.pin(forge.statement("bad"), b"x")
    with pytest.raises(EntryRefusedError, match="forbidden"):
        check_policy(dataset(parents=(pin,)), policy(forbiddenAncestors=["forge/bad"]), NOW)
    about = opened(encode_event(Event(pin, Review(Decision.APPROVED), forge.CREATED)))
    with pytest.raises(EntryRefusedError, match="forbidden"):
        check_policy(about, policy(forbiddenAncestors=["forge/bad"]), NOW)


def test_what_is_no_statement_of_ours_is_refused_without_repeating_it() -> None:
    payload = json.loads(opened(encode_key_event(KeyEvent(NamedKey.of(OWN.public.pem), KeyAction.INTRODUCED,
                                                          forge.CREATED))).envelope.payload)  # fmt: skip
    payload["predicate"]["hunter2"] = "hunter2"
    with pytest.raises(EntryRefusedError) as caught:
        opened(json.dumps(payload, sort_keys=True, separators=(",", ":")).encode())
    assert (caught.value.check, "hunter2" in caught.value.reason) == (EntryCheck.STATEMENT, False)
    with pytest.raises(EntryRefusedError) as caught:
        opened(b'{"a":1}')
    assert caught.value.check is EntryCheck.STATEMENT
    with pytest.raises(EntryRefusedError) as caught:
        open_envelope(encode_envelope(sign_envelope(b"{}", "text/plain", OWN)))
    assert caught.value.check is EntryCheck.ENVELOPE
