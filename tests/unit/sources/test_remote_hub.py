"""Repositories of the Hugging Face Hub, read by its own library from a server that speaks its API."""

from __future__ import annotations

import random
import traceback
from collections.abc import Iterator

import pytest
from huggingface_hub import close_session

from provenance.encoding import Digest
from provenance.errors import SourceError
from provenance.fingerprint import Algorithm, Fingerprint, Parameters
from provenance.sources import Reading
from provenance.sources.remote import RemoteSource
from provenance.sources.remote.hub import HubStore
from provenance.sources.remote.patience import Patience
from tests.simulators.hub_server import COMMITS, TOKEN, Hub
from tests.simulators.web_server import Page, WebServer, truncated

QUICK = Patience(connect_s=2, head_s=2, read_s=2, attempts=3, first_wait_s=0.001, max_wait_s=0.005)
LARGE = random.Random(4).randbytes(2**20 + 3)
FILES = {"README.md": (b"# hello\n", False), "data/a.parquet": (LARGE, True), "data/é b.csv": (b"1\n", False)}
DIGESTS = {path: Digest.of(content) for path, (content, _) in FILES.items()}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with WebServer() as web, WebServer() as cdn:
        made = Hub(web, cdn)
        made.commits = {COMMITS[0]: dict(FILES), COMMITS[1]: {"README.md": (b"# other\n", False)}}
        monkeypatch.setenv("HF_ENDPOINT", made.endpoint)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield made
        close_session()


def fingerprint(uri: str = "hf://datasets/owner/name", reading: Reading | None = None) -> Fingerprint:
    return RemoteSource(uri, reading, patience=QUICK).fingerprint()


def refused(uri: str = "hf://datasets/owner/name") -> SourceError:
    with pytest.raises(SourceError) as raised:
        fingerprint(uri)
    shown, link = "".join(traceback.format_exception(raised.value)), raised.value.__context__
    while link is not None:
        shown, link = shown + repr(link), link.__context__
    assert "hunter2" not in shown
    return raised.value


def digests(found: Fingerprint) -> dict[str, Digest]:
    return {entry.path: entry.digest for entry in found.files}


def test_a_repository_is_a_dataset(hub: Hub) -> None:
    found = fingerprint()
    assert digests(found) == DIGESTS
    assert found.parameters == Parameters()
    source = RemoteSource("hf://datasets/owner/name", patience=QUICK)
    assert source.list() == [(path, len(FILES[path][0])) for path in sorted(FILES)]


def test_a_folder_and_a_file_of_it(hub: Hub) -> None:
    assert digests(fingerprint("hf://datasets/owner/name/data")) == {
        "a.parquet": DIGESTS["data/a.parquet"],
        "é b.csv": DIGESTS["data/é b.csv"],
    }
    assert digests(fingerprint("hf://datasets/owner/name@main/data/a.parquet")) == {
        "a.parquet": DIGESTS["data/a.parquet"]
    }


def test_ignore_rules(hub: Hub) -> None:
    hub.commits[COMMITS[0]][".provenanceignore"] = (b"/data/\n", False)
    assert list(digests(fingerprint())) == [".provenanceignore", "README.md"]
    ignoring = Reading(ignore=("*",))
    assert list(digests(fingerprint("hf://datasets/owner/name/README.md", ignoring))) == ["README.md"]


def test_blake3_and_the_stated_digest(hub: Hub) -> None:
    found = fingerprint(reading=Reading(algorithm=Algorithm.BLAKE3))
    assert found.document.algorithm is Algorithm.BLAKE3


def test_lfs_object_ids_are_taken_when_it_is_asked_for(hub: Hub) -> None:
    found = fingerprint(reading=Reading(declared_by="huggingface.co"))
    assert found.digest == fingerprint().digest
    assert found.parameters == Parameters(declared_by="huggingface.co", declared_files=1)


def test_declared_files_are_not_read(hub: Hub) -> None:
    fingerprint(reading=Reading(declared_by="huggingface.co"))
    assert hub.cdn.requests == []
    assert not any("a.parquet" in one.path and "resolve" in one.path for one in hub.web.requests)


def test_a_computed_digest_must_be_the_stated_one(hub: Hub) -> None:
    hub.stated["data/a.parquet"] = "ab" * 32
    error = refused()
    assert (error.what, error.expected) == ("content is not what it is said to be", "ab" * 32)
    hub.stated["data/a.parquet"] = "ab" * 20
    assert refused().what == "LFS object id is no SHA-256"


def test_the_branch_may_move_while_it_is_read(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = HubStore.read

    def read(self: HubStore, *arguments: object) -> Iterator[bytes]:
        hub.branch = COMMITS[1]
        yield from genuine(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(HubStore, "read", read)
    assert digests(fingerprint()) == DIGESTS
    assert digests(fingerprint()) == {"README.md": Digest.of(b"# other\n")}
    assert digests(fingerprint(f"hf://datasets/owner/name@{COMMITS[0]}")) == DIGESTS


def test_the_token_goes_to_the_hub_and_to_nobody_else(hub: Hub) -> None:
    hub.is_private = True
    assert digests(fingerprint()) == DIGESTS
    assert hub.cdn.requests
    assert all("authorization" not in one.headers for one in hub.cdn.requests)
    assert any(one.headers.get("authorization") == f"Bearer {TOKEN}" for one in hub.web.asked("GET"))


def test_without_a_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.is_private = True
    monkeypatch.setenv("HF_TOKEN", "hf_hunter2_of_another")
    refused()


def test_an_interrupted_read_goes_on(hub: Hub) -> None:
    page = Page(LARGE)
    page.faults = [truncated(page, 1_000), truncated(page, 500_000)]
    hub.cdn.pages["/blobs/data/a.parquet?Signature=hunter2"] = page
    assert digests(fingerprint()) == DIGESTS
    assert [one.headers.get("range", "")[:11] for one in hub.cdn.asked("GET")] == ["", "bytes=1000-", "bytes=50100"]


@pytest.mark.parametrize(
    "uri",
    [
        "hf://datasets/owner/none",
        "hf://datasets/owner/name@none",
        "hf://datasets/owner/name/none",
        "hf://datasets/owner/name/data/none",
        "hf://buckets/owner/name",
        "hf://datasets",
        "hf://name",
    ],
)
def test_what_is_not_there(hub: Hub, uri: str) -> None:
    assert refused(uri).what in ("no such object or folder", "buckets of the Hub are not read", "not a repository")


def test_a_name_that_cannot_be_a_file(hub: Hub) -> None:
    hub.commits[COMMITS[0]]["data/../x"] = (b"1", False)
    assert refused().what == "file path is not a plain relative path"


def test_open(hub: Hub) -> None:
    source = RemoteSource("hf://datasets/owner/name", patience=QUICK)
    with source.open("data/a.parquet") as file:
        file.seek(-4, 2)
        assert file.read() == LARGE[-4:]
        file.seek(0)
        assert file.read() == LARGE
    with source.open("README.md") as file:
        assert file.read() == b"# hello\n"
    with pytest.raises(SourceError):
        source.open("nothing")
