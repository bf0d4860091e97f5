"""The access log of a server: who asked for what, in batches that are signed and logged.

Steps, every minute or when a batch is full: 1 the records that wait become one blob; 2 a statement that commits to it
is signed and logged. Invariants: an actor is a keyed hash of what tells a client apart, under a salt that stays in the
ledger's folder: whoever has it can say whose records these are, without it nobody can, and when it is thrown away they
are nobody's; a request never waits for the log; a record is logged once; what does not fit into the queue is counted,
and the next batch says so; what cannot be logged is tried again, and `problem` says why; records of the last minute are
lost with the process.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from provenance.errors import ProvenanceError, StoreError
from provenance.ledger.layout import Layout, exists, read_bounded, write_private
from provenance.ledger.lock import editing_lock
from provenance.signature import encode_envelope, parse_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE
from provenance.statement.access import (
    ACCESS_TYPE,
    AccessBatch,
    AccessRecord,
    encode_access,
    encode_record,
    parse_record,
    read_access,
)
from provenance.statement.frame import open_frame
from provenance.statement.received import MAX_BATCH_BYTES, MAX_EVENTS, encode_batch, events_root, parse_batch

if TYPE_CHECKING:
    from provenance.ledger.ledger import Ledger

MAX_WAITING: Final = 16 * MAX_EVENTS
_SALT_BYTES: Final = 32
_ACTOR_BYTES: Final = 16
_PAGE: Final = 1_000


class AccessLog:
    """Keeps the access records of one ledger, under one signing key. Threads may share it; close it."""

    def __init__(
        self, ledger: Ledger, key: str | None = None, passphrase: bytes | None = None, *, batch_seconds: float = 60.0
    ) -> None:
        self._ledger, self._signer = ledger, ledger.keyring.signer(key, passphrase)
        self._salt, self._seconds = _salt(ledger.layout), batch_seconds
        self._guard, self._logging = threading.Lock(), threading.Lock()
        self._waiting: list[bytes] = []
        self._dropped = 0
        self._wake = threading.Event()
        self._ended = False
        self.problem: ProvenanceError | None = None
        """Why the last batch could not be logged; it is tried again with the next."""
        self._thread = threading.Thread(target=self._work, name="provenance-access", daemon=True)
        self._thread.start()

    def actor(self, who: str) -> str:
        """The pseudonym of a client."""
        return hmac.new(self._salt, who.encode("utf-8", "replace"), hashlib.sha256).digest()[:_ACTOR_BYTES].hex()

    def note(self, who: str, operation: str, status: int, about: str | None = None) -> None:
        """Keep a record for the next batch. Never waits and never fails."""
        try:
            record = encode_record(AccessRecord(_now(), self.actor(who), operation, status, about))
        except ProvenanceError:  # a reference that is no text a record can hold
            record = encode_record(AccessRecord(_now(), self.actor(who), operation, status))
        with self._guard:
            if len(self._waiting) >= MAX_WAITING:
                self._dropped += 1
                return
            self._waiting.append(record)
            is_full = len(self._waiting) >= MAX_EVENTS
        if is_full:
            self._wake.set()

    def flush(self) -> None:
        """Log what waits. What cannot be logged waits on, and is raised."""
        with self._logging:  # two that take the same batch would log it twice, and drop the one after it
            while self._log_batch():
                pass
            self.problem = None

    def _log_batch(self) -> bool:
        """Log the batch that waits longest; whether there was one."""
        with self._guard:
            batch, dropped = self._waiting[:MAX_EVENTS], self._dropped
        if not batch:
            return False
        blob = self._ledger.blobs.put(encode_batch(batch))
        statement = encode_access(AccessBatch(blob, len(batch), dropped, events_root(batch), _now()))
        self._ledger.append_batch(encode_envelope(sign_envelope(statement, PAYLOAD_TYPE, self._signer)))
        with self._guard:
            del self._waiting[: len(batch)]
            self._dropped -= dropped
        return True

    def close(self) -> None:
        """Log what waits, and stop."""
        self._ended = True
        self._wake.set()
        self._thread.join()
        self.flush()

    def _work(self) -> None:
        while not self._ended:
            self._wake.wait(self._seconds)
            self._wake.clear()
            try:
                self.flush()
            except ProvenanceError as error:  # it waits on
                self.problem = error
            except Exception as error:  # noqa: BLE001 - whatever it is, somebody is told, and the next batch is tried
                self.problem = StoreError("access records could not be logged", got=type(error).__name__)


def read_access_log(ledger: Ledger) -> Iterator[tuple[int, AccessBatch, tuple[AccessRecord, ...]]]:
    """Entry, batch and records of the access log, in log order; no records of a batch that is not kept here."""
    position, size = 0, ledger.log.size()
    while position < size:
        rows = ledger.log.entries(position, min(_PAGE, size - position))
        for row in rows:
            frame = open_frame(parse_envelope(row.envelope).payload)
            if frame.predicate_type == ACCESS_TYPE:
                batch = read_access(frame)
                yield row.index, batch, _records(ledger, batch)
        position += len(rows)


def _records(ledger: Ledger, batch: AccessBatch) -> tuple[AccessRecord, ...]:
    if not ledger.blobs.has(batch.batch):
        return ()
    raws = parse_batch(ledger.blobs.get(batch.batch, max_bytes=MAX_BATCH_BYTES))
    return tuple(parse_record(raw) for raw in raws)


def _salt(layout: Layout) -> bytes:
    """The salt of actors: made once, 0600."""
    path = layout.directory / "access.salt"
    with editing_lock(layout.directory / "access.lock"):
        if not exists(path):
            write_private(path, secrets.token_bytes(_SALT_BYTES))
    try:
        salt = read_bounded(path, "salt of the access log", max_bytes=_SALT_BYTES)
    except OSError as error:
        raise StoreError("cannot read the salt of the access log", got=error.strerror, where=path) from error
    if len(salt) != _SALT_BYTES:
        hint = "remove it: actors of earlier records are then nobody's"
        raise StoreError("salt of the access log is damaged", expected=f"{_SALT_BYTES} bytes", where=path, hint=hint)
    return salt


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
