"""`provenance run`, `replay` and `quality`: how something was made, whether it comes out again, and what tests say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from provenance.cli.arguments import KeyOption, PassphraseFileOption, ReferenceArgument
from provenance.cli.completion import complete_reference, complete_sensitivity
from provenance.cli.exits import DONE, FAILED, failure_of
from provenance.cli.invocation import Invocation
from provenance.cli.passphrase import passphrase_for
from provenance.cli.screen import complain, count_text
from provenance.errors import CommandError, MalformedError, printable

_MAX_SHOWN = 20


def run_command(
    run: Invocation,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="What to run, after --.")],
    outputs: Annotated[
        list[str],
        typer.Option("--output", metavar="PATH=NS/NAME@V", help="What it makes, and what to call it. Repeat."),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="PATH[=REF]", help="What it reads. It must verify. Repeat for several."),
    ] = None,
    inputs_from: Annotated[
        str | None,
        typer.Option("--inputs-from", metavar="FILE", help="The same, one PATH[=REF] a line, any number."),
    ] = None,
    code: Annotated[
        list[str] | None,
        typer.Option("--code", metavar="FILE", help="A file of the program: kept, so that it can be replayed. Repeat."),
    ] = None,
    row_wise: Annotated[
        str | None,
        typer.Option(
            "--row-wise",
            metavar="PATH",
            help="A table each record of which is worked on by itself: a sample can be replayed.",
        ),
    ] = None,
    step: Annotated[str, typer.Option("--step", metavar="WORD", help="What this step is called.")] = "run",
    folder: Annotated[str, typer.Option("--folder", metavar="DIR", help="Where it runs; all paths are in it.")] = ".",
    records: Annotated[
        bool, typer.Option("--records", help="Fingerprint the records of the outputs' tables, too.")
    ] = False,
    kind: Annotated[str, typer.Option("--kind", metavar="WORD", help="dataset or model.")] = "dataset",
    license_name: Annotated[
        str | None, typer.Option("--license", metavar="SPDX", help="Licence of the outputs.")
    ] = None,
    sensitivity: Annotated[
        str,
        typer.Option("--sensitivity", metavar="WORD", help="Of the outputs.", autocompletion=complete_sensitivity),
    ] = "internal",
    accept_unverified: Annotated[
        bool,
        typer.Option("--accept-unverified", help="Take inputs below the level required of them, if no check fails."),
    ] = False,
    record_failure: Annotated[
        bool,
        typer.Option("--record-failure", help="If the command fails, sign so of each input, with its exit code."),
    ] = False,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> int:
    """Run a command on inputs that verify, register what it makes, and sign how it was made.

    Inputs are read and verified before and after; an output must not be there before. The statement names the command,
    the code, the git commit, and the installed packages; no environment variable. Without --code, the file of the
    folder that the command names as its program (python clean.py, ./clean.sh) is kept. If the command fails, the exit
    code is 1 and nothing is recorded, or with --record-failure that it failed, and how. What it prints goes to standard
    error. It does not inherit PROVENANCE_PASSPHRASE. An input that does not reach the level that is required of it is
    refused, too, unless less is accepted; nothing then says that it verified.
    """
    from provenance.cli.files import read_lines
    from provenance.ledger.fingerprinting import Wanted
    from provenance.ledger.running import RunRecorder
    from provenance.limits import MAX_MATERIALS, MAX_URI_CHARS

    listed = (
        read_lines(inputs_from, "list of inputs", max_bytes=MAX_MATERIALS * 2 * MAX_URI_CHARS)
        if inputs_from is not None
        else []
    )
    made_of = [_split(text, "--input", needed=False) for text in (*(inputs or ()), *listed)]
    named = [_split(text, "--output", needed=True) for text in outputs]
    with run.ledger() as ledger:
        passphrase = passphrase_for(ledger.keyring, key, passphrase_file)
        recorder = RunRecorder(
            ledger, step, folder=folder, code=code or (), row_wise=row_wise, accept_unverified=accept_unverified,
            key=key, passphrase=passphrase,
        )  # fmt: skip
        for path, name in named:
            name, _, version = (name or "").rpartition("@")
            recorder.output(
                path, name, version,
                kind=kind, license=license_name, sensitivity=sensitivity, wanted=Wanted(records=records),
            )  # fmt: skip
        recorder.expect_nothing()
        for path, reference in made_of:
            recorder.input(path, reference)
        try:
            recorder.execute(command, record_failure=record_failure)
        except CommandError as error:
            return _failed(run, error, recorder.failure)
        made = recorder.finish()
    for one in made:
        pairs = [("registered", one.receipt.name), ("digest", one.receipt.digest), ("run", f"log entry {one.index}")]
        run.screen.pairs(pairs)
    if recorder.found_code is not None:
        run.screen.pairs(
            [("code", f"{printable(recorder.found_code)}, as the command names it; --code FILE names others")]
        )
    if recorder.unnamed:
        shown = ", ".join(printable(path) for path in recorder.unnamed[:_MAX_SHOWN])
        run.screen.pairs([("opened, too", f"{shown}: name what it needs with --input or --code")], style="warn")
    if recorder.unnamed_writes:
        shown = ", ".join(printable(path) for path in recorder.unnamed_writes[:_MAX_SHOWN])
        run.screen.pairs([("wrote, too", f"{shown}: name what it makes with --output")], style="warn")
    run.screen.pairs([("anchor", "not anchored yet: provenance anchor")], style="warn")
    run.document(
        {
            "made": [one.to_json() for one in made],
            "foundCode": recorder.found_code,
            "unnamed": list(recorder.unnamed),
            "unnamedWrites": list(recorder.unnamed_writes),
        }
    )
    return DONE


def _failed(run: Invocation, error: CommandError, recorded: Sequence[tuple[str, int]]) -> int:
    failure = failure_of(error)
    if not run.as_json:
        run.flush()
        complain(failure.what, failure.details)
        run.screen.pairs([("failure of", f"{name}, log entry {index}") for name, index in recorded])
    run.document({**failure.to_json(), "recorded": [{"about": name, "index": index} for name, index in recorded]})
    return failure.code


def replay(
    run: Invocation,
    reference: ReferenceArgument,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="REF=PATH", help="Where an input is now. Repeat for several."),
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option("--sample", metavar="N", help="Of a run that works row by row: so many random records alone."),
    ] = None,
    seed: Annotated[
        str | None, typer.Option("--seed", metavar="HEX", help="With --sample: draw the records another drew.")
    ] = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> int:
    """Make a dataset or model again, by the command that is said to have made it, and sign what came of it.

    It runs in a clean folder, from inputs that verify and the code that was kept, with a bare environment and your
    rights: only runs that a trusted key signed are followed. Reproduced by another key than the registrant's, it
    counts for level D4. Exit code 1 if it comes out otherwise. A sample of records, of a run that was recorded with
    --row-wise and an output with records, finds what came out otherwise, and proves nothing of the rest.
    """
    from provenance.cli.arguments import parse_number, parse_places
    from provenance.encoding import Digest
    from provenance.ledger.sampling import MAX_SAMPLE
    from provenance.statement.replay import ReplayResult

    with run.ledger() as ledger:
        passphrase = passphrase_for(ledger.keyring, key, passphrase_file)
        found = ledger.replay(
            reference,
            data=parse_places(data or ()),
            sample=None if sample is None else parse_number(sample, "--sample", minimum=1, maximum=MAX_SAMPLE),
            seed=None if seed is None else Digest.from_hex(seed, what="seed"),
            key=key,
            passphrase=passphrase,
        )
    is_same = found.result is ReplayResult.REPRODUCED
    run.screen.spans((str(found.result).upper(), "good" if is_same else "bad"), (f"  {found.name}", "strong"))
    for change in found.changes[:_MAX_SHOWN]:
        run.screen.line(f"  {change.describe()}: {change.path}")
    if found.sample is not None:
        drawn = found.sample
        caught = 100 * (1 - 0.99**drawn.records)
        run.screen.pairs(
            [
                ("sample", f"{drawn.records} of {count_text(drawn.of, 'record')}, {drawn.found} came out"),
                ("not in it", str(drawn.missing) if drawn.missing else None),
                ("seed", drawn.seed.hex),
                ("would find", f"1 wrong record in 100 with {caught:.4g} %" if drawn.records < drawn.of else None),
            ]
        )
    run.screen.pairs([("step", found.run.step), ("log entry", str(found.row.entry_index))])
    run.document(found.to_json())
    return DONE if is_same else FAILED


def quality(
    run: Invocation,
    reference: Annotated[
        str, typer.Argument(metavar="REF", help="What was tested.", autocompletion=complete_reference)
    ],
    passed: Annotated[list[str] | None, typer.Option("--passed", metavar="TEST", help="A test that passed.")] = None,
    warned: Annotated[list[str] | None, typer.Option("--warned", metavar="TEST", help="A test that warned.")] = None,
    failed: Annotated[list[str] | None, typer.Option("--failed", metavar="TEST", help="A test that failed.")] = None,
    rules: Annotated[
        list[str] | None,
        typer.Option("--rules", metavar="FILE", help="A file that says what was tested: its digest is signed."),
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URI", help="Where the test run can be looked at.")
    ] = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> int:
    """Say what tests of a dataset or model came to. Your last word on the same rules holds; a pass counts for level D3,
    and a failed test fails it."""
    from pathlib import Path

    from provenance.cli.files import read_file
    from provenance.cli.verbs.events import say
    from provenance.encoding import Digest
    from provenance.limits import MAX_SCHEMA_BYTES
    from provenance.statement.frame import Subject
    from provenance.statement.quality import Quality, QualityResult

    if not (passed or warned or failed):
        raise MalformedError("no test is named", expected="--passed, --warned or --failed TEST")
    result = QualityResult.FAILED if failed else QualityResult.WARNED if warned else QualityResult.PASSED
    files = [(Path(name).name, read_file(name, "rules", max_bytes=MAX_SCHEMA_BYTES)) for name in rules or ()]
    body = Quality(
        result,
        tuple(Subject(name, Digest.of(text)) for name, text in files),
        tuple(passed or ()),
        tuple(warned or ()),
        tuple(failed or ()),
        url,
    )
    say(run, reference, body, key, passphrase_file)
    return DONE


def _split(text: str, option: str, *, needed: bool) -> tuple[str, str | None]:
    path, equals, name = text.rpartition("=")
    if equals and path and name:
        return path, name
    if needed or equals:
        expected = "PATH=NS/NAME@VERSION" if needed else "PATH or PATH=REF"
        raise MalformedError(f"{option} is not understood", expected=expected, got=text)
    return text, None
