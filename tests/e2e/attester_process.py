"""An attester and a served log as processes, and entries that a log's operator puts in without asking anybody."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provenance.ledger import Ledger
from provenance.ledger.witness_folder import make_witness
from provenance.log import encode_vkey
from provenance.policy import encode_trust
from provenance.signature import PublicKey, parse_public_key
from provenance.stores import BlobStore, StoreTransaction
from tests.sessions.session import COMMAND, environment


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes that become a log entry, whatever they are."""

    envelope: bytes

    def find(self, _: StoreTransaction) -> int | None:
        return None

    def index(self, tx: StoreTransaction, blobs: BlobStore, index: int) -> int:
        return index


def append(ledger: Ledger, *entries: bytes) -> None:
    """Have the log sequence and sign these entries, as its operator can."""
    for entry in entries:
        ledger.sequencer.submit(Raw(entry))


class Process:
    """A verb that serves, once it has said where."""

    def __init__(self, *arguments: str, environ: Mapping[str, str] | None = None) -> None:
        self._arguments, self._environ = arguments, environ
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *self._arguments, "--port", "0", "--json"],
            env=environment(self._environ), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        text = ""
        while not text.rstrip().endswith("\n}") and not (text.count("{") and text.count("{") == text.count("}")):
            line = self.process.stdout.readline()
            assert line, f"it ended: {text}"
            text += line
        self.told: dict[str, Any] = json.loads(text)
        self.url: str = self.told["url"]

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
            assert self.process.wait(20) in (0, -number)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        connection.request(method, path, body)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text


class AttesterProcess(Process):
    """`provenance witness serve --attest`, which reads `log` at `url`."""

    def __init__(self, folder: Path, name: str, log: str, url: str, policy: Path, *options: str) -> None:
        self.folder = folder
        self.vkey = encode_vkey(make_witness(folder, name, post_quantum=False).verifier)
        command = [*COMMAND, "witness", "watch", str(folder), log, "--at", url]
        subprocess.run(command, env=environment(None), check=True, capture_output=True)
        super().__init__("witness", "serve", str(folder), "--attest", "--policy", str(policy), *options)

    @property
    def key(self) -> PublicKey:
        return parse_public_key(self.told["attester"]["publicKey"])

    def attestation(self, origin: str, size: int) -> bytes | None:
        status, text = self.ask("GET", f"/attestations/{origin}/{size}")
        return text.encode() if status == 200 else None

    def findings(self, origin: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.ask("GET", f"/findings?origin={origin}")[1])["findings"]
        return found


def write_policy(path: Path, ledger: Ledger, **more: Any) -> Path:
    """A policy that trusts what a ledger trusts now."""
    trust = json.loads(encode_trust(ledger.keyring.trust()))
    del trust["format"]
    trust.pop("witnesses", None)
    path.write_text(json.dumps({"format": "urn:provenance-ledger:policy:1", "name": "own", "trust": trust, **more}))
    return path


@contextmanager
def stopping(processes: Sequence[Process]) -> Iterator[None]:
    """The processes end when this does."""
    try:
        yield
    finally:
        for one in processes:
            one.stop()
