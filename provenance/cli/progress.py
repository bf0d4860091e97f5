"""Progress bars: on stderr, only in a terminal, and only for what lasts longer than a second.

Invariant: nothing of it is loaded, and nothing printed, for what is done sooner.
"""

from __future__ import annotations

import os
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from provenance.sources import Progress as BytesRead

DELAY_S: Final = 1.0


class Meter:
    """A bar that appears after a second: of bytes read, of items done, or of work whose end is not known."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._guard = threading.Lock()
        self._timer: threading.Timer | None = None
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._state: tuple[int, int | None] = (0, None)
        self._in_bytes = False

    def __enter__(self) -> Meter:
        if sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            self._timer = threading.Timer(DELAY_S, self._appear)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._guard:
            self._timer = None
            if self._bar is not None:
                self._bar.stop()

    def read(self, progress: BytesRead) -> None:
        """What sources call while they read."""
        self._in_bytes = True
        self._move(progress.done_bytes, progress.total_bytes)

    def count(self, done: int, total: int) -> None:
        """What goes through items calls."""
        self._move(done, total)

    def _move(self, done: int, total: int) -> None:
        self._state = (done, total)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total)

    def _appear(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        with self._guard:
            if self._timer is None:  # it was done in the meantime
                return
            done, total = self._state
            amount = (DownloadColumn() if self._in_bytes else MofNCompleteColumn(),) if total is not None else ()
            columns = (TextColumn("{task.description}", markup=False), BarColumn(), *amount, TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self._title, completed=done, total=total)
            self._bar.start()
