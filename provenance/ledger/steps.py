"""Steps: functions each call of which is a run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from provenance.errors import MalformedError
from provenance.statement import PinnedName

if TYPE_CHECKING:
    from provenance.ledger.ledger import Ledger, Location

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def as_step(
    ledger: Ledger,
    name: str | None,
    *,
    inputs: Sequence[Location | tuple[Location, str]],
    outputs: Mapping[str, str],
    folder: Location,
    code: Sequence[str] | None,
    accept_unverified: bool,
    key: str | None,
    passphrase: bytes | None,
) -> Callable[[Callable[_Given, _Result]], Callable[_Given, _Result]]:
    """What `Ledger.step` gives."""
    made = [(path, PinnedName.parse(text)) for path, text in outputs.items()]
    if not made:
        raise MalformedError("the step has no output", expected="one at least")

    def decorate(function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
        step = name if name is not None else function.__name__
        signature = inspect.signature(function)

        @wraps(function)
        def run(*arguments: _Given.args, **named: _Given.kwargs) -> _Result:
            given = signature.bind(*arguments, **named)
            given.apply_defaults()
            # What is no plain value is data, and data are inputs.
            plain = {at: one for at, one in given.arguments.items() if isinstance(one, str | int | float | None)}
            files = code if code is not None else _file_of(function, Path(folder).resolve())
            with ledger.run(
                step,
                inputs=inputs,
                folder=folder,
                code=files,
                parameters=plain,
                accept_unverified=accept_unverified,
                key=key,
                passphrase=passphrase,
            ) as recorder:
                for path, pinned in made:
                    recorder.output(path, f"{pinned.dataset.namespace}/{pinned.dataset.name}", pinned.version)
                recorder.expect_nothing()
                return function(*arguments, **named)

        return run

    return decorate


def _file_of(function: Callable[..., object], folder: Path) -> list[str]:
    """The file a function was written in, if that is one of the folder's."""
    try:
        path = Path(inspect.getsourcefile(function) or "").resolve()
    except TypeError:
        return []
    return [str(path)] if path.is_file() and folder in path.parents else []
