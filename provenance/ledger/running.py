"""Runs: inputs that verify, something that makes outputs of them, and a signed statement of how each was made.

Steps: 1 every input is read and must be what was registered, verified with its lineage (or, where less is accepted, not
spoken against: nothing says of such an input that it was verified); 2 what makes the outputs runs;
3 the inputs are read again: they are what they were; 4 each output is registered with the inputs as its parents; 5 the
run is stated of each. Invariants: an output did not exist before a command or a step, and of no run is a file of one as
it was before (by its time of change); what fails states nothing, or, of a command and on request, that it failed; no
environment variable and no output of a program is recorded.

    with ledger.run("clean", inputs=["raw"], code=["clean.py"], key="lab") as run:
        clean("raw", "cleaned")
        run.output("cleaned", "titanic/cleaned", "1")
"""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance.encoding import Digest, JsonValue, canonical_json
from provenance.errors import ConflictError, MalformedError, PolicyError, ProvenanceError, SourceError
from provenance.ledger.reading import ReadUsage
from provenance.ledger.receipts import Receipt
from provenance.ledger.run_folder import changed_ns, check_made_since, files_in, is_in, made_at, set_mark
from provenance.ledger.run_program import find_revision, installed_packages, read_code, script_of
from provenance.limits import MAX_ENTRY_BYTES, MAX_INPUTS, MAX_MATERIALS, check_size
from provenance.machine.commands import execute
from provenance.machine.opens import Opens, watch_opens
from provenance.statement import Pin
from provenance.statement.failed_run import FailedRun
from provenance.statement.run import (
    CodeFile,
    Input,
    InputList,
    Observed,
    Run,
    check_parameters,
    check_words,
    list_inputs,
)
from provenance.statement.text import check_word
from provenance.statement.usage import Usage

if TYPE_CHECKING:
    from provenance.ledger.ledger import Ledger, Location


@dataclass(frozen=True, slots=True)
class Output:
    """Something a run made: where, what to call it, and what else `Ledger.register` is to be told of it."""

    path: str
    name: str
    version: str
    description: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Made:
    """An output as it was registered, and the log entry that says how it was made."""

    receipt: Receipt
    index: int

    def to_json(self) -> dict[str, JsonValue]:
        """What was made as a JSON value."""
        return {"output": self.receipt.to_json(), "run": self.index}


class RunRecorder:
    """One run of one step in one folder. `finish` registers what it made."""

    def __init__(
        self,
        ledger: Ledger,
        step: str,
        *,
        folder: Location = ".",
        code: Sequence[str] = (),
        parameters: Mapping[str, JsonValue] | None = None,
        purpose: str | None = None,
        row_wise: Location | None = None,
        accept_unverified: bool = False,
        key: str | None = None,
        passphrase: bytes | None = None,
    ) -> None:
        check_word(step, "step")
        self._accept_unverified = accept_unverified
        self._purpose = Usage(purpose).purpose if purpose is not None else None
        check_parameters(parameters or {})
        self._ledger, self._step, self._key, self._passphrase = ledger, step, key, passphrase
        self.folder = Path(folder).resolve()
        if not self.folder.is_dir():
            raise SourceError("the run's folder is not there", expected="a folder", where=folder)
        self._parameters = dict(parameters or {})
        self._code = self._read_code(code)
        self._row_wise = self._path(row_wise) if row_wise is not None else None
        self._revision = find_revision(self.folder)
        self._command: tuple[str, ...] = ()
        self._observed: Observed | None = None
        self._exit_code: int | None = None
        self._unnamed: tuple[str, ...] = ()
        self._unnamed_writes: tuple[str, ...] = ()
        self._failure: list[tuple[str, int]] = []
        self._inputs: list[Input] = []
        self._outputs: list[Output] = []
        self._mark, self._started = set_mark(self.folder), _now()
        self._invocation = secrets.token_hex(8)

    def input(self, place: Location, reference: str | None = None) -> Pin:
        """Read and verify an input; its pin.

        `reference` names what it should be, if that is not what its bytes or its place say. `PolicyError` if a check
        fails, or if it does not reach the level that is required of it and less is not accepted.
        """
        check_size("inputs", len(self._inputs) + 1, MAX_MATERIALS, "datasets")
        path = self._path(place)
        pin = self._verified(path, reference)
        self._inputs.append(Input(pin, path + "/" if (self.folder / path).is_dir() else path))
        return pin

    def output(self, place: Location, name: str, version: str, **description: Any) -> None:
        """Say what the run makes, or made, at `place`; `description` is as for `Ledger.register`."""
        self._outputs.append(Output(self._path(place), name, version, description))

    def note(self, name: str, value: JsonValue) -> None:
        """Record one more parameter. `ConflictError` if it is recorded with another value."""
        if self._parameters.get(name, value) != value:
            raise ConflictError("parameter is recorded already", expected=self._parameters[name], got=value, where=name)
        check_parameters({name: value})
        self._parameters[name] = value

    def was_registered_from(self, place: Location) -> bool:
        """Whether something was registered from exactly this place."""
        return self._ledger.was_registered_from(place)

    def expect_nothing(self) -> None:
        """Raise `SourceError` if something is already where an output is to be."""
        for output in self._outputs:
            place = self.folder / output.path
            is_empty = place.is_dir() and not any(place.iterdir())
            if os.path.lexists(place) and not is_empty:
                hint = "remove it, or write elsewhere: what was there before would be taken for the run's work"
                raise SourceError("output is there before the run", expected="nothing", where=output.path, hint=hint)

    def execute(self, command: Sequence[str], timeout_s: float | None = None, *, record_failure: bool = False) -> None:
        """Run a command in the folder, its streams those of this process. `CommandError` unless it exits with 0.

        With `record_failure`, that it failed is stated of each input, 1 to 256, before the error is raised (`failure`).
        """
        check_words(command)
        if not command:
            raise MalformedError("there is no command", expected="a program and its arguments, after --")
        self.expect_nothing()
        if self._row_wise is not None and not (self.folder / self._row_wise).is_file():
            raise MalformedError("run works by the rows of no file", expected="a table", got=self._row_wise)
        if record_failure and not 0 < len(self._inputs) <= MAX_INPUTS:
            what = "a failure is stated of inputs, and there are none, or too many"
            raise MalformedError(what, expected=f"1 to {MAX_INPUTS} inputs", got=len(self._inputs))
        self._code = self._find_code(command)
        self._command, self._started = tuple(command), _now()
        before = files_in(self.folder)
        with watch_opens(self.folder) as opens:
            ended = execute(command, self.folder, timeout_s)
        opens.is_whole = opens.is_whole and ended.is_alone
        self._exit_code = ended.status
        self._observe(before, opens)
        if ended.status and record_failure:
            self._state_failure(ended.status)
        ended.check(
            "it is on record" if self._failure else "nothing was recorded; --record-failure signs that it failed"
        )

    def _state_failure(self, status: int) -> None:
        finished = _now()
        self._check_unchanged()
        failed = FailedRun(
            step=self._step,
            inputs=tuple(self._inputs),
            started=self._started,
            finished=finished,
            invocation=self._invocation,
            command=self._command,
            exit_code=status,
            code=self._code,
            revision=self._revision,
            parameters=self._parameters,
            environment=self._environment(),
            observed=self._observed,
        )
        for one in self._inputs:
            name = str(one.pin.name)
            row = self._ledger.state(name, failed, key=self._key, passphrase=self._passphrase)
            self._failure.append((name, row.entry_index))

    @property
    def failure(self) -> tuple[tuple[str, int], ...]:
        """The inputs of which it is stated that the command failed, and the log entries that say so."""
        return tuple(self._failure)

    @property
    def found_code(self) -> str | None:
        """The file that was taken as code because the command names it; None if code was named, or none is kept."""
        return next((one.path for one in self._code if not one.named), None)

    @property
    def unnamed(self) -> tuple[str, ...]:
        """Files of the folder that the command opened, that were there before it, and that nobody named."""
        return self._unnamed

    @property
    def unnamed_writes(self) -> tuple[str, ...]:
        """Files of the folder that the command made, wrote or removed, and that are no outputs."""
        return self._unnamed_writes

    def _observe(self, before: Mapping[str, int] | None, opens: Opens) -> None:
        """Keep what was opened of the inputs, what else that was there, and what was written and is no output."""
        code, outputs = {one.path for one in self._code}, [one.path for one in self._outputs]
        read, others, is_known = ReadUsage(), opens.files & (before or {}).keys(), True
        for one in self._inputs:
            if one.path is None:
                continue
            try:
                entries = self._ledger.proofs(str(one.pin.name)).files()
            except ProvenanceError:  # its manifest is not kept here: what was opened of it cannot be told
                is_known = False
                others = {path for path in others if path != one.path and not path.startswith(one.path)}
                continue
            for entry in entries:
                path = one.path + entry.path if one.path.endswith("/") else one.path
                if path in opens.files:
                    read.add(entry)
                others.discard(path)
        self._unnamed = tuple(sorted(path for path in others if path not in code and not is_in(path, outputs)))
        self._unnamed_writes = tuple(sorted(path for path in opens.written if not is_in(path, outputs)))
        known = before or {}
        moved = [
            one for one in opens.moved if one in known or (one[-1:] == "/" and any(p.startswith(one) for p in known))
        ]
        is_whole = opens.is_whole and before is not None and is_known and not moved
        # Who opens a file by another name gives it one first, which its time of change tells, or takes the first away.
        others = known.keys() - opens.files
        is_whole = is_whole and all(changed_ns(self.folder / path) == known[path] for path in others)
        self._observed = Observed(
            len(read.leaves), read.digest, len(self._unnamed), is_whole, len(self._unnamed_writes)
        )

    def finish(self) -> tuple[Made, ...]:
        """Register the outputs and state how each was made, in the order they were named."""
        finished = _now()
        if self._exit_code:
            raise MalformedError("the command of the run failed", expected="exit status 0", got=self._exit_code)
        if not self._outputs:
            raise MalformedError("the run has no output", expected="one at least")
        self._check_unchanged()
        for output in self._outputs:
            check_made_since(made_at(self.folder, output.path), output.path, self._mark)
        environment = self._environment()
        inputs, listed = self._stated_inputs()
        made = []
        for output in self._outputs:
            place = made_at(self.folder, output.path)
            receipt = self._ledger.register(
                place,
                output.name,
                output.version,
                parents=[str(one.pin.name) for one in self._inputs],
                key=self._key,
                passphrase=self._passphrase,
                anchor=False,
                **output.description,
            )
            run = Run(
                step=self._step,
                inputs=inputs,
                listed=listed,
                output=output.path + "/" if place.is_dir() else output.path,
                started=self._started,
                finished=finished,
                invocation=self._invocation,
                command=self._command,
                code=self._code,
                revision=self._revision,
                parameters=self._parameters,
                environment=environment,
                row_wise=self._row_wise,
                observed=self._observed,
                exit_code=self._exit_code,
            )
            row = self._ledger.state(receipt.name, run, key=self._key, passphrase=self._passphrase)
            made.append(Made(receipt, row.entry_index))
        if self._purpose is not None:
            run_entry = Digest.of(self._ledger.log.entries(made[0].index, 1)[0].envelope)
            for one in self._inputs:
                usage = Usage(self._purpose, run=run_entry)
                self._ledger.state(str(one.pin.name), usage, key=self._key, passphrase=self._passphrase)
        return tuple(made)

    def _check_unchanged(self) -> None:
        for one in self._inputs:
            if one.path is not None and self._verified(one.path.removesuffix("/"), str(one.pin.name)) != one.pin:
                raise SourceError("input changed while the run read it", where=one.path)

    def _stated_inputs(self) -> tuple[tuple[Input, ...], InputList | None]:
        """The inputs as a statement names them: itself, or by a list if they would take much of its room."""
        stated: list[JsonValue] = [[one.pin.to_json(), one.path] for one in self._inputs]
        if len(stated) <= MAX_INPUTS and len(canonical_json(stated)) < MAX_ENTRY_BYTES // 3:
            return tuple(self._inputs), None
        materials, paths, listed = list_inputs(self._inputs)
        for data in (materials, paths):
            self._ledger.blobs.put(data)
        return (), listed

    def _verified(self, path: str, reference: str | None) -> Pin:
        report = self._ledger.verify(self.folder / path, expected=reference, ask_chain=False)
        lacks_anchor = report.sound and not report.verified and report.needs_final_anchor
        if report.could_be_spared or (lacks_anchor and not self._accept_unverified):
            report = self._ledger.verify(self.folder / path, expected=reference)
        hint = f"see provenance verify {report.target}"
        if not report.sound:
            first = report.failures[0]
            what = f"input does not verify: {first.id} of {first.subject}: {first.note}"
            raise PolicyError(what, expected=first.expected, got=first.found, where=path, hint=hint)
        if not report.verified and not self._accept_unverified:
            expected = f"level {report.required.name}" if report.required is not None else "a level that is enough"
            got = f"{report.level.name if report.level is not None else 'none'}, missing: {', '.join(report.missing)}"
            hint += "; --accept-unverified takes what no check speaks against"
            raise PolicyError("input is not verified", expected=expected, got=got, where=path, hint=hint)
        return self._ledger.pin(report.target)

    def _path(self, place: Location) -> str:
        try:
            path = (self.folder / place).resolve().relative_to(self.folder)
        except ValueError:
            hint = "run it in a folder that holds them: --folder DIR"
            raise MalformedError(
                "path is not in the run's folder", expected=self.folder, got=place, hint=hint
            ) from None
        if path == Path():
            raise MalformedError("path is the run's folder itself", expected="something in it", got=place)
        return path.as_posix()

    def _read_code(self, paths: Sequence[str], *, named: bool = True) -> tuple[CodeFile, ...]:
        check_size("code files", len(paths), MAX_INPUTS, "files")
        files = {path: read_code(self.folder / path) for path in map(self._path, paths)}
        return tuple(CodeFile(path, self._ledger.blobs.put(data), named) for path, data in files.items())

    def _find_code(self, command: Sequence[str]) -> tuple[CodeFile, ...]:
        """The file that a command names as its program, if nobody named any code and it is no input."""
        word = script_of(command, self.folder)
        if self._code or word is None:
            return self._code
        path = self._path(word)
        taken = [one.path.removesuffix("/") for one in self._inputs if one.path is not None]
        return (
            () if is_in(path, [*taken, *(one.path for one in self._outputs)]) else self._read_code([path], named=False)
        )

    def _environment(self) -> dict[str, str]:
        return {
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "packages": f"sha256:{self._ledger.blobs.put(installed_packages()).hex}",
        }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
