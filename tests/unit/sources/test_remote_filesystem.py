"""What is read through fsspec alone: its own memory file system, and stand-ins for `gs://` and `az://` over it."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from provenance.encoding import Digest
from provenance.errors import SourceError
from provenance.fingerprint import Fingerprint, Parameters
from provenance.sources import Reading, open_source
from provenance.sources.remote import RemoteSource
from provenance.sources.remote.filesystem import FileSystemStore
from provenance.sources.remote.patience import Patience

QUICK = Patience(attempts=3, first_wait_s=0.001, max_wait_s=0.005)
BIG = random.Random(9).randbytes(9 * 2**20 + 1)


class Bucket(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A file system that lists as gcsfs does: paths without a leading slash, a generation and an ETag an object."""

    protocol = "gs"
    root_marker = ""
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    generation = "1"
    faults: ClassVar[list[Callable[[bytes], bytes]]] = []

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.removeprefix("gs://").rstrip("/")

    def find(self, path: str, **options: Any) -> dict[str, Any]:
        folder = f"{path}/" if path else ""
        return {key: self.info(key) for key in self.store if key == path or key.startswith(folder)}

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        if path not in self.store:
            raise FileNotFoundError(path)
        size = len(self.store[path])
        return {"name": path, "size": size, "type": "file", "generation": self.generation, "etag": "CJ" + "0" * 62}

    def isdir(self, path: str) -> bool:
        return path not in self.store

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        data = bytes(self.store[path][start:end])
        return self.faults.pop(0)(data) if self.faults else data


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    monkeypatch.setattr("provenance.sources.remote.address.find_spec", lambda name: name)
    fsspec.register_implementation("gs", Bucket, clobber=True)
    Bucket.store.clear()
    Bucket.faults.clear()
    Bucket.generation = "1"
    yield Bucket.store
    _registry.pop("gs")


def fingerprint(uri: str) -> Fingerprint:
    return RemoteSource(uri, patience=QUICK).fingerprint()


def refused(uri: str) -> SourceError:
    with pytest.raises(SourceError) as raised:
        fingerprint(uri)
    return raised.value


def digests(found: Fingerprint) -> dict[str, Digest]:
    return {entry.path: entry.digest for entry in found.files}


def test_memory() -> None:
    memory = fsspec.filesystem("memory")
    try:
        memory.pipe({"/set/a": b"1", "/set/d/b": BIG, "/set/empty": b"", "/settings": b"2"})
        expected = {"a": Digest.of(b"1"), "d/b": Digest.of(BIG), "empty": Digest.of(b"")}
        assert digests(fingerprint("memory://set")) == digests(fingerprint("memory://set/")) == expected
        assert digests(fingerprint("memory://set/d/b")) == {"b": Digest.of(BIG)}
        with RemoteSource("memory://set").open("d/b") as file:
            file.seek(7 * 2**20)
            assert file.read(100) == BIG[7 * 2**20 :][:100]
            file.seek(0)
            assert file.read() == BIG
    finally:
        memory.rm("/set", recursive=True)
        memory.rm("/settings")


def test_objects_below_a_prefix(bucket: dict[str, bytes]) -> None:
    bucket |= {"b/set/a": b"1", "b/set/d/b": BIG, "b/set/": b"", "b/set/sub/": b""}
    assert digests(fingerprint("gs://b/set")) == {"a": Digest.of(b"1"), "d/b": Digest.of(BIG)}
    assert digests(fingerprint("gs://b")) == {"set/a": Digest.of(b"1"), "set/d/b": Digest.of(BIG)}
    assert digests(fingerprint("gs://b/set/d/b")) == {"b": Digest.of(BIG)}
    assert RemoteSource("gs://b/set", patience=QUICK).list() == [("a", 1), ("d/b", len(BIG))]
    with RemoteSource("gs://b/set", patience=QUICK).open("d/b") as file:
        assert file.read() == BIG


@pytest.mark.parametrize("key", ["a//b", "../b", "sub/", "./a"])
def test_keys_that_cannot_be_files(bucket: dict[str, bytes], key: str) -> None:
    bucket |= {"b/set/a": b"1", f"b/set/{key}": b"2"}
    assert refused("gs://b/set").got == repr(key)


def test_one_object_listed_without_details(bucket: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """As adlfs does."""
    bucket |= {"b/a": b"1"}
    monkeypatch.setattr(Bucket, "find", lambda self, path, **options: [path])
    assert digests(fingerprint("gs://b/a")) == {"a": Digest.of(b"1")}


@pytest.mark.parametrize("name", ["a?b", "a#1"])
def test_names_that_the_libraries_take_for_versions(bucket: dict[str, bytes], name: str) -> None:
    bucket |= {"b/set/a": b"1", f"b/set/{name}": b"2"}
    assert refused("gs://b/set").got == repr(name)


def test_a_generation_is_a_state(bucket: dict[str, bytes]) -> None:
    bucket |= {"b/a": BIG}

    def change(data: bytes) -> bytes:
        Bucket.generation = "2"
        return data

    Bucket.faults.append(change)
    error = refused("gs://b/a")
    assert (error.what, error.where) == ("object changed while it was read", "gs://b/a")


@pytest.mark.parametrize("change", [lambda data: data + b"x", lambda data: BIG])
def test_more_than_was_asked_for(bucket: dict[str, bytes], change: Callable[[bytes], bytes]) -> None:
    bucket |= {"b/a": BIG}
    Bucket.faults.append(change)
    assert refused("gs://b/a").what == "store sends another range"


def test_less_than_was_asked_for_is_asked_again(bucket: dict[str, bytes]) -> None:
    bucket |= {"b/a": BIG}
    Bucket.faults += [lambda data: data[:-1], lambda data: b""]
    assert digests(fingerprint("gs://b/a")) == {"a": Digest.of(BIG)}


def test_an_object_that_shrinks(bucket: dict[str, bytes]) -> None:
    bucket |= {"b/a": BIG}

    def shrink(data: bytes) -> bytes:
        bucket["b/a"] = b"1"
        return data[:1]

    Bucket.faults.append(shrink)
    assert refused("gs://b/a").what in ("object changed while it was read", "store sends another range")


def test_what_is_not_there(bucket: dict[str, bytes]) -> None:
    assert refused("gs://b/none").what == "no such object or folder"


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (PermissionError("hunter2"), "not allowed to read"),
        (ValueError("hunter2"), "cannot read"),
        (type("DefaultCredentialsError", (Exception,), {})("hunter2"), "not allowed to read"),
        (type("HttpError", (Exception,), {"code": 403})("hunter2"), "not allowed to read"),
        (
            type("HttpResponseError", (Exception,), {"status_code": 503})("hunter2"),
            "store does not answer after 3 attempts",
        ),
        (type("ServiceRequestTimeoutError", (Exception,), {})("hunter2"), "store does not answer after 3 attempts"),
    ],
)
def test_errors_of_libraries(bucket: dict[str, bytes], error: Exception, what: str) -> None:
    bucket |= {"b/a": b"1"}

    def fail(data: bytes) -> bytes:
        raise error

    Bucket.faults += [fail] * 9
    found = refused("gs://b/a")
    assert found.what == what
    assert "hunter2" not in str(found)
    assert found.__context__ is None or "hunter2" not in repr(found.__context__)


def test_memory_does_not_grow_with_the_object(bucket: dict[str, bytes]) -> None:
    bucket |= {"b/big": bytes(300 * 2**20)}
    tracemalloc.start()
    try:
        fingerprint("gs://b/big")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 100 * 2**20


def test_the_first_failure_ends_it_all(bucket: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    bucket |= dict.fromkeys(("b/0", "b/1"), bytes(800 * 2**20))
    failed, read = Event(), []

    def cat_file(self: Bucket, path: str, start: int, end: int) -> bytes:
        if path == "b/1":
            failed.set()
            raise PermissionError
        assert failed.wait(10)
        read.append(path)
        return bytes(end - start)

    monkeypatch.setattr(Bucket, "cat_file", cat_file)
    error = refused("gs://b")
    assert (error.what, error.where) == ("not allowed to read", "gs://b/1")
    assert len(read) < 100  # half of the other


# ---- ignore rules --------------------------------------------------------------------------------------------------

RULES = b"# build products\n*.tmp\n/cache/\n!keep.tmp\n"


def ignoring(bucket: dict[str, bytes]) -> dict[str, bytes]:
    files = {".provenanceignore": RULES, "a": b"1", "x.tmp": b"2", "d/x.tmp": b"3", "d/keep.tmp": b"4"}
    files |= {"cache/b": b"5", "cache/d/keep.tmp": b"6", "d/cache/c": b"7"}
    bucket |= {f"b/set/{name}": content for name, content in files.items()}
    return files


def test_ignore_rules_are_those_of_a_local_folder(bucket: dict[str, bytes], tmp_path: Path) -> None:
    for name, content in ignoring(bucket).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    found = fingerprint("gs://b/set")
    assert list(digests(found)) == [".provenanceignore", "a", "d/cache/c", "d/keep.tmp"]
    assert found.parameters == Parameters(ignore=("*.tmp", "/cache/", "!keep.tmp"))
    more = Reading(ignore=("/a", ".provenanceignore"))
    fewer = RemoteSource("gs://b/set", more, patience=QUICK)
    assert list(digests(fewer.fingerprint())) == ["d/cache/c", "d/keep.tmp"]
    assert [name for name, _ in fewer.list()] == ["d/cache/c", "d/keep.tmp"]
    assert fewer.fingerprint().parameters.ignore == ("*.tmp", "/cache/", "!keep.tmp", "/a", ".provenanceignore")
    for reading in (Reading(), more):
        remote = RemoteSource("gs://b/set", reading, patience=QUICK).fingerprint()
        assert open_source(tmp_path, reading).fingerprint() == remote


def test_a_file_that_is_named_has_no_rules(bucket: dict[str, bytes], tmp_path: Path) -> None:
    bucket |= {"b/a.tmp": b"1"}
    (tmp_path / "a.tmp").write_bytes(b"1")
    reading = Reading(ignore=("*.tmp",))
    found = RemoteSource("gs://b/a.tmp", reading, patience=QUICK).fingerprint()
    assert found == open_source(tmp_path / "a.tmp", reading).fingerprint()


def test_rules_that_leave_nothing(bucket: dict[str, bytes]) -> None:
    ignoring(bucket)
    with pytest.raises(SourceError, match="leave no file"):
        RemoteSource("gs://b/set", Reading(ignore=("*",)), patience=QUICK).fingerprint()


@pytest.mark.parametrize(("name", "is_change"), [("x.tmp", False), ("new.tmp", False), (".provenanceignore", True)])
def test_what_is_left_out_may_change(bucket: dict[str, bytes], name: str, is_change: bool) -> None:
    ignoring(bucket)

    def change(data: bytes) -> bytes:
        bucket[f"b/set/{name}"] = b"#" * 100
        return data

    Bucket.faults += [lambda data: data, change]
    source = RemoteSource("gs://b/set", Reading(ignore=(".provenanceignore",)), patience=QUICK)
    if is_change:
        with pytest.raises(SourceError, match="changed") as raised:
            source.fingerprint()
        assert raised.value.where == "gs://b/set/.provenanceignore"
    else:
        source.fingerprint()


def test_an_ignore_file_that_is_too_large(bucket: dict[str, bytes]) -> None:
    bucket |= {"b/set/.provenanceignore": bytes(2**20)}
    assert refused("gs://b/set").what == "ignore file is too large"


def test_nothing_is_written(bucket: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    bucket |= {"b/a": b"1"}
    monkeypatch.setattr(Bucket, "_open", None)
    monkeypatch.setattr(Bucket, "open", None)
    assert digests(fingerprint("gs://b/a")) == {"a": Digest.of(b"1")}
    assert FileSystemStore.range_bytes == 4 * 2**20
