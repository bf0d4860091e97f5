"""Fingerprinting on a Ray cluster: files and row groups go to its workers as tasks.

Invariants: the cluster is the one that `RAY_ADDRESS` names, or else one that already runs on this machine, or else one
started here and stopped at the end; a task whose worker or node dies is given to another by Ray, at most
`MAX_RETRIES` times; the driver holds no more than `window` results.

Source: Ray's fault tolerance of tasks (system failures are retried, exceptions of the task are not).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from provenance.errors import ProvenanceError, SourceError

MAX_RETRIES: Final = 5
RESULT_TIMEOUT_S: Final = 3_600.0
"""How long one item may take before the cluster is given up."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class RayEngine:
    """Tasks of one Ray cluster. `SourceError` if Ray is not installed or the cluster cannot be reached."""

    name = "ray"

    def __init__(self, *, window: int | None = None) -> None:
        self._ray = _import_ray()
        self._started = not self._ray.is_initialized()
        if self._started:
            self._connect()
        processors = int(self._ray.cluster_resources().get("CPU", 1)) or 1
        self._window = window or 2 * processors + 2

    def _connect(self) -> None:
        options = {"log_to_driver": False, "logging_level": "error", "configure_logging": True}
        address = os.environ.get("RAY_ADDRESS")
        try:
            if address:
                self._ray.init(address=address, **options)
                return
            try:
                self._ray.init(address="auto", **options)
            except ConnectionError:
                self._ray.init(include_dashboard=False, **options)
        except Exception as error:
            hint = "is the cluster up, and does RAY_ADDRESS name it? Without RAY_ADDRESS one is started on this machine"
            raise SourceError("cannot reach a Ray cluster", got=type(error).__name__, hint=hint) from error

    def map(self, work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        """The results in the order of the items, `window` of them under way at a time."""
        # Nothing is retried but what a lost worker took with it.
        task = self._ray.remote(_apply).options(max_retries=MAX_RETRIES, retry_exceptions=False, num_cpus=1)
        pending: deque[Any] = deque()
        try:
            for item in items:
                pending.append(task.remote(work, item))
                if len(pending) >= self._window:
                    yield self._result(pending.popleft())
            while pending:
                yield self._result(pending.popleft())
        finally:
            for reference in pending:
                self._ray.cancel(reference, force=False)

    def _result(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference, timeout=RESULT_TIMEOUT_S)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, ProvenanceError):
                raise cause from None
            raise SourceError("a worker failed", got=type(cause or error).__name__, where="the Ray cluster") from error
        except self._ray.exceptions.RayError as error:
            hint = f"an item was given to {MAX_RETRIES + 1} workers; see `ray status` and the cluster's logs"
            raise SourceError(
                "workers were lost", got=type(error).__name__, where="the Ray cluster", hint=hint
            ) from error

    def close(self) -> None:
        """Leave the cluster; one that was started here is stopped."""
        if self._started and self._ray.is_initialized():
            self._ray.shutdown()
        self._started = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _apply(work: Callable[[_Item], _Result], item: _Item) -> _Result:
    return work(item)


def _import_ray() -> Any:
    # Ray tells its makers how it is used unless this is set before it starts.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        return import_module("ray")
    except ImportError as error:
        hint = "pip install 'provenance-ledger[ray]'"
        raise SourceError("the engine ray needs the extra ray", hint=hint) from error
