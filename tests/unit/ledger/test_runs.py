"""Runs and replays: what is recorded, what is refused, and what comes out otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from provenance.encoding import Digest
from provenance.errors import (
    CommandError,
    ConflictError,
    MalformedError,
    NotFoundError,
    PolicyError,
    SourceError,
    VerificationError,
)
from provenance.ledger import Ledger, fingerprint, run_folder
from provenance.ledger.reading import open_verified
from provenance.ledger.run_folder import set_mark
from provenance.ledger.run_program import MAX_CODE_BYTES, find_revision, script_of
from provenance.ledger.running import RunRecorder
from provenance.policy import Level, Status
from provenance.statement.failed_run import FailedRun
from provenance.statement.finding import Finding, FindingState, Severity
from provenance.statement.quality import Quality, QualityResult
from provenance.statement.replay import ReplayResult
from provenance.statement.review import Decision, Review
from provenance.statement.revocation import Revocation, RevocationReason
from provenance.statement.run import CodeFile, Run
from provenance.statement.usage import Usage
from provenance.verify import parse_bundle

DOUBLE = "import pathlib\nout = pathlib.Path('out')\nout.mkdir()\ntext = pathlib.Path('raw/a').read_text()\n"
DOUBLE += "(out / 'b').write_text(text * 2)\n"
CLOCK = "import pathlib, time\npathlib.Path('out').write_text(str(time.time_ns()))\n"


@pytest.fixture
def folder(ledger: Ledger, tmp_path: Path) -> Path:
    made = tmp_path / "work"
    (made / "raw").mkdir(parents=True)
    (made / "raw" / "a").write_text("one")
    (made / "double.py").write_text(DOUBLE)
    (made / "clock.py").write_text(CLOCK)
    ledger.keyring.new("lab")
    ledger.register(made / "raw", "h/raw", "1", key="someone", origin="https://h.example/raw", anchor=False)
    return made


def _run(ledger: Ledger, folder: Path, script: str = "double.py", name: str = "h/out") -> Run:
    recorder = RunRecorder(ledger, "double", folder=folder, code=[script], key="someone", parameters={"times": 2})
    recorder.output("out", name, "1", sensitivity="public")
    recorder.input("raw")
    recorder.execute(["python", script])
    (made,) = recorder.finish()
    assert made.receipt.name == f"{name}@1"
    body = ledger.said_about(name)[0].event.body
    assert isinstance(body, Run)
    return body


def test_a_run_says_how_an_output_was_made(ledger: Ledger, folder: Path) -> None:
    run = _run(ledger, folder)
    assert (run.step, run.command, run.output) == ("double", ("python", "double.py"), "out/")
    assert [(one.pin, one.path) for one in run.inputs] == [(ledger.pin("h/raw"), "raw/")]
    assert [(one.path, one.digest) for one in run.code] == [("double.py", Digest.of(DOUBLE.encode()))]
    assert run.parameters == {"times": 2}
    assert run.environment["python"] == ".".join(map(str, sys.version_info[:3]))
    packages = ledger.blobs.get(Digest.from_hex(run.environment["packages"].removeprefix("sha256:")), max_bytes=1 << 20)
    assert b'"cryptography":' in packages
    report = ledger.verify(folder / "out")
    assert [(check.status, check.note) for check in report.checks if check.id == "run"] == [
        (Status.PASSED, "made by python in step double")
    ]
    assert [artefact.name for artefact in report.artefacts] == ["h/out@1", "h/raw@1"]


def test_a_block_of_python_is_a_run_too(ledger: Ledger, folder: Path) -> None:
    with ledger.run("copy", inputs=[("raw", "h/raw@1")], folder=folder, key="someone") as run:
        (folder / "copied").write_bytes((folder / "raw" / "a").read_bytes())
        run.output("copied", "h/copied", "1")
    (said,) = ledger.said_about("h/copied")
    assert isinstance(said.event.body, Run)
    assert (said.event.body.command, said.event.body.output) == ((), "copied")
    with pytest.raises(NotFoundError, match="not by a command"):
        ledger.replay("h/copied", key="lab")


def test_a_block_that_raises_records_nothing(ledger: Ledger, folder: Path) -> None:
    size = ledger.log.size()
    with pytest.raises(ZeroDivisionError), ledger.run("x", inputs=["raw"], folder=folder, key="someone") as run:
        (folder / "o").write_text("o")
        run.output("o", "h/o", "1")
        raise ZeroDivisionError
    assert ledger.log.size() == size


def test_an_input_that_does_not_verify_stops_the_run(ledger: Ledger, folder: Path) -> None:
    (folder / "raw" / "a").write_text("two")
    with pytest.raises(PolicyError, match="input does not verify: content of h/raw@1"):
        _run(ledger, folder)
    assert not (folder / "out").exists()
    (folder / "raw" / "a").write_text("one")
    ledger.state("h/raw", Revocation(RevocationReason.UNLAWFUL), key="someone")
    with pytest.raises(PolicyError, match="revocation of h/raw@1"):
        _run(ledger, folder)


def test_an_input_that_is_not_verified_stops_the_run_unless_less_is_accepted(ledger: Ledger, folder: Path) -> None:
    (folder / "secret").write_text("s")
    origin = "https://h.example/s"
    ledger.register(
        folder / "secret", "h/secret", "1", key="someone", origin=origin, sensitivity="confidential", anchor=False
    )
    size = ledger.log.size()
    with pytest.raises(PolicyError, match="input is not verified") as caught:
        RunRecorder(ledger, "x", folder=folder, key="someone").input("secret")
    assert (caught.value.expected, str(caught.value.got).split(",")[0]) == ("level D3", "D2")
    assert "--accept-unverified" in str(caught.value.hint)
    with pytest.raises(PolicyError, match="input is not verified"), ledger.run("x", inputs=["secret"], folder=folder):
        pass
    assert ledger.log.size() == size
    with ledger.run("x", inputs=["secret"], folder=folder, key="someone", accept_unverified=True) as run:
        (folder / "made").write_text("m")
        run.output("made", "h/made", "1")
    body = ledger.said_about("h/made")[0].event.body
    assert isinstance(body, Run)
    assert "verified" not in str(body.to_json())
    # What fails is accepted by nobody.
    (folder / "secret").write_text("t")
    with pytest.raises(PolicyError, match="input does not verify"):
        RunRecorder(ledger, "x", folder=folder, key="someone", accept_unverified=True).input("secret")
    (folder / "secret").write_text("s")
    ledger.state("h/secret", Quality(QualityResult.PASSED, passed=("not empty",)), key="someone")
    ledger.anchor()
    assert RunRecorder(ledger, "x", folder=folder, key="someone").input("secret") == ledger.pin("h/secret")


def test_an_input_that_changes_meanwhile_stops_it_too(ledger: Ledger, folder: Path) -> None:
    (folder / "bad.py").write_text(DOUBLE + "pathlib.Path('raw/a').write_text('three')\n")
    size = ledger.log.size()
    with pytest.raises((PolicyError, SourceError)):
        _run(ledger, folder, "bad.py")
    assert ledger.log.size() == size


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("raise SystemExit(3)", "exit status 3"),
        ("pass", "did not make its output"),
        ("import os; os.kill(os.getpid(), 9)", "signal 9"),
    ],
)
def test_a_command_that_fails_records_nothing(ledger: Ledger, folder: Path, script: str, said: str) -> None:
    (folder / "bad.py").write_text(script)
    size = ledger.log.size()
    with pytest.raises(SourceError, match=said):
        _run(ledger, folder, "bad.py")
    assert ledger.log.size() == size


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("kill -9 $$", 137)])
def test_that_a_command_failed_is_stated_of_each_input_on_request(
    ledger: Ledger, folder: Path, script: str, status: int
) -> None:
    (folder / "more").write_text("more")
    ledger.register(folder / "more", "h/more", "1", key="someone", origin="https://h.example/m", anchor=False)
    recorder = RunRecorder(ledger, "train", folder=folder, code=["double.py"], key="someone")
    recorder.output("out", "h/out", "1")
    recorder.input("raw")
    recorder.input("more")
    with pytest.raises(CommandError) as caught:
        recorder.execute(["sh", "-c", f"cat raw/a > out; {script}"], record_failure=True)
    assert caught.value.status == status
    assert [name for name, _ in recorder.failure] == ["h/raw@1", "h/more@1"]
    for name, index in recorder.failure:
        (said,) = ledger.said_about(name)
        assert said.index == index
        assert isinstance(said.event.body, FailedRun)
        failed = said.event.body
        assert (failed.exit_code, failed.step, failed.command[0]) == (status, "train", "sh")
        assert [str(one.pin.name) for one in failed.inputs] == ["h/raw@1", "h/more@1"]
        assert failed.observed is not None and failed.observed.files == 1
    with pytest.raises(MalformedError, match="command of the run failed"):
        recorder.finish()
    assert not [row for row in ledger.datasets() if row.name == "out"]
    # It bears on no verdict, and is in no bundle; the log has it all the same.
    report = ledger.verify(folder / "raw")
    assert report.verified and not [check for check in report.checks if check.id == "run"]
    assert len(parse_bundle(ledger.bundle("h/raw")).entries) == 1
    with pytest.raises(NotFoundError, match="nobody says how it was made"):
        ledger.replay("h/raw", key="lab")


def test_a_failure_is_stated_of_what_the_inputs_still_are(ledger: Ledger, folder: Path) -> None:
    size = ledger.log.size()
    recorder = RunRecorder(ledger, "train", folder=folder, key="someone")
    with pytest.raises(MalformedError, match="stated of inputs, and there are none"):
        recorder.execute(["false"], record_failure=True)
    recorder.input("raw")
    with pytest.raises(PolicyError, match="input does not verify"):
        recorder.execute(["sh", "-c", "echo >> raw/a; false"], record_failure=True)
    assert (ledger.log.size(), recorder.failure) == (size, ())


def test_what_was_there_before_is_no_output(ledger: Ledger, folder: Path) -> None:
    (folder / "out").mkdir()
    recorder = RunRecorder(ledger, "x", folder=folder, key="someone")
    recorder.output("out", "h/out", "1")
    recorder.expect_nothing()
    (folder / "out" / "old").write_text("old")
    with pytest.raises(SourceError, match="output is there before the run"):
        recorder.execute(["true"])


@pytest.mark.parametrize("kept", ["old", "made/old", "made/deep/old"])
def test_what_a_block_of_python_did_not_write_is_no_output_of_it(ledger: Ledger, folder: Path, kept: str) -> None:
    (folder / "made" / "deep").mkdir(parents=True)
    (folder / kept).write_text("made last year, of something else")
    size = ledger.log.size()
    with (
        pytest.raises(SourceError, match="output was there before the run") as caught,
        ledger.run("clean", inputs=["raw"], folder=folder, key="someone") as run,
    ):
        (folder / "made" / "new").write_text("new")
        run.output(kept.split("/")[0], "h/old", "1")
    assert caught.value.where == kept
    assert ledger.log.size() == size


@pytest.mark.parametrize("way", ["write", "append", "replace", "again"])
def test_an_output_may_be_written_over(ledger: Ledger, folder: Path, way: str) -> None:
    (folder / "made").write_text("before")
    with ledger.run("clean", inputs=["raw"], folder=folder, key="someone") as run:
        if way == "replace":
            (folder / "other").write_text("after")
            (folder / "other").replace(folder / "made")
        else:
            with (folder / "made").open("a" if way == "append" else "w") as file:
                file.write("before" if way == "again" else "after")
        run.output("made", "h/made", "1")
    assert [said.event.about.name.version for said in ledger.said_about("h/made")] == ["1"]


def test_a_mark_tells_what_was_changed_a_moment_before_from_what_is_changed_a_moment_after(tmp_path: Path) -> None:
    for number in range(20):
        before, after = tmp_path / f"before{number}", tmp_path / f"after{number}"
        before.write_text("x")
        mark = set_mark(tmp_path)
        after.write_text("x")
        assert mark.is_past
        assert (mark.is_before(before), mark.is_before(after)) == (True, False)
    assert len(list(tmp_path.iterdir())) == 40


def test_a_mark_on_a_clock_that_stands_still_refuses_only_what_is_older(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("x")
    now = (tmp_path / "a").lstat().st_ctime_ns
    monkeypatch.setattr(run_folder, "_clock_ns", lambda folder: now)
    mark = set_mark(tmp_path)
    assert (mark.is_past, mark.is_before(tmp_path / "a")) == (False, False)
    monkeypatch.setattr(run_folder, "_clock_ns", lambda folder: now + 1)
    assert set_mark(tmp_path).is_before(tmp_path / "a")


@pytest.mark.parametrize("place", ["..", "/etc/passwd", ".", "raw/../.."])
def test_paths_stay_in_the_folder(ledger: Ledger, folder: Path, place: str) -> None:
    recorder = RunRecorder(ledger, "x", folder=folder, key="someone")
    for call in (lambda: recorder.input(place), lambda: recorder.output(place, "h/x", "1")):
        with pytest.raises(MalformedError, match="run's folder"):
            call()


def test_a_secret_never_reaches_the_log(ledger: Ledger, folder: Path) -> None:
    recorder = RunRecorder(ledger, "x", folder=folder, key="someone")
    for words in (
        ["python", "--api-key", "hunter2"],
        ["curl", "https://h.example/?token=hunter2"],
        ["python", "x.py", "--hub_token=hunter2"],
        ["curl", "-H", "Authorization: Bearer hunter2"],
        ["env", "PGPASSWORD=hunter2", "psql", "postgresql://u:hunter2@db/x"],
    ):
        with pytest.raises(MalformedError) as caught:
            recorder.execute(words)
        assert "hunter2" not in str(caught.value)
    for parameters in ({"password": "hunter2"}, {"hubToken": "hunter2"}, {"x": "https://u:hunter2@h/"}):
        with pytest.raises(MalformedError) as caught:
            RunRecorder(ledger, "x", folder=folder, key="someone", parameters=parameters)
        assert "hunter2" not in str(caught.value)


def test_a_name_that_is_taken_is_a_conflict(ledger: Ledger, folder: Path) -> None:
    _run(ledger, folder)
    (folder / "out" / "b").unlink()
    (folder / "out").rmdir()
    (folder / "raw" / "a").write_text("one")
    _run(ledger, folder)  # the same again is the same
    with pytest.raises(ConflictError):
        ledger.register(folder / "double.py", "h/out", "1", key="someone", anchor=False)


def test_a_replay_that_comes_out_the_same_counts_if_somebody_else_made_it(ledger: Ledger, folder: Path) -> None:
    _run(ledger, folder)
    assert ledger.replay("h/out", key="someone").result is ReplayResult.REPRODUCED

    def agreement() -> Status:
        return next(check.status for check in ledger.verify(folder / "out").checks if check.id == "agreement")

    assert agreement() is Status.NOT_PERFORMED
    found = ledger.replay("h/out", key="lab")
    assert (found.result, found.changes, found.name) == (ReplayResult.REPRODUCED, (), "h/out@1")
    assert agreement() is Status.PASSED


def test_all_levels_can_be_reached(ledger: Ledger, folder: Path) -> None:
    _run(ledger, folder)
    ledger.anchor()
    levels = [ledger.verify(folder / "out").level]
    ledger.state("h/out", Quality(QualityResult.PASSED, passed=("not empty",)), key="someone")
    levels.append(ledger.verify(folder / "out").level)
    ledger.replay("h/out", key="lab")
    ledger.state("h/out", Review(Decision.APPROVED), key="lab")
    assert ledger.verify(folder / "out").missing == ("detection",)
    looked = Finding("images", Severity.INFO, "nothing was found", FindingState.RESOLVED, detector="duplicates")
    ledger.state("h/out", looked, key="lab")
    report = ledger.verify(folder / "out")
    assert (levels, report.level, report.missing) == ([Level.D2, Level.D3], Level.D4, ())


def test_a_transformation_that_lied_is_caught(ledger: Ledger, folder: Path) -> None:
    _run(ledger, folder, "clock.py")
    found = ledger.replay("h/out", key="lab")
    assert found.result is ReplayResult.DIFFERS
    assert [change.path for change in found.changes] == ["out"]
    report = ledger.verify(folder / "out")
    assert [check.id for check in report.failures if check.id != "lineage"] == ["agreement"]


def test_a_replay_uses_nothing_of_the_folder(ledger: Ledger, folder: Path) -> None:
    (folder / "leans.py").write_text(DOUBLE + "pathlib.Path('double.py').read_text()\n")
    _run(ledger, folder, "leans.py")
    with pytest.raises(SourceError, match="exit status 1"):
        ledger.replay("h/out", key="lab")
    assert len(ledger.said_about("h/out")) == 1


def test_inputs_of_a_replay_are_verified(ledger: Ledger, folder: Path, tmp_path: Path) -> None:
    _run(ledger, folder)
    (folder / "raw" / "a").write_text("two")
    with pytest.raises(SourceError, match="changed"):
        ledger.replay("h/out", key="lab")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a").write_text("one")
    assert ledger.replay("h/out", key="lab", data={"h/raw": tmp_path / "elsewhere"}).result is ReplayResult.REPRODUCED


def test_only_runs_of_trusted_keys_are_followed(ledger: Ledger, folder: Path) -> None:
    _run(ledger, folder)
    ledger.keyring.revoke("someone")
    with pytest.raises(NotFoundError, match="nobody who is trusted here"):
        ledger.replay("h/out", key="lab")
    with pytest.raises(NotFoundError, match="nobody says how it was made"):
        ledger.replay("h/raw", key="lab")


def test_a_replay_takes_no_longer_than_it_may(ledger: Ledger, folder: Path) -> None:
    _run(ledger, folder)
    (folder / "slow.py").write_text(
        "import time, pathlib, os\nif 'TMPDIR' in os.environ: time.sleep(60)\npathlib.Path('out2').write_text('x')\n"
    )
    recorder = RunRecorder(ledger, "slow", folder=folder, code=["slow.py"], key="someone")
    recorder.output("out2", "h/slow", "1")
    before = os.environ.pop("TMPDIR", None)
    try:
        recorder.execute(["python", "slow.py"])
    finally:
        if before is not None:
            os.environ["TMPDIR"] = before
    recorder.finish()
    with pytest.raises(SourceError, match="took too long"):
        ledger.replay("h/slow", key="lab", timeout_s=0.5)


def test_the_commit_is_named(tmp_path: Path) -> None:
    assert find_revision(tmp_path) is None
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    (tmp_path / "f").write_text("1")
    for words in (["init", "-q"], ["add", "f"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    found = find_revision(tmp_path)
    assert found is not None
    assert (len(found.commit), found.changed, found.repository) == (40, False, None)
    (tmp_path / "f").write_text("2")
    subprocess.run(["git", "remote", "add", "origin", "https://user:hunter2@git.example/x"], cwd=tmp_path, check=True)
    found = find_revision(tmp_path)
    assert found is not None
    assert (found.changed, found.repository) == (True, None)


def test_a_run_that_kept_no_code_says_what_is_missing(ledger: Ledger, folder: Path) -> None:
    recorder = RunRecorder(ledger, "double", folder=folder, key="someone")
    recorder.output("out", "h/bare", "1")
    recorder.input("raw")
    recorder.execute(["python", "-m", "double"])
    assert recorder.found_code is None
    recorder.finish()
    with pytest.raises(SourceError) as caught:
        ledger.replay("h/bare", key="lab")
    assert caught.value.hint == "the run kept no code: name its files with `provenance run --code FILE`"


def test_the_program_that_the_command_names_is_kept_if_nobody_names_code(ledger: Ledger, folder: Path) -> None:
    recorder = RunRecorder(ledger, "double", folder=folder, key="someone")
    recorder.output("out", "h/bare", "1")
    recorder.input("raw")
    recorder.execute([sys.executable, "-B", "double.py"])
    recorder.finish()
    (said,) = ledger.said_about("h/bare")
    assert isinstance(said.event.body, Run)
    assert said.event.body.code == (CodeFile("double.py", Digest.of(DOUBLE.encode()), named=False),)
    assert (recorder.found_code, recorder.unnamed) == ("double.py", ())
    assert ledger.replay("h/bare", key="lab").result is ReplayResult.REPRODUCED


def test_code_that_somebody_named_is_all_there_is(ledger: Ledger, folder: Path) -> None:
    recorder = RunRecorder(ledger, "double", folder=folder, code=["clock.py"], key="someone")
    recorder.output("out", "h/bare", "1")
    recorder.execute(["python", "double.py"])
    assert (recorder.found_code, recorder.unnamed) == (None, ("double.py", "raw/a"))


def test_a_program_that_is_input_is_no_code(ledger: Ledger, folder: Path) -> None:
    ledger.register(folder / "double.py", "h/program", "1", key="someone", origin="https://h.example/p", anchor=False)
    recorder = RunRecorder(ledger, "double", folder=folder, key="someone")
    recorder.output("out", "h/bare", "1")
    recorder.input("raw")
    recorder.input("double.py")
    recorder.execute(["python", "double.py"])
    recorder.finish()
    assert recorder.found_code is None
    assert ledger.replay("h/bare", key="lab").result is ReplayResult.REPRODUCED


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("python double.py --to x", "double.py"),
        ("/usr/bin/python3.11 -W ignore -Xdev -u sub/../double.py", "sub/../double.py"),
        ("bash -e run.sh raw/a", "run.sh"),
        ("./run.sh raw/a", "./run.sh"),
        ("sub/run.sh", "sub/run.sh"),
        ("Rscript run.sh", "run.sh"),
        ("python", None),
        ("python -c print(1) double.py", None),
        ("python -m double double.py", None),
        ("python - double.py", None),
        ("python none.py double.py", None),
        ("python ../outside.py", None),
        ("python {folder}/double.py", None),
        ("cp double.py out", None),
        ("run.sh", None),
        ("python raw", None),
        ("python a\0b", None),
    ],
)
def test_which_file_a_command_names_as_its_program(folder: Path, command: str, found: str | None) -> None:
    (folder / "sub").mkdir()
    for name in ("run.sh", "sub/run.sh", "../outside.py"):
        (folder / name).write_text("x")
    assert script_of(command.format(folder=folder).split(" "), folder) == found


def test_a_program_that_is_too_large_is_not_kept(folder: Path) -> None:
    with (folder / "double.py").open("ab") as file:
        file.truncate(MAX_CODE_BYTES + 1)
    assert script_of(["python", "double.py"], folder) is None


@pytest.mark.parametrize(
    "script", ["os.symlink('raw', 'out')", "os.symlink('/etc', 'out')", "os.symlink('none', 'out')"]
)
def test_an_output_that_is_a_link_is_refused(ledger: Ledger, folder: Path, script: str) -> None:
    (folder / "bad.py").write_text(f"import os\n{script}\n")
    size = ledger.log.size()
    with pytest.raises(SourceError, match="output is a symbolic link"):
        _run(ledger, folder, "bad.py")
    assert ledger.log.size() == size


def test_an_output_through_a_link_is_refused(ledger: Ledger, folder: Path) -> None:
    (folder / "bad.py").write_text("import os\nos.symlink('raw', 'sub')\n")
    recorder = RunRecorder(ledger, "x", folder=folder, key="someone")
    recorder.output("sub/a", "h/sub", "1")
    with pytest.raises(SourceError, match="output is a symbolic link"):
        recorder.execute(["python", "bad.py"])
        recorder.finish()


def test_a_run_can_say_what_its_inputs_were_used_for(ledger: Ledger, folder: Path) -> None:
    with ledger.run("copy", inputs=["raw"], folder=folder, key="someone", purpose="training") as run:
        (folder / "copied").write_text("x")
        run.output("copied", "h/copied", "1")
    (used,) = [said.event.body for said in ledger.said_about("h/raw") if isinstance(said.event.body, Usage)]
    (made,) = [said for said in ledger.said_about("h/copied") if isinstance(said.event.body, Run)]
    assert used == Usage("training", run=Digest.of(ledger.log.entries(made.index, 1)[0].envelope))


def test_opening_a_file_can_be_logged(ledger: Ledger, folder: Path) -> None:
    with open_verified("h/raw", "a", ledger=ledger, purpose="training", key="someone") as file:
        assert file.read() == b"one"
    (used,) = [said.event.body for said in ledger.said_about("h/raw") if isinstance(said.event.body, Usage)]
    assert (used.purpose, used.files) == ("training", 1)
    (folder / "raw" / "a").write_text("two")
    size = ledger.log.size()
    with pytest.raises(VerificationError):
        open_verified("h/raw", "a", ledger=ledger, purpose="training", key="someone")
    with pytest.raises(MalformedError, match="no use to log"):
        open_verified(fingerprint(folder / "raw"), "a", root=folder / "raw", purpose="training")
    assert ledger.log.size() == size
