"""What a log's earlier entries said, for checking the next: names that are taken, what may be pinned, keys that ended.

Invariants: an entry is in it only once it passed; what is not durable yet is in memory, at most one bundle's.
"""

from __future__ import annotations

from hashlib import sha256

from provenance.encoding import canonical_json
from provenance.statement import DatasetStatement, Pin, PinnedName
from provenance.verify.admission import OpenedEntry
from provenance.witnesses.attested import AttestedState


class AttestedPast:
    """What was logged before, in the state and in the batch that is being checked. See `admission.Past`."""

    def __init__(self, state: AttestedState, origin: str, begin: int) -> None:
        """`begin` is the first entry of the log that was checked."""
        self._state, self._origin, self.begin = state, origin, begin
        self.registered: dict[bytes, int] = {}
        self.revoked: dict[str, int] = {}

    def pinned(self, pin: Pin) -> int | None:
        """See `admission.Past`."""
        return self._entry(_pin_key(pin))

    def named(self, name: PinnedName) -> int | None:
        """See `admission.Past`."""
        return self._entry(_name_key(name))

    def end_of(self, keyid: str) -> int | None:
        """See `admission.Past`."""
        found = self.revoked.get(keyid)
        return self._state.revoked(self._origin, keyid) if found is None else found

    def add(self, index: int, opened: OpenedEntry) -> None:
        """Take an entry that passed."""
        body = opened.body
        if isinstance(body, DatasetStatement):
            self.registered[_name_key(body.name)] = index
            self.registered[_pin_key(Pin(body.name, body.digest, opened.digest))] = index
        if opened.revoked is not None:
            self.revoked.setdefault(opened.revoked, index)

    def forget(self) -> None:
        """All of it is in the state."""
        self.registered.clear()
        self.revoked.clear()

    def _entry(self, key: bytes) -> int | None:
        found = self.registered.get(key)
        return self._state.registered(self._origin, key) if found is None else found


def _pin_key(pin: Pin) -> bytes:
    return sha256(b"pin\x00" + canonical_json(pin.to_json())).digest()


def _name_key(name: PinnedName) -> bytes:
    return sha256(b"name\x00" + str(name).encode()).digest()
