"""Keeping the log's map up while a server runs, and signing the heads of what is published.

Invariants: the log never waits for it: it runs in a thread of its own, a small batch of entries at a time, and rests
three times as long as it worked while it has to catch up; a failure is told and followed by another try; `close`
returns within the time of one batch, and at most in `_STOP_S`. Of the checkpoints that the server shows, those are
published that are there when it looks, once a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from provenance.errors import NotFoundError, ProvenanceError, WitnessError
from provenance.ledger.mapping import keep_heads, wanted_checkpoint
from provenance.ledger.witnessing import public_checkpoint

if TYPE_CHECKING:
    from provenance.ledger.ledger import Ledger

_POLL_S: Final = 1.0
_MAX_WAIT_S: Final = 60.0
_STOP_S: Final = 10.0
_BATCH_ENTRIES: Final = 256
_REST: Final = 3.0


class _StoppedError(Exception):
    """The keeper was closed in the middle of its work."""


class MapKeeper:
    """Keeps one ledger's map until it is closed. `tell` hears of every failure, in its thread."""

    def __init__(self, ledger: Ledger, *, tell: Callable[[ProvenanceError], None], poll_s: float = _POLL_S) -> None:
        self._ledger, self._tell, self._poll_s = ledger, tell, poll_s
        self._stop = threading.Event()
        self._note: bytes | None = None
        self._since = 0.0
        self._thread = threading.Thread(target=self._work, name="provenance-map", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Keep it up no more."""
        self._stop.set()
        self._thread.join(_STOP_S)

    def _work(self) -> None:
        wait_s = self._poll_s
        while not self._stop.wait(wait_s):
            try:
                self._keep()
                wait_s = self._poll_s
                continue
            except _StoppedError:
                return
            except ProvenanceError as error:
                self._tell(error)
            except Exception as error:  # noqa: BLE001 - a thread that ends in silence would keep nothing up
                self._tell(ProvenanceError("keeping the log's map failed", got=type(error).__name__))
            wait_s = min(2 * wait_s, _MAX_WAIT_S)

    def _keep(self) -> None:
        try:
            note = public_checkpoint(self._ledger)
        except (NotFoundError, WitnessError):  # nothing is published
            return
        if note != self._note and note == self._ledger.log.checkpoint().note:
            wanted_checkpoint(self._ledger)
        self._since = time.monotonic()
        keep_heads(self._ledger, batch_entries=_BATCH_ENTRIES, progress=self._rest)
        self._note = note

    def _rest(self, _done: int, _total: int) -> None:
        if self._stop.wait(_REST * (time.monotonic() - self._since)):
            raise _StoppedError
        self._since = time.monotonic()
