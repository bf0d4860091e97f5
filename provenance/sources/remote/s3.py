"""Buckets of S3 and of stores that speak its protocol (`s3://bucket/prefix`), through s3fs.

Invariants: keys are taken as the store lists them, in all pages; state is ETag, time and size; every read is
conditional on the listed ETag, and every answer must repeat ETag, time and version. An ETag is compared and nothing
else: that of a small object may look like an MD5, that of a large one ends in `-<parts>`.

Credentials, region and endpoint (`AWS_ENDPOINT_URL`) are found as by every AWS tool; for a public bucket without
credentials set `FSSPEC_S3_ANON=true`. Stated digests are `x-amz-checksum-sha256` of type FULL_OBJECT; the composite
ones of multipart uploads are hashes of hashes and are not taken.

Source: Amazon S3 API reference (ListObjectsV2, GetObject, HeadObject; "Checking object integrity").
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from threading import Lock
from typing import Any, Final

from provenance.encoding import Digest
from provenance.errors import SourceError
from provenance.sources.remote.address import Address
from provenance.sources.remote.failures import TransientError, changed, guarded
from provenance.sources.remote.objects import (
    StoredObject,
    check_count,
    checked_listing,
    checked_object,
    object_label,
    relative_name,
)
from provenance.sources.remote.patience import Patience, patiently

_HEAD_THREADS: Final = 8


class S3Store:
    """An object, or all objects below a prefix that ends at a `/`."""

    range_bytes = 1 << 22
    is_immutable = False

    def __init__(self, address: Address, patience: Patience) -> None:
        self.label = address.label
        self._patience = patience
        self._bucket, _, self._key = address.path.partition("/")
        self._versions: dict[str, str] = {}
        """Key to the version that was read first: a later read must be of the same."""
        self._lock = Lock()
        self._fs = guarded(self._open, self.label, is_listed=False)

    def _open(self) -> Any:
        from s3fs import S3FileSystem

        # Trying again is the business of `patience`, once.
        config = {
            "connect_timeout": self._patience.connect_s,
            "read_timeout": self._patience.read_s,
            "retries": {"total_max_attempts": 1},
            "max_pool_connections": 32,
        }
        fs = S3FileSystem(config_kwargs=config, skip_instance_cache=True, use_listings_cache=False)
        fs.retries = 1
        return fs

    def list(self) -> Sequence[StoredObject]:
        """The object of this key, or those below it as a folder. `SourceError` if both are there."""
        alone = self._head(self._key) if self._key and not self._key.endswith("/") else None
        folder = self._key if not self._key or self._key.endswith("/") else f"{self._key}/"
        if alone is None:
            return checked_listing(self._pages(folder), self.label)
        if next(self._pages(folder), None) is not None:
            hint = "end the address in / to read the folder"
            raise SourceError("this names an object, and a folder too", where=self.label, hint=hint)
        return [replace(alone, is_alone=True)]

    def stat(self, name: str) -> StoredObject:
        """The object of this name now."""
        is_alone = bool(self._key) and self._key.rpartition("/")[2] == name
        folder = self._key if not self._key or self._key.endswith("/") else f"{self._key}/"
        found = (self._head(self._key) if is_alone else None) or self._head(folder + name)
        if found is None:
            raise SourceError("no such object or folder", where=object_label(self.label, name))
        return replace(found, name=name)

    def state_digests(self, found: Sequence[StoredObject]) -> Sequence[StoredObject]:
        """The objects with their full-object SHA-256 checksums; one HEAD request each."""

        def stated(stored: StoredObject) -> StoredObject:
            where = object_label(self.label, stored.name)
            asked = {"Key": stored.key, "IfMatch": stored.state[0], "ChecksumMode": "ENABLED"}
            answer = patiently(self._patience, where, lambda: self._call("head_object", where, True, **asked))
            self._check_state(stored, answer, where)
            return replace(stored, stated=full_object_sha256(answer))

        with ThreadPoolExecutor(_HEAD_THREADS) as pool:
            try:
                return list(pool.map(stated, found))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def can_resume(self, _stored: StoredObject, /) -> bool:
        """Every read is conditional on the listed state."""
        return True

    def read(self, stored: StoredObject, start: int, stop: int) -> Iterator[bytes]:
        """The bytes in one piece."""
        where = object_label(self.label, stored.name)
        asked = {"Key": stored.key, "IfMatch": stored.state[0], "Range": f"bytes={start}-{stop - 1}"}
        answer, data = self._get(where, stop - start, **asked)
        self._check_state(stored, answer, where)
        with self._lock:
            version = str(answer.get("VersionId"))
            if self._versions.setdefault(stored.key, version) != version:
                raise changed(where, got="another version")
        if len(data) < stop - start:
            raise TransientError(f"the answer ended {stop - start - len(data)} bytes early")
        yield data

    def close(self) -> None:
        """Close the connections."""
        fs, self._fs = self._fs, None
        if fs is None or getattr(fs, "_s3creator", None) is None:
            return
        from fsspec.asyn import sync

        with suppress(Exception):
            sync(fs.loop, fs._s3creator.__aexit__, None, None, None, timeout=self._patience.connect_s)

    def _head(self, key: str) -> StoredObject | None:
        def ask() -> Any:
            try:
                return self._fs_sync(self._fs._call_s3, "head_object", Bucket=self._bucket, Key=key)
            except FileNotFoundError:
                return None

        name = key.rpartition("/")[2]
        where = object_label(self.label, name)
        answer = patiently(self._patience, where, lambda: guarded(ask, where, is_listed=False))
        if answer is None:
            return None
        state = _state(answer.get("ETag"), answer.get("LastModified"))
        return checked_object(name, key, answer.get("ContentLength"), state, where=self.label)

    def _pages(self, folder: str) -> Iterator[StoredObject]:
        token: dict[str, str] = {}
        count = 0
        while True:
            asked = {"Prefix": folder, **token}
            page = patiently(
                self._patience, self.label, partial(self._call, "list_objects_v2", self.label, False, **asked)
            )
            for item in page.get("Contents", ()):
                found = self._listed(item, folder)
                if found is not None:
                    count += 1
                    check_count(count, self.label)
                    yield found
            following = page.get("NextContinuationToken")
            if not page.get("IsTruncated"):
                return
            if not following or token.get("ContinuationToken") == following:
                raise SourceError("store does not say how its listing goes on", where=self.label)
            token = {"ContinuationToken": following}

    def _listed(self, item: dict[str, Any], folder: str) -> StoredObject | None:
        key, size = str(item["Key"]), item.get("Size")
        name = relative_name(key, folder)
        if name is None and size == 0:
            return None
        state = _state(item.get("ETag"), item.get("LastModified"))
        return checked_object(key.removeprefix(folder), key, size, state, where=self.label)

    def _check_state(self, stored: StoredObject, answer: dict[str, Any], where: str) -> None:
        if _state(answer.get("ETag"), answer.get("LastModified")) != stored.state:
            raise changed(where, expected="the ETag and time that were listed", got="others")

    def _call(self, method: str, where: str, is_listed: bool, **asked: Any) -> Any:
        def call() -> Any:
            return self._fs_sync(self._fs._call_s3, method, Bucket=self._bucket, **asked)

        return guarded(call, where, is_listed=is_listed)

    def _get(self, where: str, size: int, **asked: Any) -> tuple[dict[str, Any], bytes]:
        async def get() -> tuple[dict[str, Any], bytes]:
            answer = await self._fs._call_s3("get_object", Bucket=self._bucket, **asked)
            async with answer["Body"] as body:
                if answer.get("ContentLength") != size:
                    # A store that does not know ranges would send all of it.
                    body.close()
                    raise SourceError("store sends another range", expected=f"{size} bytes", where=where)
                return answer, await body.read()

        result: tuple[dict[str, Any], bytes] = guarded(lambda: self._fs_sync(get), where, is_listed=True)
        return result

    def _fs_sync(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        from fsspec.asyn import sync

        return sync(self._fs.loop, work, *arguments, timeout=self._patience.request_s, **named)


def _state(etag: object, modified: object) -> tuple[str, ...]:
    """ETag and time in seconds, which is all that the head of an answer says of it."""
    when = str(int(modified.timestamp())) if isinstance(modified, datetime) else ""
    return str(etag or ""), when


def full_object_sha256(answer: dict[str, Any]) -> Digest | None:
    """The SHA-256 in the head of an object, if it is one of the whole content."""
    text = answer.get("ChecksumSHA256")
    if answer.get("ChecksumType") != "FULL_OBJECT" or not isinstance(text, str):
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return Digest(raw) if len(raw) == 32 else None
