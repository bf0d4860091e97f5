"""IPFS through a gateway, which may lie."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

import pytest

from provenance.encoding import Digest
from provenance.errors import SourceError
from provenance.fingerprint import Algorithm, Fingerprint
from provenance.sources import Reading
from provenance.sources.remote import RemoteSource
from provenance.sources.remote.ipfs import GATEWAY_VARIABLE, raw_digest
from provenance.sources.remote.patience import Patience
from tests.simulators.web_server import Page, WebServer

QUICK = Patience(connect_s=2, head_s=2, read_s=2, attempts=2, first_wait_s=0.001, max_wait_s=0.005)
CONTENT = b"hello ipfs\n"
CID_V0 = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def cid(content: bytes, *, codec: int = 0x55, base: str = "b") -> str:
    """A CIDv1 by the specification: multibase of version, codec, multihash."""
    raw = bytes((1, codec, 0x12, 0x20)) + hashlib.sha256(content).digest()
    if base == "b":
        return "b" + base64.b32encode(raw).decode().lower().rstrip("=")
    if base == "f":
        return "f" + raw.hex()
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = BASE58[digit] + text
    return "z" + text


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    with WebServer() as web:
        monkeypatch.setenv(GATEWAY_VARIABLE, web.url + "/")
        yield web


def fingerprint(uri: str, reading: Reading | None = None) -> Fingerprint:
    return RemoteSource(uri, reading, patience=QUICK).fingerprint()


def refused(uri: str, reading: Reading | None = None) -> SourceError:
    with pytest.raises(SourceError) as raised:
        fingerprint(uri, reading)
    return raised.value


def test_the_cid_of_a_known_block() -> None:
    # The empty raw block, as every IPFS implementation names it.
    assert raw_digest("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku") == Digest.of(b"")


@pytest.mark.parametrize("base", ["b", "f", "z"])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_raw_block_is_checked_against_its_cid(gateway: WebServer, base: str, algorithm: Algorithm) -> None:
    name = cid(CONTENT, base=base)
    gateway.pages[f"/ipfs/{name}"] = Page(CONTENT)
    (entry,) = fingerprint(f"ipfs://{name}", Reading(algorithm=algorithm)).files
    assert (entry.path, entry.size) == (name, len(CONTENT))
    gateway.pages[f"/ipfs/{name}"] = Page(b"hello liar\n")
    error = refused(f"ipfs://{name}", Reading(algorithm=algorithm))
    assert (error.what, error.where) == ("content is not what it is said to be", f"ipfs://{name}")


def test_other_cids_are_what_the_gateway_says(gateway: WebServer) -> None:
    unchecked = [CID_V0, cid(b"something else", codec=0x70)]
    for name in unchecked:
        gateway.pages[f"/ipfs/{name}"] = gateway.pages[f"/ipfs/{name}/d/a%20b.csv"] = Page(CONTENT)
        assert [entry.path for entry in fingerprint(f"ipfs://{name}").files] == [name]
        for path in ("d/a b.csv", "d/a%20b.csv"):
            (entry,) = fingerprint(f"ipfs://{name}/{path}").files
            assert (entry.path, entry.digest) == ("a b.csv", Digest.of(CONTENT))


def test_a_folder_is_not_mistaken_for_its_page(gateway: WebServer) -> None:
    gateway.pages[f"/ipfs/{CID_V0}"] = Page(b"<html>a, b</html>", etag='"DirIndex-2b567f6r5vvdg_CID-x"')
    assert "folder" in refused(f"ipfs://{CID_V0}").what
    assert "folder" in refused(f"ipfs://{CID_V0}/").what


@pytest.mark.parametrize(
    "name", ["x", "Qm", CID_V0[:-1], CID_V0 + "x", "b" + "1" * 58, "bafy!", "example.org", "QmYwAPJzv5CZsnA0" * 3]
)
def test_what_is_no_cid(gateway: WebServer, name: str) -> None:
    assert refused(f"ipfs://{name}").what == "not a CID"
    assert gateway.requests == []


@pytest.mark.parametrize(
    "text", ["b", "ba", "f0", "f0155122", "z1", cid(b"x")[:-1], cid(b"x") + "a", "fg", "b" + "a" * 58]
)
def test_cids_of_other_lengths_have_no_digest(text: str) -> None:
    assert raw_digest(text) is None


@pytest.mark.parametrize("url", ["ftp://x", "https://u:hunter2@x", "nothing", "https://x?token=hunter2", "http://[::1"])
def test_a_gateway_that_is_none(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(GATEWAY_VARIABLE, url)
    error = refused(f"ipfs://{CID_V0}")
    assert error.what == f"{GATEWAY_VARIABLE} is not a web address"
    assert "hunter2" not in str(error)
