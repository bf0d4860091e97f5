"""Replay: an artefact made again by its run, in a clean folder, from inputs that verify.

Steps: 1 the run of the artefact that a trusted key signed last; 2 its code, out of the blob store; 3 its inputs, copied
and hashed on the way; 4 its command, with a bare environment; 5 what came out against what was registered, by file; 6
the outcome, signed and logged. Of a run that works row by row, a sample: before 4 the table is cut down to random
records, and 5 looks up each record that came out in the artefact's index.

Invariants: nothing of the folder the run was in is used; a command that fails states nothing. The command is not
confined: it can do what its caller may.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.encoding import Digest, JsonValue
from provenance.errors import MalformedError, NotFoundError, PolicyError, SourceError
from provenance.fingerprint import Change, diff_files
from provenance.ledger.copying import copy_checked
from provenance.ledger.fingerprinting import Wanted, find_fingerprint, reading_of
from provenance.ledger.proofs import Proofs
from provenance.ledger.run_folder import made_at
from provenance.ledger.run_program import MAX_CODE_BYTES
from provenance.ledger.sampling import MAX_SAMPLE, SEED_BYTES, cut, draw
from provenance.machine.commands import execute
from provenance.signature import parse_envelope, verify_envelope
from provenance.sources import open_source
from provenance.statement.materials import MAX_LIST_BYTES
from provenance.statement.replay import Replay, ReplayResult, Sample
from provenance.statement.run import MAX_PATHS_BYTES, Input, Run
from provenance.stores import EventRow
from provenance.tables import is_table, open_table

if TYPE_CHECKING:
    from provenance.ledger.ledger import Ledger, Location


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay: `changes` are the files that came out otherwise, `row` its place in the log. Of a `sample`
    no files are compared."""

    name: str
    run: Run
    result: ReplayResult
    changes: tuple[Change, ...]
    row: EventRow
    sample: Sample | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """The outcome as a JSON value."""
        return {
            "name": self.name,
            "result": str(self.result),
            "command": list(self.run.command),
            "changes": [{"path": change.path, "what": change.describe()} for change in self.changes],
            "index": self.row.entry_index,
            **({"sample": self.sample.to_json()} if self.sample is not None else {}),
        }


def replay(
    ledger: Ledger,
    reference: str,
    *,
    data: Mapping[str, Location] | None = None,
    sample: int | None = None,
    seed: Digest | None = None,
    key: str | None = None,
    passphrase: bytes | None = None,
    timeout_s: float,
) -> Replayed:
    """Make an artefact again and state what came of it.

    `data` maps references of inputs to places; else they are read where they were registered from. `NotFoundError` if
    no trusted key says by which command it was made, `SourceError` if an input or the code is not to be had or is not
    what was registered, or the command fails.
    """
    name = str(ledger.pin(reference).name)
    stated, run = find_run(ledger, reference)
    proofs = ledger.proofs(reference)
    trial = _Trial(run, proofs, sample, seed) if sample is not None else None
    places = {str(ledger.pin(given).name): place for given, place in (data or {}).items()}
    with tempfile.TemporaryDirectory(prefix="provenance-replay-") as made:
        # What is compared has paths of its own; the home of the command lies beside it.
        folder, home = Path(made, "run"), Path(made, "home")
        folder.mkdir()
        home.mkdir()
        for file in run.code:
            _write(folder / file.path, ledger.blobs.get(file.digest, max_bytes=MAX_CODE_BYTES))
        for one in run.inputs:
            _bring(ledger, one, folder, places.get(str(one.pin.name)))
        if trial is not None:
            trial.cut(folder, Path(made, "whole"))
        (folder / run.output.removesuffix("/")).parent.mkdir(parents=True, exist_ok=True)
        _execute(run, folder, home, timeout_s)
        place = made_at(folder, run.output.removesuffix("/"))
        if trial is not None:
            drawn, root = trial.judge(place)
            result = ReplayResult.DIFFERS if drawn.missing else ReplayResult.REPRODUCED
            row = ledger.state(reference, Replay(stated, result, root, drawn), key=key, passphrase=passphrase)
            return Replayed(name, run, result, (), row, drawn)
        found = find_fingerprint(place, Wanted(reading_of(proofs.statement))).fingerprint
    changes = tuple(diff_files(proofs.files(), found.files))
    result = ReplayResult.DIFFERS if changes else ReplayResult.REPRODUCED
    body = Replay(stated, result, found.document.file_root)
    return Replayed(name, run, result, changes, ledger.state(reference, body, key=key, passphrase=passphrase))


class _Trial:
    """A replay on a sample of records."""

    def __init__(self, run: Run, proofs: Proofs, count: int, seed: Digest | None) -> None:
        if run.row_wise is None:
            hint = "record it with --row-wise PATH, if each record is worked on by itself"
            raise PolicyError("the run is not said to work row by row", got=run.step, hint=hint)
        if run.output.endswith("/") or not is_table(run.output):
            raise MalformedError("output is not one table", expected="a file with records", got=run.output)
        if not 1 <= count <= MAX_SAMPLE:
            raise MalformedError("sample is of no size", expected=f"1 to {MAX_SAMPLE} records", got=count)
        proofs.schema  # noqa: B018 - records that were not fingerprinted are told of before the work
        self._path, self._proofs, self._count = run.row_wise, proofs, count
        self._seed = seed if seed is not None else Digest(secrets.token_bytes(SEED_BYTES))
        self._drawn = (0, 0)

    def cut(self, folder: Path, aside: Path) -> None:
        """Put a sample in the place of the table that the run works on."""
        place = folder / self._path
        if place.is_symlink() or not place.is_file():
            raise SourceError("the table of the run is not there", expected="a file of an input", where=self._path)
        aside.mkdir()
        whole = place.replace(aside / place.name)
        self._drawn = cut(whole, place, lambda total: draw(self._seed.raw, self._count, total))
        whole.unlink()
        if not self._drawn[0]:
            raise SourceError("the table has no records to draw", expected="one at least", where=self._path)

    def judge(self, place: Path) -> tuple[Sample, Digest]:
        """What of that which came out is in the artefact, and the file root of it."""
        found = self._proofs.membership(open_table(place, schema=self._proofs.schema))
        if not len(found.rows):
            hint = "draw more records"
            raise SourceError("nothing came out of the sample", expected="a record at least", hint=hint)
        root = find_fingerprint(place, Wanted()).fingerprint.document.file_root
        return Sample(*self._drawn, self._seed, len(found.rows), found.absent), root


def find_run(ledger: Ledger, reference: str) -> tuple[Digest, Run]:
    """The SHA-256 of the envelope of the run that made an artefact, the last that a trusted key signed, and the run."""
    trust, namespace = ledger.keyring.trust(), ledger.pin(reference).name.dataset.namespace
    unfit = "nobody says how it was made"
    for one in reversed(ledger.said_about(reference)):
        if not isinstance(one.event.body, Run):
            continue
        source = trust.source(one.row.keyid)
        if source is None or source.revoked or (source.namespaces and namespace not in source.namespaces):
            unfit = "nobody who is trusted here says how it was made"
            continue
        envelope = ledger.log.entry(one.index).envelope
        verify_envelope(parse_envelope(envelope), source.key)
        if not one.event.body.command:
            unfit = "it was made by a program, not by a command that can be run again"
            continue
        return Digest.of(envelope), _with_listed(ledger, one.event.body)
    raise NotFoundError(unfit, got=reference, hint="make it with `provenance run`")


def _with_listed(ledger: Ledger, run: Run) -> Run:
    if run.listed is None:
        return run
    materials = ledger.blobs.get(run.listed.materials.digest, max_bytes=MAX_LIST_BYTES)
    return run.with_listed(materials, ledger.blobs.get(run.listed.paths, max_bytes=MAX_PATHS_BYTES))


def _execute(run: Run, folder: Path, home: Path, timeout_s: float) -> None:
    try:
        execute(_words(run), folder, timeout_s, _bare_environment(home)).check()
    except SourceError as error:
        hint = None
        if not run.code:
            hint = "the run kept no code: name its files with `provenance run --code FILE`"
        elif not any(one.named for one in run.code):
            hint = "the run kept the file that its command names alone: name all with `provenance run --code FILE`"
        raise SourceError(error.what, expected=error.expected, got=error.got, where=error.where, hint=hint) from error


def _words(run: Run) -> list[str]:
    # `python` is what the run used; here it is what runs this.
    first, *others = run.command
    return [sys.executable if first in ("python", "python3") else first, *others]


def _bare_environment(home: Path) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _write(place: Path, data: bytes) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    except OSError as error:
        raise SourceError("cannot write a copy", got=error.strerror, where=place.name) from error


def _bring(ledger: Ledger, one: Input, folder: Path, given: Location | None) -> None:
    """Copy an input to where the run had it; every byte is hashed on the way."""
    if one.path is None:
        raise MalformedError("the run does not say where its input lay", got=one.pin.name)
    name = str(one.pin.name)
    if ledger.pin(name) != one.pin:
        raise PolicyError("input was registered by another envelope", got=name)
    place = given if given is not None else ledger.place_of(name)
    source, files = open_source(place), ledger.proofs(name).files()
    target = folder / one.path.removesuffix("/")
    if not one.path.endswith("/"):
        (entry,) = files
        copy_checked(source, entry, target)
        return
    target.mkdir(parents=True, exist_ok=True)
    for entry in files:
        copy_checked(source, entry, target / entry.path)
