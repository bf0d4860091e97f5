"""A small ledger with two datasets, made once, and a way to run verbs in this process."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from provenance import Ledger
from provenance.cli.program import run


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


class Terminal(io.TextIOWrapper):
    """A text stream in memory that can pretend to be a terminal and to have any encoding."""

    def __init__(self, encoding: str = "utf-8", *, tty: bool = False) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)
        self.tty = tty

    def isatty(self) -> bool:
        return self.tty

    def text(self) -> str:
        self.flush()
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode(self.encoding)


Invoke = Callable[..., Outcome]


@pytest.fixture
def invoke() -> Invoke:
    """Runs a verb as the program would, with its streams in memory."""

    def invoke(*arguments: object, encoding: str = "utf-8", tty: bool = False) -> Outcome:
        out, err = Terminal(encoding, tty=tty), Terminal(encoding, tty=tty)
        with redirect_stdout(out), redirect_stderr(err):
            code = run([str(argument) for argument in arguments])
        return Outcome(code, out.text(), err.text())

    return invoke


@dataclass(frozen=True, slots=True)
class Place:
    """Where the test ledger and its data are."""

    folder: Path
    raw: Path
    clean: Path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """`titanic/raw@1` and `titanic/clean@1` made from it, by two keys, not anchored. Tests must not change it."""
    folder = tmp_path_factory.mktemp("ledger")
    place = Place(folder, folder / "raw", folder / "clean")
    for where, text in ((place.raw, "a,b\n1,2\n3,4\n"), (place.clean, "a,b\n1,2\n")):
        where.mkdir()
        (where / "rows.csv").write_text(text)
    with Ledger.init(folder, origin="test.example/log") as ledger:
        ledger.keyring.new("museum")
        ledger.keyring.new("lab", algorithm="ed25519")
        ledger.register(place.raw, "titanic/raw", "1", key="museum", origin="https://example.com/raw", anchor=False)
        ledger.register(place.clean, "titanic/clean", "1", key="lab", parents=["titanic/raw"], anchor=False)
    return place


@pytest.fixture
def here(made: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The same, as the working directory."""
    monkeypatch.chdir(made.folder)
    return made


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the tester's own."""
    for name in ("PROVENANCE_LEDGER", "PROVENANCE_PASSPHRASE", "PROVENANCE_DEBUG", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
