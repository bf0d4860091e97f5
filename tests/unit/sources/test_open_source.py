"""URIs: who reads them, what of them is shown, and what is missing to read them."""

from __future__ import annotations

import pickle
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from provenance.encoding import Digest
from provenance.errors import MalformedError, SourceError
from provenance.fingerprint import Algorithm
from provenance.limits import MAX_URI_CHARS
from provenance.sources import Reading, open_source
from provenance.sources.local import LocalSource
from provenance.sources.remote import SCHEMES, RemoteSource, parse_address
from provenance.sources.remote.address import _LIBRARIES


@pytest.fixture
def has_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every extra were installed."""
    monkeypatch.setattr("provenance.sources.remote.address.find_spec", lambda name: name)


@pytest.mark.parametrize(
    ("uri", "kind", "label"),
    [
        ("s3://bucket/key", "s3", None),
        ("s3a://bucket/a b", "s3", None),
        ("gs://bucket/a@b", "gs", None),
        ("gcs://bucket", "gs", None),
        ("az://container/a", "az", None),
        ("abfs://container@account.dfs.core.windows.net/a", "az", None),
        ("abfss://container@account.dfs.core.windows.net/a", "az", None),
        ("hf://datasets/owner/name@main/data", "hf", None),
        ("ipfs://QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG/a", "ipfs", None),
        ("HTTPS://Example.org:8443/a?token=x#y", "http", "https://example.org:8443/a"),
        ("http://[::1]:80/a", "http", "http://[::1]:80/a"),
    ],
)
def test_schemes(has_everything: None, uri: str, kind: str, label: str | None) -> None:
    address = parse_address(uri)
    assert (address.kind, address.label) == (kind, label or uri)
    source = open_source(uri)
    assert isinstance(source, RemoteSource)
    assert source.location == (label or uri)
    assert pickle.loads(pickle.dumps(address)) == address


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
@pytest.mark.parametrize(
    "rest",
    [
        "user:hunter2@place/a",
        "place/a?token=hunter2",
        "place/a#hunter2",
        "zip://x::s3://a",
        "",
        "/hunter2",
        "a\n",
    ],
)
def test_no_secret_is_taken_or_shown(has_everything: None, scheme: str, rest: str) -> None:
    is_link = SCHEMES[scheme] == "http" and rest.startswith(("place", "zip"))
    try:
        address = parse_address(f"{scheme}://{rest}")
    except SourceError as error:
        assert not is_link
        assert "hunter2" not in f"{error} {error.hint}"
    else:
        assert "hunter2" not in repr(address)
        assert "hunter2" not in RemoteSource(f"{scheme}://{rest}").location


@pytest.mark.parametrize("uri", ["ftp://x/a", "sftp://user:hunter2@x/a", "x://", "reference://hunter2", "ipns://x"])
def test_schemes_that_are_not_read(uri: str) -> None:
    with pytest.raises(SourceError) as raised:
        open_source(uri)
    assert raised.value.what == "unsupported source"
    assert "hunter2" not in str(raised.value)


def test_too_long() -> None:
    with pytest.raises(SourceError):
        open_source("https://example.org/" + "x" * MAX_URI_CHARS)


@pytest.mark.parametrize(
    ("uri", "extra"), [("s3://b/k", "s3"), ("gcs://b/k", "gs"), ("abfs://c/k", "az"), ("hf://a/b", "hf")]
)
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, uri: str, extra: str) -> None:
    monkeypatch.setattr("provenance.sources.remote.address.find_spec", lambda name: None)
    with pytest.raises(SourceError) as raised:
        open_source(uri)
    assert raised.value.what == f"reading {uri.partition(':')[0]}:// needs the extra {extra}"
    assert raised.value.hint == f"pip install 'provenance-ledger[{extra}]'"
    assert (find_spec(_LIBRARIES[extra]) is not None) == (extra in ("s3", "hf"))  # what is installed here


def test_a_local_path_is_still_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").touch()
    monkeypatch.chdir(tmp_path)
    for place in ("a", str(tmp_path / "a"), tmp_path.as_uri()):
        assert isinstance(open_source(place), LocalSource)


def test_declarations_are_checked_before_anything_is_read() -> None:
    with pytest.raises(MalformedError, match="only SHA-256"):
        Reading(Algorithm.BLAKE3, declared_by="example.org")
    with pytest.raises(MalformedError, match="not a declarer"):
        Reading(declared_by="user@example.org")
    with pytest.raises(MalformedError, match="somebody must declare"):
        Reading(declared={"a": Digest.of(b"")})


def test_nothing_is_loaded_before_it_is_needed() -> None:
    code = (
        "import sys; from provenance.sources import open_source; open_source('https://example.org/a');"
        "open_source('s3://b/k'); print(*{'fsspec', 's3fs', 'aiohttp', 'botocore', 'blake3'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
