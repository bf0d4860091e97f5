"""Keeping what is published of a log current while a server runs, whatever becomes of the place.

Invariants: the log never waits for it: it runs in a thread of its own, and reads the log as anybody does; a failure is
told and followed by another try, after 1 s at first and a minute at most, until the place is there again, when it
catches up with all that is missing; the place is opened anew after a failure; `close` returns within the time of what
is under way, and at most in `_STOP_S`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Final

from provenance.errors import NotFoundError, ProvenanceError, StoreError, WitnessError
from provenance.ledger.log_publishing import CountFiles, Published, publish_log
from provenance.ledger.mapping import wanted_checkpoint
from provenance.ledger.witnessing import Cosigning, collect_for, public_checkpoint, quorum_of, require_quorum
from provenance.log import parse_checkpoint, parse_note
from provenance.publishers import Publisher, open_publisher
from provenance.stores import CheckpointRow

if TYPE_CHECKING:
    from provenance.ledger.ledger import Ledger

_POLL_S: Final = 0.5
_FIRST_WAIT_S: Final = 1.0
_MAX_WAIT_S: Final = 60.0
_STOP_S: Final = 10.0

Tell = Callable[[Published | ProvenanceError], None]


def publish_ledger(ledger: Ledger, publisher: Publisher, *, progress: CountFiles | None = None) -> Published:
    """`publish_log` of a ledger's log, up to a checkpoint that was cosigned as the trust roots ask; it is remembered
    that others have it.

    Where the latest was not, the witnesses are asked first, within their time. If they do not cosign, the largest that
    they did is published, and `WitnessError` says why no more is.
    """
    row, problem = wanted_checkpoint(ledger), None
    if not quorum_of(ledger, row).is_met:
        row, problem = _cosigned(ledger, collect_for(ledger))
    done = publish_log(ledger.log, publisher, row=row, progress=progress)
    ledger.remember_shown(row.note)
    if problem is not None:
        raise problem
    return done


def carry_head(ledger: Ledger, publisher: Publisher, size: int) -> None:
    """Put the newest head of the log's map that is kept, of those up to a size, beside the checkpoint that is there."""
    kept = ledger.map.head(size)
    if kept is None or (found := publisher.head()) == kept[1]:
        return
    if found is None or parse_checkpoint(parse_note(found).text).size <= kept[0]:
        publisher.put_head(kept[1])


def _cosigned(ledger: Ledger, found: Cosigning | None) -> tuple[CheckpointRow, WitnessError | None]:
    """The largest checkpoint that has its quorum, and why the one that witnesses were asked for is not that."""
    row, problem = ledger.log.checkpoint(), None
    try:
        require_quorum(ledger, row, found)
        return row, None
    except WitnessError as error:
        problem = error
    try:
        note = public_checkpoint(ledger)
    except WitnessError:
        raise problem from None
    shown = parse_checkpoint(parse_note(note).text)
    row = CheckpointRow(shown.size, shown.root, note)
    is_enough = found is not None and row.size >= found.size  # what came since is cosigned the next time
    return row, None if is_enough else problem


class _StoppedError(Exception):
    """The publisher was closed in the middle of its work."""


class LogPublisher:
    """Publishes one ledger's log to one place until it is closed. `tell` hears of every outcome, in its thread."""

    def __init__(self, ledger: Ledger, address: str, *, tell: Tell, first_wait_s: float = _FIRST_WAIT_S) -> None:
        """`MalformedError` for an address that can be none."""
        self._ledger, self._address, self._tell, self._first_wait_s = ledger, address, tell, first_wait_s
        self._stop = threading.Event()
        self._note: bytes | None = None
        self._size = 0
        self._head: tuple[int, bytes] | None = None
        self._thread = threading.Thread(target=self._work, name="provenance-publisher", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Publish nothing more."""
        self._stop.set()
        self._thread.join(_STOP_S)

    def _work(self) -> None:
        wait_s = self._first_wait_s
        while not self._stop.is_set():
            try:
                with closing(open_publisher(self._address)) as publisher:
                    while not self._stop.is_set():
                        self._publish(publisher)
                        wait_s = self._first_wait_s
                        self._stop.wait(_POLL_S)
            except _StoppedError:
                return
            except ProvenanceError as error:
                self._tell(error)
            except Exception as error:  # noqa: BLE001 - a thread that ends in silence would publish nothing more
                self._tell(ProvenanceError("publishing failed", got=type(error).__name__))
            self._stop.wait(wait_s)
            wait_s = min(2 * wait_s, _MAX_WAIT_S)

    def _publish(self, publisher: Publisher) -> None:
        try:
            row = self._ledger.log.checkpoint()
        except NotFoundError:  # the log is empty
            return
        if row.note == self._note:
            self._carry(publisher)
            return
        done = publish_ledger(self._ledger, publisher, progress=self._check_stop)
        self._note, self._size = (row.note if done.size == row.size else None), done.size
        if done.files:
            self._tell(done)
        self._carry(publisher)

    def _carry(self, publisher: Publisher) -> None:
        """The head of the map, once it is there: it comes after its checkpoint, and holds none up."""
        try:
            head = self._ledger.map.head(self._size)
        except StoreError:  # who keeps the map tells of it
            return
        if head != self._head:
            carry_head(self._ledger, publisher, self._size)
            self._head = head

    def _check_stop(self, _done: int, _total: int) -> None:
        if self._stop.is_set():
            raise _StoppedError
