"""The program around the verbs: usage, errors, one document, no traceback."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import provenance.cli.application as application
from provenance import __version__
from provenance.cli.application import app
from provenance.cli.invocation import Invocation, add_verb
from provenance.cli.program import run
from provenance.errors import StoreError
from tests.unit.cli.conftest import Invoke, Place, Terminal

ROOT: Any = typer.main.get_command(app)


def verbs(group: Any = ROOT, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, command in group.commands.items():
        found += verbs(command, (*path, name)) if hasattr(command, "commands") else [((*path, name), command)]
    return found


VERBS = verbs()


def test_the_verbs_are_those_of_the_issue() -> None:
    assert {" ".join(path) for path, _ in VERBS} == {
        "init", "fingerprint", "register", "anchor", "verify", "bundle", "lineage", "serve", "demo",
        "diff", "prove", "check", "impact", "revoke", "supersede", "review", "finding", "use", "events",
        "run", "replay", "quality", "audit", "gate", "export", "import",
        "keys new", "keys list", "keys show", "keys import", "keys trust", "keys revoke", "keys export",
        "log show", "log access", "log checkpoint", "log inclusion", "log consistency", "log fsck", "log reindex",
        "log export", "log publish", "log monitor", "log mirror",
        "log about", "log check-about", "log evidence", "log check-evidence",
        "chain status", "chain deploy", "keys announce", "keys rotate", "keys events",
        "witness init", "witness watch", "witness serve", "witness add", "witness remove", "witness list",
        "witness cosign", "witness retire", "witness waive", "witness check-attestation",
        "log keys list", "log keys add", "log keys rotate", "log keys retire",
        "witness policy set", "witness policy show", "witness policy remove",
        "witness keys list", "witness keys add", "witness keys rotate", "witness keys retire",
    }  # fmt: skip


@pytest.mark.parametrize(("path", "command"), VERBS, ids=[" ".join(path) for path, _ in VERBS])
def test_every_verb_has_json_help_and_words(path: tuple[str, ...], command: Any) -> None:
    assert "--json" in {name for parameter in command.params for name in parameter.opts}
    assert all(parameter.help for parameter in command.params)
    result = CliRunner().invoke(app, [*path, "--help"], obj=Invocation(), env={"COLUMNS": "80"})
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80
    assert "--json" in result.output
    assert not any(odd in result.output for odd in ("<str>", "[[", "{"))


@pytest.mark.parametrize("group", [ROOT, *(ROOT.commands[name] for name in ("keys", "log", "witness", "chain"))])
def test_a_list_of_verbs_shows_what_the_verbs_say(group: Any) -> None:
    assert group.list_commands(None) == list(group.commands)
    for name, command in group.commands.items():
        described = group.get_command(None, name)
        assert not described.params or described is command
        for columns in range(1, 300):
            assert described.get_short_help_str(columns) == command.get_short_help_str(columns)


def test_the_bare_name_shows_help(invoke: Invoke) -> None:
    assert invoke() == invoke("--help")
    assert invoke("-h").code == 0


def test_version(invoke: Invoke) -> None:
    outcome = invoke("--version")
    assert (outcome.code, outcome.out) == (0, f"provenance {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["frob"], "no such command 'frob'", "see `provenance --help`"),
        (["verfy"], "no such command 'verfy'. Did you mean 'verify'?", "see `provenance --help`"),
        (["log", "keys", "retir"], "no such command 'retir'. Did you mean 'retire'?",
         "see `provenance log keys --help`"),
        (["keys"], "missing command", "see `provenance keys --help`"),
        (["register"], "missing argument 'PATH|URI'", "see `provenance register --help`"),
        (["register", "x"], "missing option '--name'", "see `provenance register --help`"),
        (["anchor", "--frob"], "no such option: --frob", "see `provenance anchor --help`"),
        (["anchor", "x"], "got unexpected extra argument(s) (x)", "see `provenance anchor --help`"),
        (["lineage"], "missing argument 'REF'", "see `provenance lineage --help`"),
        (["lineage", "x/y", "--ledger", "d"], "no such option: --ledger",
         "it goes before the verb: `provenance --ledger DIR lineage ...`"),
        (["verify", "--bundle"], "option '--bundle' requires an argument", "see `provenance --help`"),
    ],
)  # fmt: skip
def test_usage(invoke: Invoke, arguments: list[str], error: str, hint: str) -> None:
    outcome = invoke(*arguments)
    assert (outcome.code, outcome.out, outcome.err) == (2, "", f"error: {error}\n  hint       {hint}\n")
    for position in (0, len(arguments)):
        if arguments[-1] != "--bundle" or position == 0:
            document = invoke(*arguments[:position], "--json", *arguments[position:])
            assert (document.code, document.err) == (2, "")
            assert document.json["error"]["kind"] == "usage"
            assert document.json["error"]["exitCode"] == 2


def test_hostile_usage_is_escaped_and_short(invoke: Invoke) -> None:
    outcome = invoke("\x1b[31m\udcff" + "x" * 5_000)
    assert outcome.code == 2
    assert "\x1b" not in outcome.err
    assert len(outcome.err) < 500


def test_json_goes_before_or_after_the_verb(invoke: Invoke, here: Place) -> None:
    assert invoke("--json", "log", "show").json == invoke("log", "show", "--json").json


def failing(error: BaseException) -> Any:
    def verb(run: Invocation) -> int:
        """Fail."""
        run.screen.line("before")
        raise error

    return verb


@pytest.fixture
def outcome_of(monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> Any:
    """Runs a verb that raises an error."""

    def outcome_of(error: BaseException, *arguments: str) -> Any:
        other = typer.Typer(pretty_exceptions_enable=False)
        other.callback()(application._options)
        add_verb(other, "fail", failing(error))
        monkeypatch.setattr(application, "app", other)
        return invoke(*arguments, "fail")

    return outcome_of


def test_an_error_follows_what_was_printed(outcome_of: Any) -> None:
    outcome = outcome_of(StoreError("cannot write", got="x", where="y", hint="z"))
    assert (outcome.code, outcome.out) == (3, "before\n")
    assert outcome.err == "error: cannot write\n  got        x\n  where      y\n  hint       z\n"


def test_an_unexpected_error_is_one_line(outcome_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = outcome_of(ZeroDivisionError("secret"))
    assert outcome.code == 3
    assert outcome.err.startswith(
        "error: internal error: ZeroDivisionError\n  hint       run it again with PROVENANCE_DEBUG=1"
    )
    assert "secret" not in outcome.err
    assert outcome_of(ZeroDivisionError("secret"), "--json").json["error"]["kind"] == "internal"
    monkeypatch.setenv("PROVENANCE_DEBUG", "1")
    assert "Traceback" in outcome_of(ZeroDivisionError("secret")).err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort(), EOFError()])
def test_an_interruption(outcome_of: Any, error: BaseException) -> None:
    outcome = outcome_of(error)
    assert (outcome.code, outcome.err.strip()) == (130, "error: interrupted")
    assert outcome_of(error, "--json").json["error"] == {
        "kind": "interrupted", "message": "interrupted", "what": "interrupted", "exitCode": 130,
    }  # fmt: skip


def test_a_reader_that_went_away_is_quiet(outcome_of: Any) -> None:
    outcome = outcome_of(BrokenPipeError(32, "Broken pipe"))
    assert (outcome.code, outcome.err) == (141, "")


def test_a_full_disk_behind_stdout_is_an_error() -> None:
    class Full(Terminal):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    err = Terminal()
    with redirect_stdout(Full()), redirect_stderr(err):
        code = run(["--version"])
    assert code == 3
    assert err.text() == "error: No space left on device\n"


def test_a_document_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    invocation = Invocation()
    invocation.use_json()
    invocation.document({"one": "\udcff é"})
    invocation.document({"two": 2})
    text = capsys.readouterr().out
    assert json.loads(text) == {"one": "\udcff é"}
    assert text.isascii()


def test_without_json_no_document_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    Invocation().document({"one": 1})
    assert capsys.readouterr().out == ""


def test_main_exits_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    from provenance.cli import main

    monkeypatch.setattr(sys, "argv", ["provenance", "frob"])
    with redirect_stderr(Terminal()), pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
