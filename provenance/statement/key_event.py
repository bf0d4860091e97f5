"""What the holder of a key says of it: that it is in use, that another takes its place, that it is revoked.

Invariants: the subject is the key, by its key id, and the statement holds the key itself, so that a revocation can be
verified with nothing but the statement; a successor is named with its key, too; nothing is trusted by being named here.

Bytes of its predicate (canonical JSON): `{"action":"rotated","created":"2026-11-20T12:00:00Z","publicKey":"-----BEGIN
PUBLIC KEY-----..","successor":{"keyid":{"sha256":"<64 hex>"},"publicKey":".."}}`; of a revocation
`{"action":"revoked","created":"..","publicKey":"..","reason":"compromised","since":"2026-11-01T00:00:00Z"}`. The
subject is `key` with the key id.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from provenance.encoding import Digest, Fields, JsonValue
from provenance.errors import MalformedError
from provenance.limits import MAX_KEY_BYTES, check_size
from provenance.statement.frame import (
    BlockReference,
    Frame,
    Subject,
    check_time,
    encode_frame,
    parse_block,
    parse_choice,
)
from provenance.statement.text import MAX_WORD_CHARS

KEY_TYPE: Final = "urn:provenance-ledger:key:1"
_SUBJECT: Final = "key"


class KeyAction(StrEnum):
    """What became of a key."""

    INTRODUCED = "introduced"
    ROTATED = "rotated"
    REVOKED = "revoked"


class KeyReason(StrEnum):
    """Why a key was revoked."""

    COMPROMISED = "compromised"
    SUPERSEDED = "superseded"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class NamedKey:
    """A public key: its id (SHA-256 of the PEM) and the PEM text of its SubjectPublicKeyInfo."""

    keyid: Digest
    pem: str

    def __post_init__(self) -> None:
        check_size("public key", len(self.pem), MAX_KEY_BYTES, "characters")
        if Digest.of(self.pem.encode("utf-8", "surrogatepass")) != self.keyid:
            raise MalformedError("key id is not the key's", expected=Digest.of(self.pem.encode()), got=self.keyid)

    @classmethod
    def of(cls, pem: str) -> NamedKey:
        """The key with this PEM text."""
        return cls(Digest.of(pem.encode()), pem)


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """What is said of a key. `since`: what was signed before is not reached by a revocation, where that is proven."""

    key: NamedKey
    action: KeyAction
    created: str
    successor: NamedKey | None = None
    reason: KeyReason | None = None
    since: str | None = None
    not_before: BlockReference | None = None

    def __post_init__(self) -> None:
        check_time(self.created)
        if (self.successor is not None) != (self.action is KeyAction.ROTATED):
            raise MalformedError("a rotated key, and no other, has a successor", got=self.action)
        if self.successor is not None and self.successor.keyid == self.key.keyid:
            raise MalformedError("key takes its own place", expected="another key", got=self.key.keyid)
        if (self.reason is not None) != (self.action is KeyAction.REVOKED):
            raise MalformedError("a revoked key, and no other, has a reason", got=self.action)
        if self.since is not None:
            check_time(self.since)
            if self.action is not KeyAction.REVOKED:
                raise MalformedError("only a revocation is since some time", got=self.action)

    def to_json(self) -> dict[str, JsonValue]:
        """What is said, as a JSON object."""
        value: dict[str, JsonValue | None] = {
            "action": str(self.action),
            "successor": _key_json(self.successor) if self.successor is not None else None,
            "reason": str(self.reason) if self.reason is not None else None,
            "since": self.since,
        }
        return {name: one for name, one in value.items() if one is not None}


def encode_key_event(event: KeyEvent) -> bytes:
    """The in-toto statement as canonical JSON: what is signed."""
    predicate: dict[str, JsonValue] = {**event.to_json(), "created": event.created, "publicKey": event.key.pem}
    if event.not_before is not None:
        predicate["notBefore"] = event.not_before.to_json()
    return encode_frame([Subject(_SUBJECT, event.key.keyid)], KEY_TYPE, predicate)


def read_key_event(frame: Frame, *, strict: bool = False) -> KeyEvent:
    """What a frame of type `KEY_TYPE` says. With `strict`, unknown fields of the predicate are refused."""
    subject, predicate = frame.subject(), frame.predicate
    if subject.name != _SUBJECT:
        raise MalformedError("statement is about something else", expected=_SUBJECT, got=subject.name)
    reason = predicate.optional_string("reason", max_chars=MAX_WORD_CHARS)
    event = KeyEvent(
        key=NamedKey(subject.digest, predicate.string("publicKey", max_chars=MAX_KEY_BYTES)),
        action=parse_choice(KeyAction, predicate.string("action", max_chars=MAX_WORD_CHARS), "action"),
        created=predicate.string("created", max_chars=20),
        successor=_read_key(predicate, "successor"),
        reason=None if reason is None else parse_choice(KeyReason, reason, "reason"),
        since=predicate.optional_string("since", max_chars=20),
        not_before=parse_block(predicate),
    )
    if strict:
        predicate.end()
    return event


def since_of(event: KeyEvent) -> str | None:
    """From when on a revocation holds: not later than it was said, whatever it says."""
    return None if event.since is None else min(event.since, event.created)


def _key_json(key: NamedKey) -> JsonValue:
    return {"keyid": {"sha256": key.keyid.hex}, "publicKey": key.pem}


def _read_key(predicate: Fields, name: str) -> NamedKey | None:
    if not predicate.has(name):
        predicate.skip(name)
        return None
    fields = predicate.object(name)
    key = NamedKey(fields.digest_set("keyid"), fields.string("publicKey", max_chars=MAX_KEY_BYTES))
    fields.end()
    return key
