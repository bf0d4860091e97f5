"""Witnesses for tests: `provenance witness serve` as a process, and one that says what it is told to."""

from __future__ import annotations

import http.client
import http.server
import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from provenance.ledger.witness_folder import make_witness
from provenance.log import encode_vkey
from provenance.log.add_checkpoint import AddCheckpoint, parse_add_checkpoint
from tests.sessions.session import COMMAND, environment


class WitnessProcess:
    """`provenance witness serve` on a free port."""

    def __init__(self, folder: Path, name: str, *logs: str) -> None:
        self.folder, self.name = folder, name
        self.vkeys = [encode_vkey(verifier) for verifier in make_witness(folder, name).verifiers]
        self.vkey = self.vkeys[0]
        for vkey in logs:
            subprocess.run(
                [*COMMAND, "witness", "watch", str(folder), vkey],
                env=environment(None),
                check=True,
                capture_output=True,
            )
        self.start()

    @classmethod
    def at(cls, folder: Path, name: str, vkeys: list[str]) -> WitnessProcess:
        """One that is made already, serving."""
        made = cls.__new__(cls)
        made.folder, made.name, made.vkeys, made.vkey = folder, name, vkeys, vkeys[0]
        made.start()
        return made

    def start(self) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "witness", "serve", str(self.folder), "--port", "0", "--json"],
            env=environment(None), stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        text = ""
        while not text.rstrip().endswith("}"):
            line = self.process.stdout.readline()
            assert line, "the witness ended"
            text += line
        self.url = json.loads(text)["url"]

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        assert self.process.wait(20) in (0, -number)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def get(self, path: str) -> tuple[int, str]:
        return self._ask("GET", path, None)

    def post(self, body: bytes) -> tuple[int, str]:
        return self._ask("POST", "/add-checkpoint", body)

    def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=20)
        connection.request(method, path, body)
        answer = connection.getresponse()
        self.type = answer.getheader("Content-Type")
        text = answer.read().decode()
        connection.close()
        return answer.status, text


Answer = Callable[[AddCheckpoint], tuple[int, str, bytes]]


@contextmanager
def scripted(answer: Answer) -> Iterator[str]:
    """A witness that says what it is told to: over a real socket."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, kind, data = answer(parse_add_checkpoint(body))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: object) -> None:
            return

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            return  # the client went away

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
