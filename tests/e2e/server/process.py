"""A real server process, a client of it, and a socket for what no HTTP client would send."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.paths import PROJECT

SCRIPT = Path(__file__).with_name("serve_ledger.py")
TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer as it came over a socket; `status` is 0 if the connection closed without one."""

    status: int
    headers: dict[str, str]
    body: bytes

    def problem(self) -> dict[str, Any]:
        """The problem document."""
        assert self.headers["content-type"] == "application/problem+json", self
        document: dict[str, Any] = json.loads(self.body)
        return document


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running server."""

    process: subprocess.Popen[str]
    url: str
    client: httpx.Client
    log: Path

    def raw(self, *pieces: bytes, until_eof: bool = True) -> RawAnswer:
        """The answer to bytes sent as they are; the connection is closed by the server."""
        with self.connect() as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the server has answered and closed
            return read_answer(connection, until_eof=until_eof)

    def connect(self) -> socket.socket:
        """A connection to the server."""
        address = urlsplit(self.url)
        assert address.hostname is not None
        return socket.create_connection((address.hostname, address.port or 0), timeout=TIMEOUT_S)


def read_answer(connection: socket.socket, *, until_eof: bool = True) -> RawAnswer:
    """The next answer on a connection."""
    data = b""
    try:
        while chunk := connection.recv(65_536):
            data += chunk
            if not until_eof and complete(data):
                break
    except ConnectionResetError:
        pass
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return RawAnswer(int(lines[0].split(" ")[1]) if lines[0] else 0, headers, body)


def complete(data: bytes) -> bool:
    """Whether an answer with a Content-Length is all here."""
    head, blank, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(blank) and (not lengths or len(body) >= int(lengths[0].partition(b":")[2]))


@contextmanager
def running_server(ledger_dir: Path, log: Path, **limits: float) -> Iterator[ServerProcess]:
    """A server over the ledger; on leaving it is told to stop, must do so with status 0 and have met no surprise."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(SCRIPT), str(ledger_dir), json.dumps(limits)]
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            assert url.startswith("http://127.0.0.1:"), log.read_text()
            with httpx.Client(base_url=url, timeout=TIMEOUT_S) as client:
                yield ServerProcess(process, url, client, log)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=TIMEOUT_S) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    text = log.read_text()
    assert "Traceback" not in text and "unexpected error" not in text, text
