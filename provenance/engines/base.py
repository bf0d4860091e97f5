"""Engines: who does the hashing of what one machine would take too long for.

Guarantees of every implementation: results come in the order of the items; an item whose worker was lost is done
again, a few times, and then the run fails with a `SourceError`; an error that the work itself raised is raised as it
is, and ends the run; at most `window` items are under way, so that memory does not grow with their number; nothing is
left running when the engine is closed.

What an engine runs must be importable by name on its workers, and the data must be readable from there under the same
path or URI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Protocol, Self, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Engine(Protocol):
    """Workers that can be closed."""

    @property
    def name(self) -> str:
        """What the engine is called on the command line."""

    def map(self, work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        """The results of `work` in the order of the items."""

    def close(self) -> None:
        """Let the workers go. Twice is the same as once."""

    def __enter__(self) -> Self:
        """The engine."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes the engine."""
