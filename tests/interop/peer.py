"""A program in another language that answers questions: one JSON object a line in, one out.

Invariant: an answer comes within `ANSWER_TIMEOUT_S` or the test fails; what the other side refuses is `Refused`, and
what goes wrong in any other way fails the test.
"""

from __future__ import annotations

import json
import socket
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ANSWER_TIMEOUT_S = 30.0


class Refused(Exception):
    """The other side looked at it and said no."""


class Peer:
    """The program of `command`, started."""

    def __init__(self, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(ANSWER_TIMEOUT_S)
        with theirs:
            self._process = subprocess.Popen(
                list(command), cwd=folder, env=environment, stdin=theirs.fileno(), stdout=theirs.fileno()
            )
        self._answers = self._socket.makefile("rb")

    def ask(self, op: str, **arguments: object) -> Any:
        """What it answers; `Refused` if it refuses. Bytes become base64, in lists and dictionaries too."""
        question = {"op": op} | {name: _plain(value) for name, value in arguments.items()}
        self._socket.sendall(json.dumps(question).encode() + b"\n")
        line = self._answers.readline()
        assert line, f"{op}: the program ended with status {self._process.wait(ANSWER_TIMEOUT_S)}"
        answer = json.loads(line)
        if "refused" in answer:
            raise Refused(answer["refused"])
        assert "result" in answer, f"{op}: {answer}"
        return answer["result"]

    def accepts(self, op: str, **arguments: object) -> bool:
        """Whether it answers and does not refuse."""
        try:
            self.ask(op, **arguments)
        except Refused:
            return False
        return True

    def close(self) -> None:
        """End its input; it must end by itself, with status 0."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
            assert self._process.wait(ANSWER_TIMEOUT_S) == 0
        finally:
            self._process.kill()
            self._process.wait()
            self._answers.close()
            self._socket.close()


def hashes(answer: Sequence[str] | None) -> list[bytes]:
    """Hashes of an answer; Go writes an empty list as null."""
    return [b64decode(one, validate=True) for one in answer or ()]


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return str(value) if isinstance(value, Path) else value
