"""Receiving lineage events of other tools: durable before they are acknowledged, many in one log entry.

Steps, for whatever waits at a time: 1 events that are here already are set aside; 2 the bytes of the others become one
blob; 3 a statement that commits to it is signed and logged; 4 the index is told; 5 all are acknowledged. Invariants: an
event that was acknowledged is in the log; the same bytes again are the same event; nothing waits for a chain; what does
not fit into the queues, by count or by bytes, is refused at once, to be sent again; small events wait for no large one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from provenance.encoding import Digest, parse_foreign_json
from provenance.errors import MalformedError, PolicyError, ProvenanceError, StoreError
from provenance.lineage.event_time import parse_time_us
from provenance.lineage.imports.telling import PRODUCER
from provenance.lineage.openlineage import LineageEvent, parse_event
from provenance.lineage.signed_event import is_signed, open_signed
from provenance.signature import Envelope, Signer, encode_envelope, parse_envelope, sign_envelope, verify_whole
from provenance.statement import PAYLOAD_TYPE
from provenance.statement.frame import open_frame
from provenance.statement.received import (
    MAX_BATCH_BYTES,
    MAX_EVENT_BYTES,
    MAX_EVENTS,
    RECEIVED_TYPE,
    Received,
    encode_batch,
    encode_received,
    events_root,
    parse_batch,
    read_received,
)
from provenance.stores.lineage_index import LineageIndex

if TYPE_CHECKING:
    from provenance.ledger.ledger import Ledger

MAX_WAITING: Final = 4_096
MAX_WAITING_BYTES: Final = 64 * 2**20
"""Events that wait or are being logged, all together."""
LARGE_EVENT_BYTES: Final = 64 * 2**10
"""An event of more goes by a queue of its own."""
_PAGE: Final = 1_000
Done = Callable[[BaseException | None], None]


@dataclass(frozen=True, slots=True)
class _Waiting:
    raw: bytes
    event: LineageEvent
    done: Done


class Receiver:
    """Receives events into one ledger, under one signing key. Close it."""

    def __init__(self, ledger: Ledger, key: str | None = None, passphrase: bytes | None = None) -> None:
        self._ledger, signer = ledger, ledger.keyring.signer(key, passphrase)
        self.index = LineageIndex(ledger.layout.directory / "openlineage.db")
        self._log_of_events = EventLog(ledger, signer, self.index)
        self._guard, self._waiting_bytes = threading.Lock(), 0
        catch_up(ledger, self.index)
        self._small, self._large = _Lane(self._commit, "small"), _Lane(self._commit, "large")

    def submit(self, raw: bytes, event: LineageEvent, done: Done) -> bool:
        """Take an event; `done` is called, in another thread, with None once it is durable, or with what failed. False
        if too many wait: nothing was taken."""
        with self._guard:
            if self._waiting_bytes + len(raw) > MAX_WAITING_BYTES:
                return False
            self._waiting_bytes += len(raw)
        lane = self._large if len(raw) > LARGE_EVENT_BYTES else self._small
        is_taken = lane.put(_Waiting(raw, event, done))
        if not is_taken:
            self._let_go(len(raw))
        return is_taken

    def _let_go(self, size: int) -> None:
        with self._guard:
            self._waiting_bytes -= size

    def read(self, raw: bytes) -> LineageEvent:
        """The event in bytes as they came; of a signed one, by a key that is trusted here.

        `PolicyError` if the key is not, `VerificationError` if the signature is not its own.
        """
        envelope, event = _opened(raw)
        if envelope is not None:
            keyid = envelope.signatures[0].keyid
            source = self._ledger.keyring.trust().source(keyid)
            if source is None or source.revoked:
                what = "event is signed by a key that is revoked here" if source else "event is signed and not trusted"
                hint = "its owner's public key goes in with `provenance keys trust NAME FILE`"
                raise PolicyError(what, expected="a trusted key", got=keyid, hint=hint)
            verify_whole(envelope, source.key)
        if event.producer == PRODUCER:
            what = "events of this producer are made by `provenance import` alone"
            raise PolicyError(what, expected="another producer", got=event.producer)
        return event

    def close(self) -> None:
        """Finish what waits, and stop."""
        for lane in (self._small, self._large):
            lane.close()
        self.index.close()

    def _commit(self, batch: list[_Waiting]) -> None:
        failure: BaseException | None = None
        try:
            self._log(batch)
        except ProvenanceError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, and the next batch gets its turn
            failure = StoreError("events could not be logged", got=type(error).__name__)
        self._let_go(sum(len(one.raw) for one in batch))
        for one in batch:
            with suppress(RuntimeError):  # the loop that waited has ended
                one.done(failure)

    def _log(self, batch: list[_Waiting]) -> None:
        self._log_of_events.add([(one.raw, one.event) for one in batch])


class _Lane:
    """A queue of events, and the thread that commits what waits in it, many at a time."""

    def __init__(self, commit: Callable[[list[_Waiting]], None], name: str) -> None:
        self._queue: queue.Queue[_Waiting | None] = queue.Queue(MAX_WAITING)
        self._commit = commit
        self._thread = threading.Thread(target=self._work, name=f"provenance-receiver-{name}", daemon=True)
        self._thread.start()

    def put(self, item: _Waiting) -> bool:
        """False if the queue is full."""
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            return False
        return True

    def close(self) -> None:
        """Finish what waits, and stop."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        ended = False
        while not ended:
            batch, size, ended = [], 0, False
            item = self._queue.get()
            while item is not None:
                batch.append(item)
                size += len(item.raw) + 4
                if len(batch) >= MAX_EVENTS or size + MAX_EVENT_BYTES > MAX_BATCH_BYTES or self._queue.empty():
                    break
                item = self._queue.get()
            ended = item is None
            if batch:
                self._commit(batch)


class EventLog:
    """Logs lineage events under one key, as many in an entry as fit, and tells the index. Threads may share it.

    Entries of two threads are indexed side by side; the index's position stays below every entry that is not yet
    indexed whole, so that a process that dies leaves none out.
    """

    def __init__(self, ledger: Ledger, signer: Signer, index: LineageIndex) -> None:
        self._ledger, self._signer, self._index = ledger, signer, index
        self._guard, self._unindexed, self._next = threading.Lock(), set[int](), 0

    def add(self, events: Sequence[tuple[bytes, LineageEvent]]) -> tuple[int, tuple[int, ...]]:
        """Log those events that are not here yet: how many, and in which entries. They are durable when it returns."""
        fresh = {Digest.of(raw): (raw, event) for raw, event in events}
        for digest in self._index.known(list(fresh)):
            del fresh[digest]
        entries = tuple(self._log(batch) for batch in _batches(fresh))
        return len(fresh), entries

    def _log(self, batch: list[tuple[Digest, bytes, LineageEvent]]) -> int:
        raws = [raw for _, raw, _ in batch]
        blob = self._ledger.blobs.put(encode_batch(raws))
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        statement = encode_received(Received(blob, len(raws), events_root(raws), now))
        envelope = encode_envelope(sign_envelope(statement, PAYLOAD_TYPE, self._signer))
        with self._guard:
            entry = self._ledger.append_batch(envelope)
            self._unindexed.add(entry)
            self._next = entry + 1
        told = [(digest, event) for digest, _, event in batch]
        self._index.add(entry, told, lambda: self._settled(entry), parse_time_us(now, "created"))
        with self._guard:
            self._unindexed.remove(entry)  # one whose indexing failed stays: the next start indexes it
        return entry

    def _settled(self, entry: int) -> int:
        """Below which entry all are indexed, once this one is."""
        with self._guard:
            return min(self._unindexed - {entry}, default=self._next)


def _batches(
    fresh: Mapping[Digest, tuple[bytes, LineageEvent]],
) -> Iterator[list[tuple[Digest, bytes, LineageEvent]]]:
    batch: list[tuple[Digest, bytes, LineageEvent]] = []
    size = 0
    for digest, (raw, event) in fresh.items():
        if batch and (len(batch) >= MAX_EVENTS or size + len(raw) + 4 > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((digest, raw, event))
        size += len(raw) + 4
    if batch:
        yield batch


def catch_up(ledger: Ledger, index: LineageIndex) -> None:
    """Index what was logged and not indexed: a run that was cut off, or an index that was thrown away."""
    position, size = index.position(), ledger.log.size()
    while position < size:
        rows = ledger.log.entries(position, min(_PAGE, size - position))
        for row in rows:
            frame = open_frame(parse_envelope(row.envelope).payload)
            if frame.predicate_type == RECEIVED_TYPE:
                received = read_received(frame)
                raws = parse_batch(ledger.blobs.get(received.batch, max_bytes=MAX_BATCH_BYTES))
                index.add(row.index, list(_readable(raws)), received_us=parse_time_us(received.created, "created"))
        position += len(rows)
        index.skip(position)


def _readable(raws: Sequence[bytes]) -> Iterator[tuple[Digest, LineageEvent]]:
    """The events that are such. An earlier release took some that no longer are: they stay in the log, unindexed."""
    for raw in raws:
        with suppress(MalformedError):
            yield Digest.of(raw), read_event(raw)


def read_event(raw: bytes) -> LineageEvent:
    """The event in bytes as they came, signed or not; `MalformedError` says what is wrong. No signature is verified."""
    return _opened(raw)[1]


def _opened(raw: bytes) -> tuple[Envelope | None, LineageEvent]:
    """The event, and the envelope that it came in, if it did."""
    envelope = open_signed(raw) if is_signed(raw) else None
    told = raw if envelope is None else envelope.payload
    event = parse_event(parse_foreign_json(told, what="event", max_bytes=MAX_EVENT_BYTES))
    if envelope is None:
        return None, event
    keyid = envelope.signatures[0].keyid
    return envelope, replace(event, flags=(*event.flags, f"signed by {keyid}"), signer=keyid)
