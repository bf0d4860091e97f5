"""One run of one verb: which ledger, what form the output takes, and the way from a function to a verb.

Invariants: every verb has `--json`; at most one document is printed; a ledger is opened when a verb asks for it.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from provenance.cli.exits import READER_GONE, failure_of
from provenance.cli.screen import Screen, complain
from provenance.errors import MalformedError

if TYPE_CHECKING:
    from provenance.encoding import JsonValue
    from provenance.ledger import Ledger

JSON_HELP = "Print exactly one JSON document, errors too."


@dataclass(slots=True)
class Invocation:
    """What the global options said, and where output goes. `printed` is True once the document is out."""

    ledger_folder: str | None = None
    as_json: bool = False
    printed: bool = False
    screen: Screen = field(default_factory=Screen)

    def use_json(self) -> None:
        """Print a document and no text."""
        self.as_json, self.screen = True, Screen(muted=True)

    def document(self, value: Mapping[str, JsonValue]) -> None:
        """The verb's result: printed with `--json`, and only once."""
        if self.as_json and not self.printed:
            self.printed = True
            sys.stdout.write(json.dumps(value, indent=2) + "\n")  # ASCII, so that any terminal can show it
            sys.stdout.flush()

    def stream(self, text: str) -> None:
        """Text that is made to be piped on, verbatim: a checkpoint, a proof, a PEM block."""
        if not self.as_json:
            sys.stdout.write(text)

    def flush(self) -> None:
        """Bring out what was printed so far, before something that may take long or fail."""
        sys.stdout.flush()

    def problem(self, error: BaseException) -> None:
        """A problem that does not undo the verb's result; with `--json` the document tells of it."""
        if not self.as_json:
            self.flush()
            failure = failure_of(error)
            complain(failure.what, failure.details)

    @property
    def names_ledger(self) -> bool:
        """Whether a ledger was named, and is not only looked for."""
        return self.ledger_folder is not None or bool(os.environ.get("PROVENANCE_LEDGER"))

    @contextmanager
    def ledger(self, *, check_shown: bool = True) -> Iterator[Ledger]:
        """The ledger of `--ledger`, else of PROVENANCE_LEDGER, else the nearest upwards."""
        from provenance.ledger import Ledger

        if self.ledger_folder == "":
            raise MalformedError("--ledger is empty", expected="a ledger's folder")
        with Ledger.open(self.ledger_folder, check_shown=check_shown) as ledger:
            yield ledger


class _AsTyped:
    """Takes what was typed as it is."""

    def coerce(self, value: Any, param: Any, ctx: object) -> Any:  # noqa: ARG002 - typer's signature
        """`value`; nothing given is an empty tuple for what may be repeated."""
        return () if value is None and (param.multiple or param.nargs == -1) else value


class _Verb(TyperCommand):
    """A verb whose parameters are text and flags."""

    def get_params(self, ctx: Any) -> list[Any]:
        return as_typed(super().get_params(ctx))


def as_typed(parameters: list[Any]) -> list[Any]:
    """`parameters`, changed to take what was typed as it is."""
    # typer makes a pydantic adapter for every parameter, even for text: 85 ms of CPU before a verb begins. All ours
    # are text or flags, parsed by us, so that errors come from one tree. Releases that work otherwise ignore this.
    for parameter in parameters:
        vars(parameter)["get_runtime_param"] = _AsTyped
        if parameter.param_type_name == "argument":
            # It would show `{NAME}` and `NAME <str>`, and brackets of its own.
            vars(parameter)["_usage_display_name"] = partial(_usage_name, parameter)
            vars(parameter)["display_type_rich"] = _no_type
    return parameters


def _usage_name(parameter: Any) -> str:
    return str(parameter.metavar) if parameter.required else f"[{parameter.metavar}]"


def _no_type(*, ctx: object) -> None:
    """An argument's metavar says what it is."""


def _options(group: Any) -> list[inspect.Parameter]:
    hints, keyword = typing.get_type_hints(group, include_extras=True), inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(one.name, keyword, annotation=hints[one.name], default=one.default) for one in fields(group)
    ]


def add_verb(app: typer.Typer, name: str, function: Callable[..., int]) -> None:
    """Make `function(invocation, ...)` the verb `name` of `app`, with `--json` added. It returns the exit code.

    A parameter whose type is a dataclass stands for the options that its fields are, so that verbs can share them.
    """
    # Resolved here: what typer sees is made below, and would not find the names of another module.
    hints = typing.get_type_hints(function, include_extras=True)
    signature = inspect.signature(function)
    own = [p.replace(annotation=hints[p.name]) for p in list(signature.parameters.values())[1:]]
    groups: dict[str, Any] = {p.name: p.annotation for p in own if is_dataclass(p.annotation)}
    own = [option for p in own for option in (_options(p.annotation) if p.name in groups else [p])]
    keyword = inspect.Parameter.KEYWORD_ONLY
    flag = Annotated[bool, typer.Option("--json", help=JSON_HELP)]
    added = [
        inspect.Parameter("context", keyword, annotation=typer.Context),
        *(parameter.replace(kind=keyword) for parameter in own),
        inspect.Parameter("as_json", keyword, annotation=flag, default=False),
    ]

    def call(*, context: typer.Context, as_json: bool, **arguments: Any) -> int:
        invocation: Invocation = context.obj
        if as_json:
            invocation.use_json()
        for group, kind in groups.items():
            arguments[group] = kind(**{one.name: arguments.pop(one.name) for one in fields(kind)})
        try:
            return function(invocation, **arguments)
        except BrokenPipeError:
            return READER_GONE

    call.__signature__ = signature.replace(parameters=added)  # type: ignore[attr-defined]  # what typer reads
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in added}
    call.__doc__ = function.__doc__
    app.command(name, cls=_Verb)(call)
