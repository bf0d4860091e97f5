"""Logs as files: `provenance log monitor` and `mirror` follow a log that Go keeps, and Go reads what `export` writes.

Key, checkpoints and tiles of the followed log are Go's; its entry bundles are made here by the text of
c2sp.org/tlog-tiles, since Go's package has none.
"""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

import pytest

from provenance import Ledger
from provenance.log import EntriesPath, encode_tile_path, tile_width
from provenance.merkle import leaf_hash
from tests.e2e.server.statements import envelope_of, source_key
from tests.interop.peer import Peer, hashes
from tests.sessions.session import Session

ORIGIN = "go.example/static"


class _GoLog:
    """A log of the Go program as a folder of files."""

    def __init__(self, go: Peer, tree: str, folder: Path) -> None:
        self._go, self._tree, self.folder = go, tree, folder
        self._key = go.ask("new-key", name=ORIGIN)
        self.vkey: str = self._key["vkey"]

    def publish(self, size: int, prefix: str = "entry ") -> bytes:
        """Write all of the tree of this size; its root."""
        tree = self._tree + prefix
        root = b64decode(self._go.ask("grow", tree=tree, prefix=prefix, size=size))
        self._go.ask("write-tiles", tree=tree, size=size, folder=self.folder)
        for number in range(-(-size // 256)):
            width = tile_width(0, number, size)
            entries = [f"{prefix}{number * 256 + at}".encode() for at in range(width)]
            place = self.folder / encode_tile_path(EntriesPath(number, width)).removeprefix("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries))
        text = self._go.ask("format-tree", origin=ORIGIN, size=size, root=root)
        (self.folder / "checkpoint").write_bytes(b64decode(self._go.ask("sign", skey=self._key["skey"], text=text)))
        return root


@pytest.fixture
def log(go: Peer, tmp_path: Path, request: pytest.FixtureRequest) -> _GoLog:
    return _GoLog(go, request.node.name, tmp_path / "go")


def test_a_log_of_go_is_followed_and_copied(log: _GoLog, tmp_path: Path) -> None:
    session, seen = Session(tmp_path), 0
    for size in (70, 256, 300, 300):
        root = log.publish(size)
        found = session.json("log", "monitor", log.folder, "--vkey", log.vkey, "--state", "seen")
        assert (found["origin"], found["size"], found["root"]) == (ORIGIN, size, root.hex())
        assert (found["since"], found["complete"]) == (seen, True)
        seen = size
    session.json("log", "mirror", log.folder, "copy", "--vkey", log.vkey)
    for file in (tmp_path / "copy").rglob("*"):
        if file.is_file() and not file.name.startswith("."):
            assert file.read_bytes() == (log.folder / file.relative_to(tmp_path / "copy")).read_bytes()
    assert session.json("log", "monitor", "copy", "--vkey", log.vkey)["size"] == 300


def test_a_log_of_go_that_lies_is_caught(log: _GoLog, tmp_path: Path) -> None:
    session = Session(tmp_path)
    follow = ("log", "monitor", log.folder, "--vkey", log.vkey, "--state", "seen")
    log.publish(300)
    session.json(*follow)
    for size, prefix in ((300, "other "), (301, "other "), (299, "entry ")):
        log.publish(size, prefix)
        assert "checkpoints" in session.json(*follow, code=1), (size, prefix)
    log.publish(301)
    tile = log.folder / "tile/0/000"
    good = tile.read_bytes()
    tile.write_bytes(good[:100] + bytes([good[100] ^ 1]) + good[101:])
    session.run("log", "monitor", log.folder, "--vkey", log.vkey, code=1)
    tile.write_bytes(good)
    assert session.json(*follow)["size"] == 301


def test_go_reads_what_export_writes(go: Peer, tmp_path: Path) -> None:
    source = source_key(1)
    entries = [envelope_of(source, f"harbour/exported@{number}", b"%d" % number) for number in range(5)]
    with Ledger.init(tmp_path, origin="exported.example/log") as ledger:
        ledger.keyring.trust_key("harbour", source.public, namespaces=("harbour",))
        for entry in entries:
            ledger.submit(entry)
        vkey = ledger.keyring.vkey
    Session(tmp_path).run("log", "export", "files")
    note = (tmp_path / "files/checkpoint").read_bytes()
    _, size, root_line = go.ask("open", note=note, vkeys=[vkey])["text"].splitlines()
    assert size == "5"
    root = b64decode(root_line)
    assert b64decode(go.ask("read-tiles", tree="exported", folder=tmp_path / "files", size=5, root=root)) == root
    assert hashes(go.ask("record-hashes", tree="exported", indexes=list(range(5)))) == [leaf_hash(e) for e in entries]
