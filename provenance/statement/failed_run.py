"""That a command failed which was run on an artefact, and others: it made nothing.

Invariants: it is said of each input, for there is no output that it could be about; the input that it is about is among
those that it names; its exit code is never 0. It bears on no verdict.

Bytes of its predicate (canonical JSON, with what every event has): `{"command":["python","train.py"],"created":"..",
"environment":{"python":"3.11.2"},"exitCode":1,"finishedOn":"..","invocationId":"..","parameters":{},
"resolvedDependencies":[{"annotations":{"envelope":"<64 hex>","path":"raw.csv","role":"input"},
"digest":{"sha256":"<64 hex>"},"name":"ns/raw@1"}],"startedOn":"..","statement":{..},"step":"train"}`; its dependencies,
and `observed`, are as in a run's SLSA Provenance, which it is not: that is about what was made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from provenance.encoding import Fields, JsonValue
from provenance.errors import MalformedError
from provenance.fingerprint.files import check_path
from provenance.limits import MAX_INPUTS, check_size
from provenance.statement.frame import check_time
from provenance.statement.run import (
    MAX_WORDS,
    CodeFile,
    Input,
    Observed,
    Revision,
    check_new_words,
    check_texts,
    check_values,
    dependencies,
)
from provenance.statement.run_reading import (
    MAX_DEPENDENCIES,
    plain_object,
    read_command,
    read_dependencies,
    read_environment,
    read_observed,
)
from provenance.statement.text import MAX_WORD_CHARS, check_word

_MAX_STATUS: Final = 255


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A command that failed: on which inputs, how it ended (`exit_code`: 1 to 255; 128 and its number for a signal),
    and what else a run says."""

    TYPE: ClassVar[str] = "urn:provenance-ledger:failed-run:1"

    step: str
    inputs: tuple[Input, ...]
    started: str
    finished: str
    invocation: str
    command: tuple[str, ...]
    exit_code: int
    code: tuple[CodeFile, ...] = ()
    revision: Revision | None = None
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    observed: Observed | None = None

    def __post_init__(self) -> None:
        check_word(self.step, "step")
        check_word(self.invocation, "invocation")
        for time in (self.started, self.finished):
            check_time(time)
        if not 1 <= self.exit_code <= _MAX_STATUS:
            raise MalformedError("not how a command fails", expected=f"1 to {_MAX_STATUS}", got=self.exit_code)
        if not self.command or not self.inputs:
            raise MalformedError("failed run has no command or no inputs", expected="one of each at least")
        check_size("inputs", len(self.inputs), MAX_INPUTS, "datasets")
        check_size("code files", len(self.code), MAX_INPUTS, "files")
        check_size("command", len(self.command), MAX_WORDS, "words")
        paths = [one.path.removesuffix("/") for one in self.inputs if one.path is not None]
        for path in (*paths, *(one.path for one in self.code)):
            check_path(path)
        if len({one.pin.name for one in self.inputs}) != len(self.inputs):
            raise MalformedError("input is named twice", expected="each once")
        check_texts(self.command)
        check_values(self.parameters)

    def check_new(self) -> None:
        """Raise `MalformedError` for what is read in a log and must not be signed or logged any more: secrets."""
        check_new_words(self.command, self.parameters, self.revision)

    def to_json(self) -> dict[str, JsonValue]:
        """The fields of its own."""
        return {
            "step": self.step,
            "command": list(self.command),
            "exitCode": self.exit_code,
            "startedOn": self.started,
            "finishedOn": self.finished,
            "invocationId": self.invocation,
            "parameters": dict(self.parameters),
            "environment": dict(self.environment),
            "resolvedDependencies": dependencies(self.inputs, None, self.code, self.revision),
            **({"observed": self.observed.to_json()} if self.observed is not None else {}),
        }


def read_failed_run(fields: Fields) -> FailedRun:
    """The failed run in a predicate; its other fields are read by `events`."""
    items = fields.array("resolvedDependencies", max_items=MAX_DEPENDENCIES)
    inputs, listed, code, revision = read_dependencies(items)
    if listed is not None:
        raise MalformedError("failed run names its inputs by a list", expected="the inputs themselves")
    return FailedRun(
        step=fields.string("step", max_chars=MAX_WORD_CHARS),
        inputs=inputs,
        started=fields.string("startedOn", max_chars=20),
        finished=fields.string("finishedOn", max_chars=20),
        invocation=fields.string("invocationId", max_chars=MAX_WORD_CHARS),
        command=read_command(fields),
        exit_code=fields.integer("exitCode"),
        code=code,
        revision=revision,
        parameters=plain_object(fields, "parameters"),
        environment=read_environment(fields),
        observed=read_observed(fields),
    )
