"""How long to wait for a store, and how often to ask again.

Invariants: every wait on the network is bounded; after `attempts` failures with hardly a byte between them it is an
error that names the object.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from provenance.errors import SourceError
from provenance.sources.remote.failures import TransientError

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Patience:
    """`connect_s` for a connection, `head_s` for an answer to begin, `read_s` between two pieces of it (and within it
    at least `min_bytes` must come), `request_s` for one request through a library; waits double from `first_wait_s` to
    `max_wait_s`. An object counts as moving on, and attempts start anew, after `progress_bytes`."""

    connect_s: float = 10.0
    head_s: float = 60.0
    read_s: float = 30.0
    request_s: float = 300.0
    min_bytes: int = 1 << 14
    attempts: int = 5
    first_wait_s: float = 0.25
    max_wait_s: float = 15.0
    progress_bytes: int = 1 << 20


PATIENCE: Final = Patience()


class Attempts:
    """Counts failures of one thing and waits after each; `SourceError` when there were too many."""

    def __init__(self, patience: Patience, where: str) -> None:
        self._patience, self._where, self._failures = patience, where, 0

    def moved_on(self) -> None:
        """It went well for a while."""
        self._failures = 0

    def failed(self, error: TransientError) -> None:
        """Wait before the next attempt, or give up."""
        self._failures += 1
        if self._failures >= self._patience.attempts:
            hint = "repeating is safe"
            what = f"store does not answer after {self._failures} attempts"
            raise SourceError(what, got=error.got, where=self._where, hint=hint) from None
        wait_s = self._patience.first_wait_s * 2 ** (self._failures - 1)
        # Spread out, so that readers that were refused together do not come back together.
        wait_s *= random.uniform(0.5, 1.5)  # noqa: S311 - no secret hangs on it
        time.sleep(min(max(wait_s, error.retry_after_s or 0.0), self._patience.max_wait_s))


def patiently(patience: Patience, where: str, work: Callable[[], _Result]) -> _Result:
    """What `work` returns, tried again for as long as it raises `TransientError`."""
    attempts = Attempts(patience, where)
    while True:
        try:
            return work()
        except TransientError as error:
            attempts.failed(error)
