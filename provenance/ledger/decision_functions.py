"""The decorator that records the answers of a function.

Invariants: what was given is encoded before the function runs, for it may change its arguments; an answer is returned
only after it was recorded; what comes in pieces (a generator) is refused, for the pieces would be given before.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, ParamSpec, TypeVar

from provenance.encoding import JsonValue, canonical_json
from provenance.errors import MalformedError

_P = ParamSpec("_P")
_T = TypeVar("_T")
Record = Callable[[bytes, bytes], object]
_EXPECTED: Final = "a function that returns its answer in one piece"


def recording(function: Callable[_P, _T], record: Record) -> Callable[_P, _T]:
    """The function, each of whose answers is recorded before it is returned; a coroutine function stays one."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise MalformedError("the answers of a generator cannot be recorded before they are given", expected=_EXPECTED)

    async def finish(given: bytes, answer: Awaitable[Any]) -> Any:
        value = await answer
        # A full journal is synced by whoever fills it: not in the event loop.
        await asyncio.to_thread(record, given, _encoded(value))
        return value

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            return await finish(_given(args, kwargs), function(*args, **kwargs))

        return awaited  # type: ignore[return-value]  # _T is the coroutine that the function returns

    @functools.wraps(function)
    def recorded(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        given = _given(args, kwargs)
        answer = function(*args, **kwargs)
        if inspect.isawaitable(answer):
            return finish(given, answer)  # type: ignore[return-value]  # what is awaited is the same
        record(given, _encoded(answer))
        return answer

    return recorded


def _given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    return _encoded(args[0] if len(args) == 1 and not kwargs else {"args": list(args), "kwargs": kwargs})


def _encoded(value: object) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    plain: JsonValue = value  # type: ignore[assignment]  # what is no JSON value is an error of canonical_json
    return canonical_json(plain)
