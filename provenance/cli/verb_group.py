"""Groups of verbs, each loaded when it is called.

Invariants: a group knows its verbs' names and the first sentence of their help without loading any of them; everything
else about a verb its module alone says. Whoever takes a command out of `commands` gets the verb itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from provenance.cli.invocation import add_verb, as_typed

_VERBS = "provenance.cli.verbs"


@dataclass(frozen=True, slots=True)
class Verb:
    """Where a verb is, `module:function` below `provenance.cli.verbs`, and the first sentence of its help."""

    name: str
    home: str
    summary: str

    def described(self) -> TyperCommand:
        """What a list of commands shows of it; it cannot be called."""
        return TyperCommand(self.name, help=self.summary, rich_markup_mode=None)

    def loaded(self) -> Any:
        """The verb's command, ready to be called."""
        module, _, function = self.home.partition(":")
        alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        add_verb(alone, self.name, getattr(import_module(f"{_VERBS}.{module}"), function))
        return typer.main.get_command(alone)


class VerbGroup(TyperGroup):
    """A group of verbs and further groups."""

    verbs: ClassVar[Mapping[str, Verb]] = {}

    def __init__(self, *, commands: Any = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands(self.verbs, dict(commands or {}))

    def get_params(self, ctx: Any) -> list[Any]:
        return as_typed(super().get_params(ctx))

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        """The names, in the order of `--help`."""
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - typer's signature
        """What is shown of a verb; a group as it is; None for another name."""
        verb = self.verbs.get(cmd_name)
        return verb.described() if verb is not None else self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As typer's, with the verb loaded."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else self.commands[name], rest


def verb_group(verbs: Mapping[str, Verb]) -> type[VerbGroup]:
    """The class of a group that holds `verbs`, by name."""
    return type("VerbGroup", (VerbGroup,), {"verbs": verbs})


class _Commands(MutableMapping[str, Any]):
    """Commands by name, verbs before groups; a verb is loaded when it is taken out, and once."""

    def __init__(self, verbs: Mapping[str, Verb], groups: dict[str, Any]) -> None:
        self._verbs = verbs
        self._made: dict[str, Any] = {**dict.fromkeys(verbs), **groups}

    def __getitem__(self, name: str) -> Any:
        command = self._made[name]
        if command is None:
            command = self._made[name] = self._verbs[name].loaded()
        return command

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)
