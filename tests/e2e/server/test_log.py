"""The log over HTTP, read as a monitor reads it: checkpoint and tiles, trusted for nothing."""

from __future__ import annotations

import gzip
import time

import pytest

from provenance.log import (
    EntriesPath,
    LogKey,
    TilePath,
    TileReader,
    encode_tile_path,
    entry_leaf,
    open_checkpoint,
    parse_entries,
    tile_width,
)
from provenance.log.map import open_head, read_answer, verify_answer
from provenance.merkle import leaf_hash, prove_consistency, prove_inclusion, verify_consistency, verify_inclusion
from provenance.merkle import root_of as naive_root
from tests.e2e.server.conftest import HARBOUR, Prepared
from tests.e2e.server.process import ServerProcess
from tests.e2e.server.statements import envelope_of

DSSE = {"Content-Type": "application/vnd.dsse.envelope.v1+json"}


class Monitor:
    """A client that keeps nothing but the log's key."""

    def __init__(self, server: ServerProcess, prepared: Prepared) -> None:
        self._server = server
        response = server.client.get("/checkpoint")
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
        self.checkpoint = open_checkpoint(response.content, prepared.log_verifier)
        self.size = self.checkpoint.size

    def fetch(self, path: TilePath | EntriesPath) -> bytes:
        """The bytes at a tile's path."""
        response = self._server.client.get(encode_tile_path(path))
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/octet-stream"
        assert ("immutable" in response.headers["cache-control"]) == (path.width == 256)
        return response.content

    def tile(self, level: int, index: int) -> bytes:
        """The tile as wide as this size has it."""
        return self.fetch(TilePath(level, index, tile_width(level, index, self.size)))

    def entries(self) -> list[bytes]:
        """Every entry."""
        found: list[bytes] = []
        for index in range(-(-self.size // 256)):
            width = tile_width(0, index, self.size)
            found += parse_entries(self.fetch(EntriesPath(index, width)), width=width)
        return found


@pytest.fixture(scope="module")
def grown(server: ServerProcess, prepared: Prepared) -> tuple[Monitor, Monitor]:
    """What a monitor saw before and after the log grew past a full tile."""
    before = Monitor(server, prepared)
    for number in range(before.size, 300):
        body = envelope_of(HARBOUR, f"harbour/grown@{number}", b"%d" % number)
        server.client.post("/v1/statements", content=body, headers=DSSE).raise_for_status()
    body = envelope_of(HARBOUR, "harbour/grown@last", b"last")
    server.client.post("/v1/statements", content=body, headers=DSSE).raise_for_status()
    return before, Monitor(server, prepared)


def test_tiles_and_entries_give_the_signed_root(grown: tuple[Monitor, Monitor]) -> None:
    monitor = grown[1]
    entries = monitor.entries()
    assert len(entries) == monitor.size > 256
    assert naive_root([leaf_hash(entry) for entry in entries]) == monitor.checkpoint.root
    assert TileReader(monitor.tile, monitor.size).root_at(monitor.size) == monitor.checkpoint.root


def test_any_entry_is_proven_from_tiles_alone(grown: tuple[Monitor, Monitor], server: ServerProcess) -> None:
    monitor = grown[1]
    reader = TileReader(monitor.tile, monitor.size)
    entries = monitor.entries()
    for index in (0, 1, 255, 256, monitor.size - 1):
        proof = prove_inclusion(index, monitor.size, reader.read)
        leaf = bytes.fromhex(server.client.get(f"/v1/entries/{index}").json()["leafHash"])
        assert leaf == entry_leaf(entries[index])
        verify_inclusion(leaf, index, monitor.size, proof, monitor.checkpoint.root)


def test_the_log_only_grew(grown: tuple[Monitor, Monitor]) -> None:
    before, after = grown
    proof = prove_consistency(before.size, after.size, TileReader(after.tile, after.size).read)
    verify_consistency(before.size, after.size, before.checkpoint.root, after.checkpoint.root, proof)


def test_a_tile_served_once_is_served_for_ever(grown: tuple[Monitor, Monitor], server: ServerProcess) -> None:
    full = server.client.get("/tile/0/000").content
    for width in (1, 2, 100, 255):
        assert server.client.get(f"/tile/0/000.p/{width}").content == full[: width * 32]


def test_what_a_client_has_is_not_sent_again(grown: tuple[Monitor, Monitor], server: ServerProcess) -> None:
    for path in ("/tile/0/000", "/tile/entries/000", "/checkpoint"):
        first = server.client.get(path)
        again = server.client.get(path, headers={"If-None-Match": f'"x", W/{first.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert again.headers["cache-control"] == first.headers["cache-control"]
        assert server.client.get(path, headers={"If-None-Match": '"other"'}).content == first.content
        head = server.client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == first.headers["content-length"]
    assert server.client.get("/checkpoint").headers["cache-control"] == "no-cache"


def test_full_tiles_are_kept_and_partial_ones_only_for_a_while(
    grown: tuple[Monitor, Monitor], server: ServerProcess
) -> None:
    width = grown[1].size - 256
    for path in ("/tile/0/000", "/tile/entries/000"):
        assert server.client.get(path).headers["cache-control"] == "public, max-age=31536000, immutable"
    for path in (f"/tile/0/001.p/{width}", f"/tile/entries/001.p/{width}", "/tile/1/000.p/1", "/tile/0/000.p/7"):
        answer = server.client.get(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=60")
        assert answer.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("accepted", "coded"),
    [
        ("gzip", True),
        ("gzip, identity", True),
        ("GZip;q=0.5, br", True),
        ("x-gzip", True),
        ("*", True),
        ("identity", False),
        ("br, zstd", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*;q=0", False),
        ("", False),
    ],
)
def test_bundles_are_compressed_for_who_accepts_it(
    grown: tuple[Monitor, Monitor], server: ServerProcess, accepted: str, coded: bool
) -> None:
    request = f"GET /tile/entries/000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: {accepted}\r\n\r\n"
    answer = server.raw(request.encode())
    plain = server.client.get("/tile/entries/000", headers={"Accept-Encoding": "identity"})
    assert (answer.status, answer.headers["vary"]) == (200, "Accept-Encoding")
    assert answer.headers.get("content-encoding") == ("gzip" if coded else None)
    assert (gzip.decompress(answer.body) if coded else answer.body) == plain.content
    assert (len(answer.body) < len(plain.content)) == coded
    assert (answer.headers["etag"] == plain.headers["etag"]) != coded
    again = server.client.get(
        "/tile/entries/000", headers={"Accept-Encoding": accepted, "If-None-Match": answer.headers["etag"]}
    )
    assert (again.status_code, again.content, again.headers["vary"]) == (304, b"", "Accept-Encoding")


def test_hashes_are_never_compressed(grown: tuple[Monitor, Monitor], server: ServerProcess) -> None:
    answer = server.client.get("/tile/0/000", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers and "vary" not in answer.headers
    assert len(answer.content) == 8_192


def test_what_is_not_there_yet_is_404(grown: tuple[Monitor, Monitor], server: ServerProcess) -> None:
    size = grown[1].size
    for path in (
        "/tile/0/001",
        f"/tile/0/001.p/{size - 256 + 1}",
        "/tile/1/000",
        "/tile/1/000.p/2",
        "/tile/2/000.p/1",
        "/tile/entries/001",
        "/tile/0/x999/x999/x999/x999/x999/999",
        "/tile/63/000",
    ):
        response = server.client.get(path)
        assert response.status_code == 404, path
        assert response.headers["cache-control"] == "no-store"


def test_what_is_no_tile_path_is_404(server: ServerProcess) -> None:
    for path in (
        "/tile/",
        "/tile/0",
        "/tile/0/0",
        "/tile/0/000.p/0",
        "/tile/0/000.p/256",
        "/tile/0/000.p/01",
        "/tile/00/000",
        "/tile/64/000",
        "/tile/0/x000/001",
        "/tile/-1/000",
        "/tile/0/000/",
        "/tile/0/000%3Fx",
        "/tile/0/" + "x999/" * 700 + "999",
    ):
        response = server.client.get(path, follow_redirects=False)
        assert response.status_code == 404, path
        assert response.headers["content-type"] == "application/problem+json"
    for path in ("/tile/0/%30%30%30%0A", "/tile/0/000%00", "/tile/0/%EF%BC%90%EF%BC%90%EF%BC%90"):
        assert server.client.get(path).status_code == 400, path  # no path here holds anything but printable ASCII


def test_the_path_cannot_leave_the_log(server: ServerProcess) -> None:
    for target in (
        b"/tile/../../../../etc/passwd",
        b"/tile/..%2f..%2fetc%2fpasswd",
        b"/tile/%2e%2e/%2e%2e/keys/log.key",
        b"/tile//etc/passwd",
        b"/tile/0/..%5c..%5ckeys",
    ):
        request = b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = server.raw(request)
        assert answer.status == 404 and answer.problem()["status"] == 404, target


def test_the_head_of_the_map_follows_the_checkpoint(
    grown: tuple[Monitor, Monitor], server: ServerProcess, prepared: Prepared
) -> None:
    """Nobody asks for an answer: the server keeps the map up, and signs a head for what it shows."""
    size, deadline = grown[1].size, time.monotonic() + 30
    while True:
        response = server.client.get("/map/head")
        head = open_head(response.content, [LogKey(prepared.log_verifier)]) if response.status_code == 200 else None
        if head is not None and head.size >= size:
            break
        assert response.status_code in (200, 404)
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert (response.headers["content-type"], response.headers["cache-control"]) == (
        "text/plain; charset=utf-8",
        "no-cache",
    )
    again = server.client.get("/map/head", headers={"If-None-Match": response.headers["etag"]})
    assert again.status_code == 304
    # It is the map that an answer of that size is of.
    answer = read_answer(server.client.get("/v1/map/name/museum/none").json())
    listed = verify_answer(answer, [LogKey(prepared.log_verifier)])
    assert listed.entries == ()
    assert (listed.size, answer.head) == (head.size, response.content)
