"""`provenance witness serve` and a log that the Go program keeps: tlog-witness over HTTP.

Go's note package has no cosignatures: with its own types it opens the log's line of a cosigned checkpoint and lists the
witness's as unverified; that one verifies in Go through a `note.Verifier` of the Go program (test_go_cosignatures).
"""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from provenance.ledger.witness_folder import make_witness
from provenance.log import encode_vkey, open_cosigned, parse_vkey
from tests.interop.peer import Peer
from tests.sessions.session import COMMAND, environment

ORIGIN, WITNESS = "go.example/witnessed", "witness.example/w1"
TIMEOUT_S = 30.0


class _Answer(NamedTuple):
    status: int
    kind: str | None
    body: bytes


class _Log:
    """A log of the Go program: its key, its trees, what it signs and what it asks witnesses."""

    def __init__(self, go: Peer, tree: str) -> None:
        self._go, self._tree = go, tree
        self._key = go.ask("new-key", name=ORIGIN)
        self.vkey: str = self._key["vkey"]

    def checkpoint(self, size: int, prefix: str = "entry ") -> bytes:
        """The signed checkpoint of its first `size` records."""
        root = self._go.ask("grow", tree=self._tree + prefix, prefix=prefix, size=size)
        text = self._go.ask("format-tree", origin=ORIGIN, size=size, root=root)
        return b64decode(self._go.ask("sign", skey=self._key["skey"], text=text))

    def request(self, old: int, size: int, note: bytes | None = None) -> bytes:
        """The body of add-checkpoint, the proof in it Go's."""
        note = note or self.checkpoint(size)
        return b64decode(self._go.ask("request", tree=self._tree + "entry ", old=old, size=size, note=note))


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    """The address of the witness in a folder, served by a process of its own."""
    process = subprocess.Popen(
        [*COMMAND, "witness", "serve", str(folder), "--port", "0", "--json"],
        env=environment(None), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        text = ""
        while not text.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, "the witness ended"
            text += line
        yield json.loads(text)["url"].removeprefix("http://")
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _post(place: str, body: bytes) -> _Answer:
    connection = http.client.HTTPConnection(place, timeout=TIMEOUT_S)
    try:
        connection.request("POST", "/add-checkpoint", body)
        answer = connection.getresponse()
        return _Answer(answer.status, answer.getheader("Content-Type"), answer.read())
    finally:
        connection.close()


@pytest.fixture
def log(go: Peer, request: pytest.FixtureRequest) -> _Log:
    return _Log(go, request.node.name)


@pytest.fixture
def witness(tmp_path: Path, log: _Log) -> Iterator[tuple[str, str]]:
    """The witness's address and key; it watches the log."""
    vkey = encode_vkey(make_witness(tmp_path / "w", WITNESS).verifier)
    command = [*COMMAND, "witness", "watch", str(tmp_path / "w"), log.vkey]
    subprocess.run(command, env=environment(None), check=True, capture_output=True, timeout=TIMEOUT_S)
    with _serving(tmp_path / "w") as place:
        yield place, vkey


def test_a_log_of_go_is_witnessed_and_go_opens_the_result(go: Peer, log: _Log, witness: tuple[str, str]) -> None:
    place, vkey = witness
    old = 0
    for size in (1, 2, 70, 256, 257, 300, 300):
        note, began = log.checkpoint(size), int(time.time())
        status, kind, lines = _post(place, log.request(old, size))
        assert (status, kind) == (200, "text/plain; charset=utf-8"), lines
        opened = go.ask("open", note=note + lines, vkeys=[log.vkey])
        assert [one["name"] for one in opened["verified"]] == [ORIGIN]
        assert {one["name"] for one in opened["unverified"]} == {WITNESS}
        opened = go.ask("open", note=note + lines, vkeys=[log.vkey, vkey])
        assert [one["name"] for one in opened["verified"]] == [ORIGIN, WITNESS]
        ours = open_cosigned(note + lines, parse_vkey(log.vkey), [parse_vkey(vkey)])
        assert ours.checkpoint.size == size
        assert began <= ours.cosignatures[0].time_s <= time.time()
        # As a client may that knows the witness alone.
        assert go.ask("open", note=note + lines, vkeys=[vkey])["text"].encode() == note.partition(b"\n\n")[0] + b"\n"
        old = size


def test_what_the_witness_refuses_a_log_of_go(go: Peer, log: _Log, witness: tuple[str, str]) -> None:
    place, _ = witness
    assert _post(place, log.request(0, 70)).status == 200
    # It has seen 70: another old size is answered with that.
    assert _post(place, log.request(69, 257)) == _Answer(409, "text/x.tlog.size", b"70\n")
    # Another log under the same name, and one that it does not watch.
    stranger = _Log(go, "stranger")
    assert _post(place, stranger.request(70, 257)).status == 403
    root = bytes(range(32))
    elsewhere = go.ask("new-key", name="elsewhere.example/log")
    text = go.ask("format-tree", origin="elsewhere.example/log", size=1, root=root)
    note = b64decode(go.ask("sign", skey=elsewhere["skey"], text=text))
    assert _post(place, b"old 0\n\n" + note).status == 404
    # A history that is not the one it saw: same size, then a larger one with a proof of the true history.
    assert _post(place, log.request(70, 70, log.checkpoint(70, "forged "))).status == 409
    assert _post(place, log.request(70, 257, log.checkpoint(257, "forged "))).status == 422
    # The true proof with one byte changed, in every hash of it.
    good = log.request(70, 257)
    head, _, note = good.partition(b"\n\n")
    first, *proof = head.split(b"\n")
    assert len(proof) > 3
    for number, line in enumerate(proof):
        value = bytearray(b64decode(line))
        value[number] ^= 1
        bad = b"\n".join([first, *proof[:number], b64encode(value), *proof[number + 1 :]])
        assert _post(place, bad + b"\n\n" + note).status == 422
    # And what makes no sense; then the true one.
    assert _post(place, good.replace(b"old 70", b"old 070")).status == 400
    assert _post(place, good.replace(b"old 70", b"old 258")).status == 400
    assert _post(place, good).status == 200
    assert _post(place, good) == _Answer(409, "text/x.tlog.size", b"257\n")
