"""Runs read from predicates.

Invariant: what is nested is read whole, and a field of it that is not known is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from provenance.encoding import Fields, JsonValue
from provenance.errors import MalformedError
from provenance.limits import MAX_INPUTS, MAX_URI_CHARS
from provenance.statement.frame import Pin
from provenance.statement.materials import MaterialList
from provenance.statement.names import PinnedName
from provenance.statement.run import (
    BUILDER,
    COMMAND,
    MAX_WORDS,
    PROGRAM,
    CodeFile,
    Input,
    InputList,
    Observed,
    Revision,
    Run,
)
from provenance.statement.text import MAX_WORD_CHARS

MAX_DEPENDENCIES = 2 * MAX_INPUTS + 1


def read_run(fields: Fields) -> Run:
    """The run in a predicate; its other fields are read by `events`."""
    definition, details = fields.object("buildDefinition"), fields.object("runDetails")
    build_type = definition.string("buildType", max_chars=MAX_URI_CHARS)
    if build_type not in (COMMAND, PROGRAM):
        raise MalformedError("run is of another kind", expected=f"{COMMAND} | {PROGRAM}", got=build_type)
    external, internal = definition.object("externalParameters"), definition.object("internalParameters")
    builder, metadata = details.object("builder"), details.object("metadata")
    builder.constant("id", BUILDER)
    inputs, listed, code, revision = read_dependencies(
        definition.array("resolvedDependencies", max_items=MAX_DEPENDENCIES)
    )
    run = Run(
        step=external.string("step", max_chars=MAX_WORD_CHARS),
        inputs=inputs,
        output=external.string("output"),
        started=metadata.string("startedOn", max_chars=20),
        finished=metadata.string("finishedOn", max_chars=20),
        invocation=metadata.string("invocationId", max_chars=MAX_WORD_CHARS),
        command=read_command(external) if build_type == COMMAND else (),
        code=code,
        revision=revision,
        parameters=plain_object(external, "parameters"),
        environment=read_environment(internal),
        listed=listed,
        row_wise=external.optional_string("rowWise"),
        observed=read_observed(internal),
        exit_code=optional_integer(metadata, "exitCode"),
    )
    for part in (external, internal, builder, metadata, definition, details):
        part.end()
    return run


def read_observed(internal: Fields) -> Observed | None:
    if not internal.has("observed"):
        internal.skip("observed")
        return None
    stated = internal.object("observed")
    opened = stated.object("opened")
    found = Observed(
        opened.integer("files"),
        opened.digest("root"),
        stated.integer("unnamed"),
        stated.boolean("whole"),
        optional_integer(stated, "unnamedWrites"),
    )
    opened.end()
    stated.end()
    return found


def optional_integer(fields: Fields, name: str) -> int | None:
    if not fields.has(name):
        fields.skip(name)
        return None
    return fields.integer(name)


def read_command(external: Fields) -> tuple[str, ...]:
    words: list[str] = []
    for word in external.array("command", max_items=MAX_WORDS):
        if not isinstance(word, str):
            raise MalformedError("command holds something that is no word", expected="text")
        words.append(word)
    if not words:
        raise MalformedError("command is empty", expected="a word at least")
    return tuple(words)


def plain_object(fields: Fields, name: str) -> dict[str, JsonValue]:
    value = fields.value(name)
    if not isinstance(value, dict):
        raise MalformedError(f"{name} are no object", expected="a JSON object")
    return value


def read_environment(internal: Fields) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in plain_object(internal, "environment").items():
        if not isinstance(value, str):
            raise MalformedError("environment holds something that is no text", expected="text", got=name)
        found[name] = value
    return found


def read_dependencies(
    items: Sequence[JsonValue],
) -> tuple[tuple[Input, ...], InputList | None, tuple[CodeFile, ...], Revision | None]:
    inputs: list[Input] = []
    listed: InputList | None = None
    code: list[CodeFile] = []
    revision: Revision | None = None
    for item in items:
        fields = Fields(item, "statement.predicate.buildDefinition.resolvedDependencies")
        notes = fields.object("annotations")
        role = notes.string("role", max_chars=MAX_WORD_CHARS)
        if role == "input":
            pin = Pin(PinnedName.parse(fields.string("name")), fields.digest_set("digest"), notes.digest("envelope"))
            inputs.append(Input(pin, notes.optional_string("path")))
        elif role == "inputs" and listed is None and not inputs:
            fields.constant("name", "inputs")
            materials = MaterialList(notes.integer("count"), fields.digest_set("digest"), notes.digest("root"))
            listed = InputList(materials, notes.digest("paths"))
        elif role == "code":
            named = not notes.has("from")
            if named:
                notes.skip("from")
            else:
                notes.constant("from", "command")
            code.append(CodeFile(fields.string("name"), fields.digest_set("digest"), named))
        elif role == "revision" and revision is None:
            revision = _read_revision(fields, notes)
        else:
            expected = "input | one inputs | code | one revision"
            raise MalformedError("material has another role", expected=expected, got=role)
        notes.end()
        fields.end()
    if listed is not None and inputs:
        raise MalformedError("run names inputs and a list of them", expected="one of both")
    return tuple(inputs), listed, tuple(code), revision


def _read_revision(fields: Fields, notes: Fields) -> Revision:
    digest = fields.object("digest")
    commit = digest.string("gitCommit", max_chars=64)
    digest.end()
    uri = fields.optional_string("uri", max_chars=MAX_URI_CHARS)
    if uri is not None and not uri.startswith("git+"):
        raise MalformedError("repository is not git's", expected="git+ and a URI", got=uri)
    return Revision(commit, notes.boolean("changed"), None if uri is None else uri.removeprefix("git+"))
