"""Where passphrases come from."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provenance import Ledger
from provenance.cli import passphrase
from provenance.errors import LimitError, MalformedError, SignerError


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Answers that a person at a terminal will type; every prompt is checked to go to stderr."""
    answers: list[str] = []

    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    def getpass(prompt: str, stream: object) -> str:
        assert stream is sys.stderr
        assert prompt.endswith(": ")
        return answers.pop(0)

    monkeypatch.setattr(sys, "stdin", Tty())
    monkeypatch.setattr(passphrase, "getpass", getpass)
    return answers


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.init(tmp_path) as opened:
        opened.keyring.new("locked", passphrase=b"secret")
        opened.keyring.new("open")
        yield opened


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"secret", b"secret"),
        (b"secret\n", b"secret"),
        (b"secret\r\n", b"secret"),
        (b"a b\n\n", b"a b\n"),
        (b"\xff\0x\n", b"\xff\0x"),
    ],
)
def test_a_file_is_one_line(tmp_path: Path, content: bytes, expected: bytes) -> None:
    (tmp_path / "p").write_bytes(content)
    assert passphrase.given_passphrase(str(tmp_path / "p")) == expected


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n"])
def test_an_empty_file_is_no_passphrase(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p").write_bytes(content)
    with pytest.raises(MalformedError, match="empty"):
        passphrase.given_passphrase(str(tmp_path / "p"))


def test_a_file_is_small(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"x" * 5_000)
    with pytest.raises(LimitError):
        passphrase.given_passphrase(str(tmp_path / "p"))


def test_the_file_comes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p").write_bytes(b"from file\n")
    monkeypatch.setenv(passphrase.VARIABLE, "from environment")
    assert passphrase.given_passphrase(str(tmp_path / "p")) == b"from file"
    assert passphrase.given_passphrase(None) == b"from environment"
    monkeypatch.setenv(passphrase.VARIABLE, "")
    assert passphrase.given_passphrase(None) is None


def test_a_new_key_is_open_unless_a_passphrase_is_given_or_asked_for(typed: list[str]) -> None:
    assert passphrase.new_passphrase(None, ask=False) is None
    typed += ["s\u00e9cret", "s\u00e9cret"]
    assert passphrase.new_passphrase(None, ask=True) == "s\u00e9cret".encode()


def test_a_new_passphrase_is_typed_twice(typed: list[str]) -> None:
    typed += ["one", "two"]
    with pytest.raises(MalformedError, match="differ") as caught:
        passphrase.new_passphrase(None, ask=True)
    assert "one" not in caught.value.message.replace("nothing", "")


def test_an_empty_answer_is_no_passphrase(typed: list[str]) -> None:
    typed.append("")
    with pytest.raises(SignerError, match="empty"):
        passphrase.unlock("locked")


def test_nobody_is_asked_where_there_is_no_terminal(ledger: Ledger) -> None:
    with pytest.raises(SignerError, match="needs a passphrase") as caught:
        passphrase.passphrase_for(ledger.keyring, "locked", None)
    assert caught.value.hint is not None and passphrase.VARIABLE in caught.value.hint


def test_only_an_encrypted_key_is_asked_for(ledger: Ledger, typed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert passphrase.passphrase_for(ledger.keyring, "open", None) is None
    monkeypatch.setenv(passphrase.VARIABLE, "of another key")
    assert passphrase.passphrase_for(ledger.keyring, "open", None) is None
    assert passphrase.passphrase_for(ledger.keyring, None, None) is None  # two keys: signing will refuse to choose
    monkeypatch.delenv(passphrase.VARIABLE)
    typed.append("secret")
    assert passphrase.passphrase_for(ledger.keyring, "locked", None) == b"secret"


def test_the_only_key_is_found_without_its_name(tmp_path: Path, typed: list[str]) -> None:
    typed.append("secret")
    with Ledger.init(tmp_path / "one") as ledger:
        ledger.keyring.new("locked", passphrase=b"secret")
        assert passphrase.passphrase_for(ledger.keyring, None, None) == b"secret"
