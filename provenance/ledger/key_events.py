"""What is said of keys, signed with them and logged: that one is in use, gave way to another, or is revoked.

Invariants: a key that is not held here says nothing here; a revocation that is logged is in the trust roots of this
ledger, too, before it is in the log, so that a crash between leaves the key distrusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from provenance.encoding import Digest, JsonValue
from provenance.errors import NotFoundError
from provenance.signature import encode_envelope, parse_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE
from provenance.statement.frame import open_frame
from provenance.statement.key_event import (
    KeyAction,
    KeyEvent,
    KeyReason,
    NamedKey,
    encode_key_event,
    read_key_event,
)

if TYPE_CHECKING:
    from provenance.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class SaidOfKey:
    """A key event, its entry's index and who signed it."""

    index: int
    keyid: str
    event: KeyEvent

    def to_json(self) -> dict[str, JsonValue]:
        """The event as a JSON value."""
        return {
            "index": self.index,
            "created": self.event.created,
            "signer": self.keyid,
            "says": self.event.to_json(),
        }


def announce_key(ledger: Ledger, name: str, passphrase: bytes | None = None) -> SaidOfKey:
    """Log that a key that is held here is in use, signed with it."""
    return _say(ledger, name, KeyAction.INTRODUCED, passphrase)


def rotate_key(ledger: Ledger, name: str, successor: str, passphrase: bytes | None = None) -> SaidOfKey:
    """Log that another key takes a key's place, signed with the one that gives way. Both are held here."""
    return _say(ledger, name, KeyAction.ROTATED, passphrase, successor=successor)


def revoke_key(
    ledger: Ledger, name: str, reason: KeyReason, since: str | None = None, passphrase: bytes | None = None
) -> SaidOfKey:
    """Revoke a key that is held here, in this ledger and, signed with it, in the log: whoever trusts it is told."""
    return _say(ledger, name, KeyAction.REVOKED, passphrase, reason=reason, since=since)


def said_of_key(
    ledger: Ledger, keyid: Digest, *, after: int | None = None, limit: int | None = None
) -> tuple[SaidOfKey, ...]:
    """What the log holds about a key, in its order, above entry `after`. What it is worth, a verification says.

    `NotFoundError` for a key that the ledger does not know and that nothing is said of.
    """
    found = []
    for index, envelope in ledger.entries_about(keyid, after=after, limit=limit):
        parsed = parse_envelope(envelope)
        event = read_key_event(open_frame(parsed.payload))
        found.append(SaidOfKey(index, parsed.signatures[0].keyid, event))
    if not found and after is None and ledger.keyring.trust().source(keyid.hex) is None:
        raise NotFoundError("no such key", got=keyid.hex, hint="`provenance keys list` shows those that are known here")
    return tuple(found)


def _say(
    ledger: Ledger,
    name: str,
    action: KeyAction,
    passphrase: bytes | None,
    *,
    successor: str | None = None,
    reason: KeyReason | None = None,
    since: str | None = None,
) -> SaidOfKey:
    signer = ledger.keyring.signer(name, passphrase)
    event = KeyEvent(
        key=NamedKey.of(signer.public.pem),
        action=action,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        successor=NamedKey.of(ledger.keyring.show(successor).public.pem) if successor is not None else None,
        reason=reason,
        since=since,
        not_before=ledger.newest_block(),
    )
    envelope = encode_envelope(sign_envelope(encode_key_event(event), PAYLOAD_TYPE, signer))
    return SaidOfKey(ledger.submit(envelope).index, signer.public.keyid, event)
