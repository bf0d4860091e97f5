"""How an artefact was made: a run, as SLSA Provenance v1.

Invariants: inputs are pinned as a dataset statement pins its parents, and where they are too many for a statement, by
the same material list and a list of where each lay; every path is relative to the folder of the run
and stays in it; nothing in a command or parameter that is yet to be signed or logged looks like a secret; times are
the signer's own clock.

Bytes of its predicate (canonical JSON, with what every event has): `{"buildDefinition":{"buildType":
"urn:provenance-ledger:command:1","externalParameters":{"command":["python","clean.py"],"output":"out/","parameters":{},
"step":"clean"},"internalParameters":{"environment":{"python":"3.11.2"}},"resolvedDependencies":[{"annotations":
{"envelope":"<64 hex>","path":"raw.csv","role":"input"},"digest":{"sha256":"<64 hex>"},"name":"ns/raw@1"}]},
"created":"..","runDetails":{"builder":{"id":"urn:provenance-ledger:builder:local"},"metadata":{"exitCode":0,"finishedOn":"..",
"invocationId":"..","startedOn":".."}},"statement":{..}}`; in the place of many inputs
`{"annotations":{"count":1000,"paths":"<64 hex>","role":"inputs","root":"<64 hex>"},"digest":{"sha256":"<64 hex>"},
"name":"inputs"}`, where `paths` is the SHA-256 of a JSON array of paths, or null, in the list's order.

Source: SLSA Provenance v1; `annotations` are a resource descriptor's (in-toto).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final

from provenance.encoding import Digest, JsonValue, canonical_json, parse_json
from provenance.errors import MalformedError
from provenance.fingerprint.files import check_path
from provenance.limits import MAX_INPUTS, MAX_TEXT_CHARS, check_size
from provenance.statement.credentials import (
    check_no_secret,
    find_secret_word,
    holds_no_secret,
    is_secret_name,
)
from provenance.statement.frame import Pin, check_time, check_uri
from provenance.statement.materials import MaterialList, encode_materials, parse_materials, sorted_materials
from provenance.statement.text import MAX_WORD_CHARS, check_word

COMMAND: Final = "urn:provenance-ledger:command:1"
PROGRAM: Final = "urn:provenance-ledger:program:1"
BUILDER: Final = "urn:provenance-ledger:builder:local"
MAX_WORDS: Final = 1_000
MAX_PATHS_BYTES: Final = 64 * 2**20
"""The list of where listed inputs lay."""
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_HINT: Final = "let the program read it from a file or its environment: neither is recorded"


@dataclass(frozen=True, slots=True)
class Input:
    """Something registered that a run read, and where it lay: a path in the run's folder, one that ends in `/` for a
    folder; None if the run did not have it there."""

    pin: Pin
    path: str | None = None


@dataclass(frozen=True, slots=True)
class InputList:
    """The inputs of a run that are too many for its statement: their material list, and the SHA-256 of the list of
    where each lay."""

    materials: MaterialList
    paths: Digest


@dataclass(frozen=True, slots=True)
class Observed:
    """What the system told of a command while it ran: how many files of its inputs were opened, with the root over them
    (a usage digest); how many files that had been in its folder and are no input, code or output; `whole` if all that
    was opened there was told of."""

    files: int
    root: Digest
    unnamed: int
    whole: bool
    unnamed_writes: int | None = None
    """How many files it made, wrote or removed there that are no output; None in statements from before this was told
    of."""

    def __post_init__(self) -> None:
        least = min(self.files, self.unnamed, self.unnamed_writes or 0)
        if least < 0:
            raise MalformedError("number of files is below zero", got=least)

    def to_json(self) -> dict[str, JsonValue]:
        """What was observed, as a JSON object."""
        opened: dict[str, JsonValue] = {"files": self.files, "root": self.root.hex}
        writes: dict[str, JsonValue] = {} if self.unnamed_writes is None else {"unnamedWrites": self.unnamed_writes}
        return {"opened": opened, "unnamed": self.unnamed, "whole": self.whole, **writes}


@dataclass(frozen=True, slots=True)
class CodeFile:
    """A file of the program that ran, by its path in the run's folder; `named` by whoever ran it, or else taken because
    the command names it."""

    path: str
    digest: Digest
    named: bool = True


@dataclass(frozen=True, slots=True)
class Revision:
    """The commit that was checked out; `changed` if files that it tracks were not as it has them."""

    commit: str
    changed: bool
    repository: str | None = None

    def __post_init__(self) -> None:
        if not _COMMIT.fullmatch(self.commit):
            raise MalformedError("not a commit", expected="40 or 64 hex digits", got=self.commit)
        if self.repository is not None:
            check_uri(self.repository, "repository")


@dataclass(frozen=True, slots=True)
class Run:
    """How an artefact was made: by which command (none: by a program that called this library) from which inputs.

    `output` is where the artefact lay, `invocation` what all outputs of one run have in common. `row_wise` is the path
    of a table each record of which was worked on by itself: what comes of some of them is in the output. `listed`
    stands in the place of inputs that do not fit: `inputs` is empty then, until `with_listed` has read them.
    """

    TYPE: ClassVar[str] = "https://slsa.dev/provenance/v1"

    step: str
    inputs: tuple[Input, ...]
    output: str
    started: str
    finished: str
    invocation: str
    command: tuple[str, ...] = ()
    code: tuple[CodeFile, ...] = ()
    revision: Revision | None = None
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    listed: InputList | None = None
    row_wise: str | None = None
    observed: Observed | None = None
    exit_code: int | None = None
    """How the command ended: 0, for what fails makes no artefact (`FailedRun`); None in older statements."""

    def __post_init__(self) -> None:
        check_word(self.step, "step")
        check_word(self.invocation, "invocation")
        for time in (self.started, self.finished):
            check_time(time)
        limit = MAX_INPUTS if self.listed is None else self.listed.materials.count
        check_size("inputs", len(self.inputs), limit, "datasets")
        check_size("code files", len(self.code), MAX_INPUTS, "files")
        check_size("command", len(self.command), MAX_WORDS, "words")
        if self.exit_code is not None and (self.exit_code or not self.command):
            raise MalformedError("not how a run of a command ends", expected="exit code 0", got=self.exit_code)
        if self.row_wise is not None:
            check_path(self.row_wise)
        for path in (self.output, *(one.path for one in self.inputs if one.path is not None)):
            check_path(path.removesuffix("/"))
        for file in self.code:
            check_path(file.path)
        for what, names in (
            ("input", [str(one.pin.name) for one in self.inputs]),
            ("code file", [c.path for c in self.code]),
        ):
            if len(set(names)) != len(names):
                raise MalformedError(f"{what} is named twice", got=max(names, key=names.count))
        if self.row_wise is not None and self.listed is None and self.input_of(self.row_wise) is None:
            raise MalformedError("run works by the rows of what is no input", expected="an input", got=self.row_wise)
        check_texts(self.command)
        check_values(self.parameters)

    def check_new(self) -> None:
        """Raise `MalformedError` for what is read in a log and must not be signed or logged any more: secrets."""
        check_new_words(self.command, self.parameters, self.revision)

    @property
    def read_nothing(self) -> bool:
        """Whether all that it opened in its folder was told of, and no file of its inputs was among it."""
        if self.observed is None or not self.observed.whole or self.observed.files:
            return False
        return self.listed is not None or (bool(self.inputs) and all(one.path is not None for one in self.inputs))

    def input_of(self, path: str) -> Input | None:
        """The input that a path of the run's folder is, or is in; None if it is none."""
        inside = (one for one in self.inputs if one.path is not None and one.path.endswith("/"))
        return next((one for one in self.inputs if one.path == path), None) or next(
            (one for one in inside if path.startswith(one.path or "")), None
        )

    def with_listed(self, materials: bytes, paths: bytes) -> Run:
        """The same with the inputs that its lists name. `MalformedError` if these are not its lists."""
        if self.listed is None:
            return self
        if Digest.of(paths) != self.listed.paths:
            raise MalformedError("not the list of paths that was stated", expected=self.listed.paths)
        pins = parse_materials(materials, self.listed.materials)
        places = parse_json(paths, what="list of paths", max_bytes=MAX_PATHS_BYTES)
        if not isinstance(places, list) or len(places) != len(pins):
            raise MalformedError("list of paths is of another length", expected=f"{len(pins)} paths")
        inputs = []
        for pin, place in zip(pins, places, strict=True):
            if not isinstance(place, str | None):
                raise MalformedError("list of paths holds something that is no path", expected="text or null")
            inputs.append(Input(pin, place))
        return replace(self, inputs=tuple(inputs))

    def to_json(self) -> dict[str, JsonValue]:
        """The fields of its own."""
        external: dict[str, JsonValue] = {"step": self.step, "output": self.output, "parameters": dict(self.parameters)}
        if self.command:
            external["command"] = list(self.command)
        if self.row_wise is not None:
            external["rowWise"] = self.row_wise
        materials = dependencies(self.inputs, self.listed, self.code, self.revision)
        return {
            "buildDefinition": {
                "buildType": COMMAND if self.command else PROGRAM,
                "externalParameters": external,
                "internalParameters": {
                    "environment": dict(self.environment),
                    **({"observed": self.observed.to_json()} if self.observed is not None else {}),
                },
                "resolvedDependencies": materials,
            },
            "runDetails": {
                "builder": {"id": BUILDER},
                "metadata": {
                    "invocationId": self.invocation,
                    "startedOn": self.started,
                    "finishedOn": self.finished,
                    **({"exitCode": self.exit_code} if self.exit_code is not None else {}),
                },
            },
        }


def check_new_words(command: Sequence[str], parameters: Mapping[str, JsonValue], revision: Revision | None) -> None:
    """Raise `MalformedError` for a secret in what is yet to be signed or logged."""
    if command:
        check_words(command)
    check_parameters(parameters)
    if revision is not None and revision.repository is not None:
        check_no_secret(revision.repository, "repository")


def check_words(words: Sequence[str]) -> None:
    """Raise `MalformedError` for a word of a command that is too long, no text, or looks like a secret."""
    check_texts(words)
    found = find_secret_word(words)
    if found is not None:
        raise MalformedError("command seems to hold a secret", expected="no such word", got=found.kind, hint=_HINT)


def check_parameters(parameters: Mapping[str, JsonValue]) -> None:
    """Raise `MalformedError` for a parameter that is no plain value, or looks or is named like a secret."""
    check_values(parameters)
    for name, value in parameters.items():
        check_no_secret(name, "parameter's name")
        if isinstance(value, str):
            check_no_secret(value, "parameter")
        if is_secret_name(name) and not holds_no_secret(name, value):
            raise MalformedError("parameter seems to hold a secret", expected="no such parameter", got=name, hint=_HINT)


def check_texts(words: Sequence[str]) -> None:
    """Raise `MalformedError` for a word of a command that is too long or no text."""
    for word in words:
        check_size("word of the command", len(word), MAX_TEXT_CHARS, "characters")
        if "\0" in word or any("\ud800" <= c <= "\udfff" for c in word):
            raise MalformedError("word of the command is no text", expected="Unicode without NUL", got=ascii(word))


def check_values(parameters: Mapping[str, JsonValue]) -> None:
    """Raise `MalformedError` for a parameter that is no plain value."""
    check_size("parameters", len(parameters), MAX_INPUTS, "parameters")
    for name, value in parameters.items():
        check_size("parameter's name", len(name), MAX_WORD_CHARS, "characters")
        if not isinstance(value, str | int | float | bool | None):
            raise MalformedError(
                "parameter is no plain value", expected="text, a number, true, false or null", got=name
            )
        if isinstance(value, str):
            check_size("parameter", len(value), MAX_TEXT_CHARS, "characters")


def _input_json(one: Input) -> JsonValue:
    annotations: dict[str, JsonValue] = {"role": "input", "envelope": one.pin.envelope.hex}
    if one.path is not None:
        annotations["path"] = one.path
    return {"name": str(one.pin.name), "digest": {"sha256": one.pin.digest.hex}, "annotations": annotations}


def dependencies(
    inputs: Sequence[Input], listed: InputList | None, code: Sequence[CodeFile], revision: Revision | None
) -> list[JsonValue]:
    """The resource descriptors of what a run used."""
    found = [_input_json(one) for one in inputs] if listed is None else [_listed_json(listed)]
    found += [{"name": one.path, "digest": {"sha256": one.digest.hex}, "annotations": _code_notes(one)} for one in code]
    return found if revision is None else [*found, _revision_json(revision)]


def _code_notes(one: CodeFile) -> dict[str, JsonValue]:
    return {"role": "code"} if one.named else {"role": "code", "from": "command"}


def list_inputs(inputs: Sequence[Input]) -> tuple[bytes, bytes, InputList]:
    """The two lists of a run's inputs, and what its statement says of them."""
    data, materials = encode_materials(one.pin for one in inputs)
    where = {one.pin.name: one.path for one in inputs}
    paths = canonical_json([where[pin.name] for pin in sorted_materials(one.pin for one in inputs)])
    check_size("list of paths", len(paths), MAX_PATHS_BYTES)
    return data, paths, InputList(materials, Digest.of(paths))


def _listed_json(listed: InputList) -> JsonValue:
    materials = listed.materials
    return {
        "name": "inputs",
        "digest": {"sha256": materials.digest.hex},
        "annotations": {
            "role": "inputs",
            "count": materials.count,
            "root": materials.root.hex,
            "paths": listed.paths.hex,
        },
    }


def _revision_json(revision: Revision) -> JsonValue:
    value: dict[str, JsonValue] = {
        "digest": {"gitCommit": revision.commit},
        "annotations": {"role": "revision", "changed": revision.changed},
    }
    if revision.repository is not None:
        value["uri"] = "git+" + revision.repository
    return value
