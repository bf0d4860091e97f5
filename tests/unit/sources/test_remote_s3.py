"""Buckets, read from a real S3 server (moto) over HTTP."""

from __future__ import annotations

import base64
import hashlib
import random
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import boto3  # type: ignore[import-untyped]  # it has no stubs
import pytest
from botocore.loaders import Loader  # type: ignore[import-untyped]
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

from provenance.encoding import Digest
from provenance.errors import SourceError
from provenance.fingerprint import Algorithm, Fingerprint, Parameters
from provenance.sources import Progress, Reading, open_source
from provenance.sources.remote import RemoteSource, objects
from provenance.sources.remote.patience import Patience
from provenance.sources.remote.s3 import S3Store, full_object_sha256

QUICK = Patience(connect_s=5, read_s=5, request_s=20, attempts=3, first_wait_s=0.001, max_wait_s=0.005)
BIG = random.Random(7).randbytes(9 * 2**20 + 5)
PART_BYTES = 5 * 2**20
LOADER = Loader()

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A client of an empty store, which the environment names."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAHUNTER2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    # Every client reads the same few megabytes of descriptions: once is enough.
    monkeypatch.setattr("botocore.session.create_loader", lambda *arguments: LOADER)
    client = boto3.client("s3")
    client.create_bucket(Bucket="data")
    yield client
    client.close()
    for account in s3_backends.values():
        for backend in account.values():
            backend.reset()


def put(s3: Any, contents: dict[str, bytes]) -> None:
    for key, content in contents.items():
        s3.put_object(Bucket="data", Key=key, Body=content)


def fingerprint(uri: str, reading: Reading | None = None) -> Fingerprint:
    return RemoteSource(uri, reading, patience=QUICK).fingerprint()


def refused(uri: str, reading: Reading | None = None) -> SourceError:
    with pytest.raises(SourceError) as raised:
        fingerprint(uri, reading)
    shown, link = "".join(traceback.format_exception(raised.value)), raised.value.__context__
    while link is not None:
        shown, link = shown + repr(link), link.__context__
    assert "hunter2" not in shown.lower()
    return raised.value


def files(found: Fingerprint) -> dict[str, Digest]:
    return {entry.path: entry.digest for entry in found.files}


# ---- what is read --------------------------------------------------------------------------------------------------


def test_a_prefix_is_all_objects_below_it(s3: Any, tmp_path: Path) -> None:
    contents = {"a.csv": b"1,2\n", "deep/er/b.csv": b"3\n", "empty": b"", "big.bin": BIG, "é/ñ 日本.txt": b"x"}
    put(s3, {f"set/{name}": content for name, content in contents.items()})
    put(s3, {"settings": b"not below set/", "set2/a.csv": b"nor this"})
    for name, content in contents.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(content)
    expected = open_source(tmp_path / "set").fingerprint()
    for uri in ("s3://data/set", "s3://data/set/", "S3://data/set/", "s3a://data/set"):
        assert fingerprint(uri) == expected
    assert RemoteSource("s3://data/set").list() == [(entry.path, entry.size) for entry in sorted_files(expected)]


def sorted_files(found: Fingerprint) -> list[Any]:
    return sorted(found.files, key=lambda entry: entry.path)


def test_a_bucket_is_a_dataset(s3: Any) -> None:
    put(s3, {"a": b"1", "b/c": b"2"})
    assert files(fingerprint("s3://data")) == {"a": Digest.of(b"1"), "b/c": Digest.of(b"2")}


def test_an_object_is_a_file_of_its_last_name(s3: Any) -> None:
    put(s3, {"set/big.bin": BIG})
    found = RemoteSource("s3://data/set/big.bin", Reading(algorithm=Algorithm.BLAKE3), patience=QUICK)
    assert [(entry.path, entry.size) for entry in found.fingerprint().files] == [("big.bin", len(BIG))]
    assert files(fingerprint("s3://data/set/big.bin")) == {"big.bin": Digest.of(BIG)}
    assert found.location == "s3://data/set/big.bin"


def test_odd_keys(s3: Any) -> None:
    names = ["a b", "a+b", "a%20b", "a?b", "a#b", "a&b=c", "\U0001f600", "e\u0301", "\u00e9", "~", "x\\y", "tab\there"]
    put(s3, {f"odd/{name}": name.encode() for name in names})
    assert files(fingerprint("s3://data/odd")) == {name: Digest.of(name.encode()) for name in names}


def test_more_keys_than_one_page_holds(s3: Any) -> None:
    names = [f"{number:05}" for number in range(1_050)]
    for name in names:
        s3_backends_put(f"many/{name}", b"")
    seen: list[Progress] = []
    found = RemoteSource("s3://data/many", patience=QUICK).fingerprint(seen.append)
    assert [entry.path for entry in found.files] == names
    assert seen[-1].done_files == seen[-1].total_files == 1_050


def test_a_folders_marker_is_no_file(s3: Any) -> None:
    put(s3, {"set/": b"", "set/a": b"1", "set/sub/": b""})
    assert list(files(fingerprint("s3://data/set"))) == ["a"]
    put(s3, {"only/": b""})
    assert refused("s3://data/only").what == "no such object or folder"
    put(s3, {"set/sub/": b"content"})
    error = refused("s3://data/set")
    assert error.got == "'sub/'"


@pytest.mark.parametrize("key", ["a//b", "../b", "a/./b", "/b", "a/../../b"])
def test_keys_that_cannot_be_files_are_named(s3: Any, key: str) -> None:
    put(s3, {"set/a": b"1"})
    s3_backends_put(f"set/{key}", b"2")
    error = refused("s3://data/set")
    assert (error.what, error.got) == ("file path is not a plain relative path", repr(key))


def s3_backends_put(key: str, content: bytes) -> None:
    """Put an object past the client and the server's routing, which tidy paths up."""
    (backend,) = (b for account in s3_backends.values() for b in account.values() if "data" in b.buckets)
    backend.put_object("data", key, content)


def test_what_is_an_object_and_a_folder_is_refused(s3: Any) -> None:
    put(s3, {"set": b"1", "set/a": b"2"})
    assert "folder too" in refused("s3://data/set").what
    assert list(files(fingerprint("s3://data/set/"))) == ["a"]


@pytest.mark.parametrize("uri", ["s3://data/nothing", "s3://nowhere/a", "s3://nowhere", "s3://data"])
def test_what_is_not_there(s3: Any, uri: str) -> None:
    assert refused(uri).what == "no such object or folder"


def test_too_many_objects(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "MAX_FILES", 2)
    put(s3, {"a": b"", "b": b""})
    fingerprint("s3://data")
    put(s3, {"c": b""})
    assert refused("s3://data").what == "folder holds too many objects"


@pytest.mark.parametrize("part", ["?X-Amz-Signature=hunter2", "?versionId=hunter2", "#hunter2", "::file://hunter2"])
def test_a_query_is_refused_and_not_shown(part: str) -> None:
    refused(f"s3://data/a{part}")


def test_credentials_in_a_uri_are_refused_and_not_shown() -> None:
    refused("s3://AKIA:hunter2@data/a")


def test_no_credentials(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(s3, {"a": b"1"})
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = refused("s3://data/a")
    assert (error.what, error.got) == ("not allowed to read", "no credentials that work")


# ---- ETags and change ----------------------------------------------------------------------------------------------


def upload_parts(s3: Any, key: str, content: bytes, **options: Any) -> None:
    upload = s3.create_multipart_upload(Bucket="data", Key=key, **options)["UploadId"]
    parts = []
    for number, start in enumerate(range(0, len(content), PART_BYTES), 1):
        answer = s3.upload_part(
            Bucket="data",
            Key=key,
            UploadId=upload,
            PartNumber=number,
            Body=content[start : start + PART_BYTES],
            **options,
        )
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    s3.complete_multipart_upload(Bucket="data", Key=key, UploadId=upload, MultipartUpload={"Parts": parts})


def test_an_etag_is_never_a_content_hash(s3: Any) -> None:
    upload_parts(s3, "parts", BIG)
    assert s3.head_object(Bucket="data", Key="parts")["ETag"].endswith('-2"')
    put(s3, {"small": b"hello", "like-sha256": b"other"})
    assert s3.head_object(Bucket="data", Key="small")["ETag"].strip('"') == hashlib.md5(b"hello").hexdigest()
    key_of("like-sha256")._etag = "ab" * 32
    expected = {"parts": Digest.of(BIG), "small": Digest.of(b"hello"), "like-sha256": Digest.of(b"other")}
    for reading in (Reading(), Reading(declared_by="example.org")):
        found = fingerprint("s3://data", reading)
        assert files(found) == expected
        assert found.parameters == Parameters()


def key_of(name: str) -> Any:
    """The server's own object."""
    (backend,) = (b for account in s3_backends.values() for b in account.values() if "data" in b.buckets)
    return backend.get_object("data", name)


def during_reading(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Call `act` once, when the first part was read."""
    genuine, done, one_at_a_time = S3Store.read, list[object](), Lock()

    def read(self: S3Store, *arguments: Any) -> Iterator[bytes]:
        with one_at_a_time:
            pieces = list(genuine(self, *arguments))
            if not done:
                done.append(act())
        yield from pieces

    monkeypatch.setattr(S3Store, "read", read)


@pytest.mark.parametrize("is_versioned", [False, True])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda s3: put(s3, {"set/big": bytes(len(BIG))}), "set/big"),
        (lambda s3: put(s3, {"set/a": b"2"}), "set/a"),
        (lambda s3: put(s3, {"set/new": b"2"}), "set/new"),
        (lambda s3: s3.delete_object(Bucket="data", Key="set/a"), "set/a"),
        (lambda s3: s3.delete_object(Bucket="data", Key="set/big"), "set/big"),
    ],
)
def test_a_change_while_it_is_read_is_named(
    s3: Any, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], object], named: str, is_versioned: bool
) -> None:
    if is_versioned:
        s3.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})
    put(s3, {"set/big": BIG, "set/a": b"1"})
    during_reading(monkeypatch, lambda: change(s3))
    error = refused("s3://data/set")
    assert (error.what, error.where) == ("object changed while it was read", f"s3://data/{named}")


def test_the_same_content_written_again_is_a_change_of_version(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})
    put(s3, {"big": BIG})
    written = key_of("big").last_modified

    def again() -> None:
        put(s3, {"big": BIG})
        key_of("big").last_modified = written

    during_reading(monkeypatch, again)
    assert refused("s3://data/big").got == "another version"


# ---- a server in trouble -------------------------------------------------------------------------------------------


def troubled(monkeypatch: pytest.MonkeyPatch, method: str, answers: list[Any]) -> list[str]:
    """Let the client's calls of `method` go wrong at first. What they were is kept."""
    import s3fs

    genuine, calls = s3fs.S3FileSystem._call_s3, []

    async def call(self: Any, name: str, *arguments: Any, **named: Any) -> Any:
        calls.append(name)
        answer = await genuine(self, name, *arguments, **named)
        return answers.pop(0)(answer) if name == method and answers else answer

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", call)
    return calls


def fails(error: Exception) -> Callable[[Any], Any]:
    def fail(answer: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("get_object", TimeoutError("hunter2")),
        ("get_object", OSError(16, "hunter2")),
        ("list_objects_v2", ConnectionResetError("hunter2")),
        ("head_object", ConnectionResetError("hunter2")),
    ],
)
def test_a_store_that_recovers(s3: Any, monkeypatch: pytest.MonkeyPatch, method: str, error: Exception) -> None:
    put(s3, {"set/a": b"1", "set/big": BIG})
    calls = troubled(monkeypatch, method, [fails(error)])
    assert files(fingerprint("s3://data/set")) == {"a": Digest.of(b"1"), "big": Digest.of(BIG)}
    assert method in calls


def test_a_store_that_does_not_recover(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(s3, {"a": b"1"})
    troubled(monkeypatch, "get_object", [fails(ConnectionResetError("hunter2"))] * 99)
    assert refused("s3://data/a").got == "ConnectionResetError"


def test_a_store_that_ignores_ranges(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(s3, {"big": BIG})
    troubled(monkeypatch, "get_object", [lambda answer: answer | {"ContentLength": len(BIG)}])
    assert refused("s3://data/big").what == "store sends another range"


def test_reads_are_conditional(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(s3, {"big": BIG})
    etag, asked = s3.head_object(Bucket="data", Key="big")["ETag"], []
    genuine = S3Store._get

    def get(self: S3Store, where: str, size: int, **named: Any) -> Any:
        asked.append((named["IfMatch"], named["Range"]))
        return genuine(self, where, size, **named)

    monkeypatch.setattr(S3Store, "_get", get)
    fingerprint("s3://data/big")
    part = S3Store.range_bytes
    ranges = [f"bytes={start}-{min(start + part, len(BIG)) - 1}" for start in range(0, len(BIG), part)]
    assert sorted(asked) == sorted((etag, one) for one in ranges)


def test_a_store_that_ignores_conditions(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(s3, {"big": BIG})
    troubled(monkeypatch, "get_object", [lambda answer: answer | {"ETag": '"another"'}])
    assert refused("s3://data/big").what == "object changed while it was read"


def test_a_listing_that_never_ends(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(s3, {"a": b"1"})
    page = {"IsTruncated": True, "NextContinuationToken": "x", "Contents": []}
    monkeypatch.setattr(S3Store, "_call", lambda *arguments, **named: page)
    assert refused("s3://data").what == "store does not say how its listing goes on"


# ---- declared digests ----------------------------------------------------------------------------------------------


def put_stated(s3: Any, key: str, content: bytes, kind: str = "FULL_OBJECT") -> None:
    s3.put_object(Bucket="data", Key=key, Body=content, ChecksumAlgorithm="SHA256")
    # The server keeps the checksum, but does not say of what kind it is.
    key_of(key).metadata["x-amz-checksum-type"] = kind


def test_stated_sha256_is_taken_only_when_it_is_asked_for(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put_stated(s3, "a", b"hello")
    put(s3, {"b": b"plain"})
    computed = fingerprint("s3://data")
    assert computed.parameters == Parameters()
    calls = troubled(monkeypatch, "none", [])
    declared = fingerprint("s3://data", Reading(declared_by="s3.example.org"))
    assert calls.count("get_object") == 1
    assert declared.digest == computed.digest
    assert declared.parameters == Parameters(declared_by="s3.example.org", declared_files=1)


@pytest.mark.parametrize("kind", ["COMPOSITE", ""])
def test_a_checksum_of_another_kind_is_not_taken(s3: Any, kind: str) -> None:
    put_stated(s3, "a", b"hello", kind)
    found = fingerprint("s3://data", Reading(declared_by="s3.example.org"))
    assert found.parameters == Parameters()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("aGVsbG8=", "FULL_OBJECT"),
        ("???", "FULL_OBJECT"),
        (None, "FULL_OBJECT"),
        (base64.b64encode(bytes(32)).decode() + "-2", "FULL_OBJECT"),
        (base64.b64encode(bytes(32)).decode(), "COMPOSITE"),
        (base64.b64encode(bytes(32)).decode(), None),
    ],
)
def test_a_checksum_that_is_none_is_not_taken(value: str | None, kind: str | None) -> None:
    assert full_object_sha256({"ChecksumSHA256": value, "ChecksumType": kind}) is None


def test_content_that_is_not_what_its_checksum_says(s3: Any) -> None:
    put_stated(s3, "a", b"hello")
    key_of("a").checksum_value = base64.b64encode(bytes(32)).decode()
    assert refused("s3://data").what == "content is not what it is said to be"


def test_a_digest_is_of_the_state_that_was_listed(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put_stated(s3, "a", b"hello")
    troubled(monkeypatch, "head_object", [lambda answer: answer | {"ETag": '"another"'}])
    assert refused("s3://data", Reading(declared_by="x")).what == "object changed while it was read"


def test_a_checksum_file_declares_too_and_must_agree_with_the_store(s3: Any) -> None:
    put(s3, {"set/a": b"1", "set/b": b"2"})
    found = fingerprint("s3://data/set", Reading(declared_by="example.org", declared={"b": Digest.of(b"2")}))
    assert found.digest == fingerprint("s3://data/set").digest
    assert found.parameters == Parameters((), "example.org", 1)
    put_stated(s3, "set/a", b"1")
    with pytest.raises(SourceError, match="another digest than the checksum file") as raised:
        fingerprint("s3://data/set", Reading(declared_by="example.org", declared={"a": Digest.of(b"2")}))
    assert raised.value.where == "s3://data/set/a"


def test_ignore_rules(s3: Any) -> None:
    put(s3, {"set/.provenanceignore": b"*.tmp", "set/a": b"1", "set/b.tmp": b"2"})
    found = fingerprint("s3://data/set", Reading(ignore=(".provenanceignore",)))
    assert (list(files(found)), found.parameters.ignore) == (["a"], ("*.tmp", ".provenanceignore"))
    assert list(files(fingerprint("s3://data/set/b.tmp", Reading(ignore=("*",))))) == ["b.tmp"]


# ---- other workers, and files --------------------------------------------------------------------------------------


class Processes:
    """Workers that are other processes."""

    def __init__(self) -> None:
        self.count = 0

    def map(self, work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            for result in pool.map(work, items):
                self.count += 1
                yield result


def test_workers_give_the_same(s3: Any) -> None:
    put(s3, {f"set/{number:03}": b"%d" % number for number in range(70)} | {"set/big": BIG})
    workers, seen = Processes(), list[Progress]()
    source = RemoteSource("s3://data/set", patience=QUICK)
    assert source.fingerprint(seen.append, workers=workers) == source.fingerprint()
    assert workers.count == 2
    assert (seen[-1].done_files, seen[-1].done_bytes) == (seen[-1].total_files, seen[-1].total_bytes)


def test_open_reads_from_anywhere(s3: Any) -> None:
    put(s3, {"set/big": BIG, "set/a": b"1"})
    source = RemoteSource("s3://data/set", patience=QUICK)
    with source.open("a") as file:
        assert file.read() == b"1"
    chance = random.Random(2)
    with source.open("big") as file:
        for _ in range(10):
            start = chance.randrange(len(BIG))
            file.seek(start)
            assert file.read(1_000) == BIG[start : start + 1_000]
        file.seek(0)
        assert file.read() == BIG
    with RemoteSource("s3://data/set/big").open("big") as file:
        assert file.read(3) == BIG[:3]
    with pytest.raises(SourceError):
        source.open("nothing")


def test_open_sees_a_change(s3: Any) -> None:
    put(s3, {"big": BIG})
    with RemoteSource("s3://data", patience=QUICK).open("big") as file:
        file.read(10)
        put(s3, {"big": bytes(len(BIG))})
        with pytest.raises(SourceError, match="changed"):
            file.read()
