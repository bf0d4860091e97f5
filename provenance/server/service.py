"""What every route needs: the ledger, threads to call it in, and how many may do what at a time.

Invariants: no call of the ledger runs on the event loop; calls that write, that read and that walk lineages have
threads of their own, so that none of them can starve the others; what exceeds a count is refused at once as busy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from provenance.ledger import Ledger
from provenance.server.bounds import ServerLimits
from provenance.server.problems import busy

T = TypeVar("T")


class Slots:
    """A count of things that may go on at a time. For one event loop."""

    def __init__(self, count: int, what: str, *, retry_after_s: int) -> None:
        self._free, self._what, self._retry_after_s = count, what, retry_after_s

    @contextmanager
    def take(self, count: int = 1) -> Iterator[None]:
        """Hold `count` of them in this block; refused as busy if so many are not free."""
        self.hold(count)
        try:
            yield
        finally:
            self.release(count)

    def hold(self, count: int) -> None:
        """Take `count` until `release`."""
        if count > self._free:
            raise busy(self._what, retry_after_s=self._retry_after_s)
        self._free -= count

    def release(self, count: int) -> None:
        """Give `count` back."""
        self._free += count


class Service:
    """The ledger as routes see it."""

    def __init__(self, ledger: Ledger, limits: ServerLimits) -> None:
        self.ledger, self.limits = ledger, limits
        retry_after_s = limits.retry_after_s
        self.held_bytes = Slots(limits.max_held_bytes, "large requests", retry_after_s=retry_after_s)
        self.uploads = Slots(limits.max_uploads, "uploads", retry_after_s=retry_after_s)
        self._heavy_requests = Slots(limits.max_heavy_requests, "verifications", retry_after_s=retry_after_s)
        self._reading = CapacityLimiter(limits.reading_threads)
        self._writing = CapacityLimiter(limits.writing_threads)
        self._heavy = CapacityLimiter(limits.heavy_threads)

    async def read(self, work: Callable[[], T]) -> T:
        """What `work`, a short read, returns."""
        return await run_sync(work, limiter=self._reading)

    async def write(self, work: Callable[[], T]) -> T:
        """What `work`, which may wait for the log's one writer, returns."""
        return await run_sync(work, limiter=self._writing)

    async def heavy(self, work: Callable[[], T]) -> T:
        """What `work`, which walks a lineage or parses a bundle, returns."""
        with self._heavy_requests.take():
            return await run_sync(work, limiter=self._heavy)
