"""Terminals, pipes and signals: what surrounds a process that a user starts."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import socket
import subprocess
import termios
import time
import urllib.request
from pathlib import Path

import pytest

from tests.sessions.session import COMMAND, Session, environment


class Person:
    """Someone at a terminal of 80 columns."""

    def __init__(self, folder: Path, *arguments: str, **settings: str) -> None:
        self._main, side = pty.openpty()
        termios.tcsetwinsize(side, (24, 80))
        more = {"TERM": "xterm-256color", **settings}
        env = {name: value for name, value in environment(more).items() if name != "COLUMNS"}
        self.process = subprocess.Popen(
            [*COMMAND, *arguments], cwd=folder, env=env, stdin=side, stdout=side, stderr=side, start_new_session=True
        )
        os.close(side)
        self.seen = ""

    def wait_for(self, text: str, timeout_s: float = 60) -> None:
        """Read until `text` is on the screen."""
        deadline = time.monotonic() + timeout_s
        while text not in self.seen:
            assert self._read(deadline), f"{text!r} never came: {self.seen!r}"

    def type(self, text: str) -> None:
        os.write(self._main, text.encode() + b"\n")

    def end(self, timeout_s: float = 60) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + timeout_s
        while self._read(deadline):
            pass
        os.close(self._main)
        return self.process.wait(10)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._main], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        with contextlib.suppress(OSError):  # the other side is closed
            data = os.read(self._main, 65_536)
            self.seen += data.decode("utf-8", "replace")
            return bool(data)
        return False


def test_a_passphrase_is_typed_and_never_shown(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.run("init")
    person = Person(tmp_path, "keys", "new", "museum", "--encrypt")
    person.wait_for("new passphrase: ")
    person.type("open sesame")
    person.wait_for("the same again: ")
    person.type("open sesame")
    assert person.end() == 0
    assert "open sesame" not in person.seen
    (tmp_path / "data").write_text("x")
    register = ("register", "data", "--name", "x/y", "--version", "1", "--no-anchor")
    person = Person(tmp_path, *register)
    person.wait_for("passphrase of museum: ")
    person.type("wrong")
    assert person.end() == 2
    assert "passphrase is wrong" in person.seen
    person = Person(tmp_path, *register, "--json")
    person.wait_for("passphrase of museum: ")
    person.type("open sesame")
    assert person.end() == 0
    assert json.loads(person.seen[person.seen.index("{") :])["name"] == "x/y@1"
    assert "open sesame" not in person.seen
    assert "needs a passphrase" in session.run(*register, code=2).err  # no terminal, nobody to ask


def test_a_person_who_leaves_the_prompt(tmp_path: Path) -> None:
    Session(tmp_path).run("init")
    person = Person(tmp_path, "keys", "new", "museum", "--encrypt", NO_COLOR="1")
    person.wait_for("new passphrase: ")
    person.process.send_signal(signal.SIGINT)
    assert person.end() == 130
    assert "error: interrupted" in " ".join(person.seen.split())
    assert Session(tmp_path).json("keys", "list") == {"keys": []}


@pytest.fixture
def long_file(tmp_path: Path) -> Path:
    """A file that takes seconds to read and no room."""
    path = tmp_path / "long"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    return path


def test_what_lasts_shows_how_far_it_is_and_can_be_stopped(long_file: Path) -> None:
    person = Person(long_file.parent, "fingerprint", "long", NO_COLOR="1")
    person.wait_for("/1.1 TB")
    assert "reading" in person.seen
    person.process.send_signal(signal.SIGINT)
    started = time.monotonic()
    assert person.end() == 130
    assert time.monotonic() - started < 5
    assert "error: interrupted" in person.seen
    assert "Traceback" not in person.seen


def test_nothing_of_progress_where_there_is_no_terminal(long_file: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "fingerprint", "long", "--json"], cwd=long_file.parent, env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_until_open(process.pid, long_file)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, b"")
    assert json.loads(out)["error"]["kind"] == "interrupted"


def wait_until_open(pid: int, file: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if link.readlink() == file:
                    return
        time.sleep(0.02)
    raise AssertionError(f"{file} was never opened")


def test_colour_in_a_terminal_and_none_elsewhere(anchored: Session) -> None:
    person = Person(anchored.folder, "verify", "raw")
    assert person.end() == 0
    assert "\x1b[1;32mVERIFIED\x1b[0m" in person.seen
    person = Person(anchored.folder, "verify", "raw", NO_COLOR="1")
    assert person.end() == 0
    assert "\x1b" not in person.seen
    assert max(len(line) for line in person.seen.replace("\r", "").splitlines()) <= 80
    assert "\x1b" not in anchored.run("verify", "raw").out


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_any_encoding(anchored: Session, encoding: str) -> None:
    env = environment({"PYTHONIOENCODING": encoding})
    for verb in (("lineage", "x/made"), ("log", "checkpoint"), ("verify", "raw"), ("lineage", "x/\u8868"), ("--help",)):
        done = subprocess.run([*COMMAND, *verb], cwd=anchored.folder, env=env, capture_output=True, check=False)
        assert done.returncode == (2 if verb[-1] == "x/\u8868" else 0)
        text = (done.stdout + done.stderr).decode(encoding)
        assert "Error" not in text


@pytest.mark.parametrize("verb", [("log", "show"), ("verify", "--all"), ("--help",), ("lineage", "x/nothing")])
def test_a_reader_that_goes_away(anchored: Session, verb: tuple[str, ...]) -> None:
    for stream in ("stdout", "stderr"):
        reader, writer = os.pipe()
        os.close(reader)
        streams: dict[str, int] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: writer}
        done = subprocess.run([*COMMAND, *verb], cwd=anchored.folder, env=environment(), check=False, **streams)  # type: ignore[call-overload]  # streams by name
        os.close(writer)
        expected = 2 if verb[-1] == "x/nothing" else 0
        assert done.returncode in (expected, 141)


def test_a_reader_that_goes_away_hears_nothing_more(anchored: Session) -> None:
    process = subprocess.Popen(
        [*COMMAND, "verify", "--all"],
        cwd=anchored.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(30) == 141


def test_a_full_disk_behind_stdout(anchored: Session) -> None:
    for verb in (("log", "show"), ("log", "show", "--json"), ("bundle", "x/raw", "-o", "-"), ("--version",)):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [*COMMAND, *verb],
                cwd=anchored.folder,
                env=environment(),
                stdout=full,
                stderr=subprocess.PIPE,
                check=False,
            )
        assert (done.returncode, done.stderr) == (3, b"error: No space left on device\n"), verb


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(anchored: Session, closed: str) -> None:
    before = anchored.json("log", "show")
    for verb, code in ((("log", "show"), 0), (("lineage", "x/nothing"), 2), (("verify", "--all"), 0)):
        done = subprocess.run(
            ["bash", "-c", f'exec "$@" {closed}', "bash", *COMMAND, *verb], cwd=anchored.folder, env=environment(),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code
        assert "Traceback" not in done.stderr
    assert anchored.json("log", "show") == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_serves_until_it_is_told_to_stop(anchored: Session, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--json"], cwd=anchored.folder, env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    document = ""
    while not document.endswith("}\n"):
        document += process.stdout.readline()
    url = json.loads(document)["url"]
    with urllib.request.urlopen(f"{url}/checkpoint", timeout=30) as answer:
        assert answer.read().decode() == anchored.run("log", "checkpoint").out
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=30) as answer:
        assert json.load(answer)["openapi"].startswith("3.")
    process.send_signal(number)
    assert process.stdout.read() == ""
    process.stdout.close()
    assert process.wait(30) == 0


def test_an_address_that_is_taken(anchored: Session) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = anchored.run("serve", "--port", str(taken.getsockname()[1]), "--json", code=3)
    assert result.json["error"]["kind"] == "store"
