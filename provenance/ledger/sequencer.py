"""The sequencer: what many threads hand in becomes log entries, many at a time.

Invariants: one batch is one store transaction, so one signature and one sync make all of it durable or none; what
`submit` returned is in the log, in its index and under the signed checkpoint, and survives a power cut; a submission
that is refused takes no other of its batch with it; who waits is bounded in number, and everybody who is let in gets an
answer. Other processes take their turns by the store's one transaction at a time.

There is no thread of its own: of those who wait, one does the work of all that wait by then, and then another. Whoever
comes while a batch is being written goes into the next one, so that batches grow with the load and a lone submitter
waits for nobody.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from provenance.errors import ProvenanceError, StoreError
from provenance.ledger.growth import Growth
from provenance.ledger.publication import catch_up_index
from provenance.log import CheckpointSigner
from provenance.log.tile import EdgeNodes
from provenance.stores import BlobStore, Store, StoreTransaction

MAX_BATCH_ENTRIES: Final = 1_024
MAX_BATCH_BYTES: Final = 16 * 2**20
MAX_WAITING: Final = 8_192
"""Submissions that wait for their turn; above it they are told to come back."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Submission(Protocol[T_co]):
    """Something that becomes a log entry."""

    @property
    def envelope(self) -> bytes:
        """The entry's bytes."""

    def find(self, tx: StoreTransaction, /) -> T_co | None:
        """What is in the log already and is the same; None if this is new. Raises what speaks against it."""

    def index(self, tx: StoreTransaction, blobs: BlobStore, index: int) -> T_co:
        """Index it as the entry at `index`, and return what its submitter gets."""


@dataclass(slots=True, eq=False)
class _Waiting(Generic[T]):
    item: Submission[T]
    turn: threading.Event = field(default_factory=threading.Event)
    is_done: bool = False
    result: T | None = None
    error: BaseException | None = None

    def settle(self, result: T | None, error: BaseException | None = None) -> None:
        self.result, self.error, self.is_done = result, error, True


class Sequencer:
    """Appends to one store. Threads share it; `signer` gives the log's key at each batch."""

    def __init__(self, store: Store, blobs: BlobStore, signer: Callable[[], CheckpointSigner]) -> None:
        self._store, self._blobs, self._signer = store, blobs, signer
        self._nodes = EdgeNodes()  # of whoever leads
        self._lock = threading.Lock()
        self._queue: deque[_Waiting[object]] = deque()
        self._leader: _Waiting[object] | None = None

    def submit(self, item: Submission[T]) -> T:
        """What `item.index` or `item.find` gave, once it is durable.

        Raises what `item` raises, or a `StoreError`: of the store, or because too many are waiting. After an error of
        the store it may be in the log all the same; to submit it again is harmless.
        """
        waiting = _Waiting(item)
        with self._lock:
            if len(self._queue) >= MAX_WAITING:
                raise StoreError(
                    "too many submissions are waiting", expected=f"at most {MAX_WAITING}", hint="try again"
                )
            self._queue.append(waiting)  # type: ignore[arg-type]  # each gets back what its own item made
            leads = self._leader is None
            if leads:
                self._leader = waiting  # type: ignore[assignment]
        try:
            if not leads:
                waiting.turn.wait()  # whoever leads sets it: with an answer, or to hand over
            if not waiting.is_done:
                self._lead()
        except BaseException:  # an interrupt: who is gone must not be handed the lead, nor keep it
            self._leave(waiting)
            raise
        if waiting.error is not None:
            raise waiting.error
        return waiting.result  # type: ignore[return-value]  # settled without an error

    def _lead(self) -> None:
        """Write the batch that the head of the queue is in, and hand over to who waits then."""
        batch: list[_Waiting[object]] = []
        try:
            with self._lock:
                batch = self._take()
            self._write(batch)
        finally:
            for one in batch:
                if not one.is_done:  # an interrupt, wherever it hit
                    hint = "submit it again: that is harmless"
                    one.settle(None, StoreError("the batch was interrupted, and may be in the log", hint=hint))
            with self._lock:
                self._hand_over()
            for one in batch:
                one.turn.set()

    def _leave(self, waiting: _Waiting[T]) -> None:
        """Wait no more. Whoever was to lead hands over."""
        with self._lock:
            if waiting in self._queue:
                self._queue.remove(waiting)  # type: ignore[arg-type]
            if self._leader is waiting:
                self._hand_over()

    def _hand_over(self) -> None:
        """Let who waits first lead, if anybody does. The lock is held."""
        self._leader = self._queue[0] if self._queue else None
        if self._leader is not None:
            self._leader.turn.set()

    def _take(self) -> list[_Waiting[object]]:
        batch: list[_Waiting[object]] = []
        total_bytes = 0
        while self._queue and len(batch) < MAX_BATCH_ENTRIES:
            total_bytes += len(self._queue[0].item.envelope)
            if batch and total_bytes > MAX_BATCH_BYTES:
                break
            batch.append(self._queue.popleft())
        return batch

    def _write(self, batch: Sequence[_Waiting[object]]) -> None:
        try:
            self._transact(batch)
        except StoreError as error:
            for one in batch:
                one.settle(None, copy.copy(error))
        except ProvenanceError as error:
            if len(batch) == 1:
                batch[0].settle(None, error)
                return
            for one in batch:  # one of them did it: each on its own, so that it fails alone
                self._write([one])

    def _transact(self, batch: Sequence[_Waiting[object]]) -> None:
        results: list[tuple[_Waiting[object], object, ProvenanceError | None]] = []
        with self._store.transaction() as tx:
            catch_up_index(tx, self._blobs)
            growth = Growth(tx, self._signer(), self._nodes)
            size = tx.size()
            for one in batch:
                try:
                    found = one.item.find(tx)
                except StoreError:
                    raise
                except ProvenanceError as error:  # it is refused; nothing was written for it
                    results.append((one, None, error))
                    continue
                if found is None:
                    found = one.item.index(tx, self._blobs, growth.add(one.item.envelope))
                results.append((one, found, None))
            if growth.finish():
                tx.set_index_size(tx.size(), expected_size=size)
        for one, result, refusal in results:
            one.settle(result, refusal)
