"""A log as objects in a bucket of S3, or of a store that speaks its protocol (`s3://bucket[/prefix]`), through s3fs.

Invariants: a tile or bundle is written on the condition that there is none of its name, the checkpoint on the condition
that it is still the one that was read, so that of two writers one is refused and nothing goes back; what S3 has
acknowledged is durable and seen by every later read; objects carry the content type and cache headers that
`provenance serve` sends; each request ends within its time, and is tried three times; a library's message is never
repeated, since a credential may stand in it.

Credentials, region and endpoint (`AWS_ENDPOINT_URL`) are found as by every AWS tool, never in the address.

Source: Amazon S3 API reference (PutObject, GetObject; "conditional writes").
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, Final, TypeVar

from provenance.errors import ConflictError, LogError, MalformedError, ProvenanceError
from provenance.limits import MAX_NOTE_BYTES
from provenance.log import encode_tile_path
from provenance.log.static import CHECKPOINT_PATH, HEAD_PATH, StaticPath, max_bytes_of
from provenance.log.tile import TILE_WIDTH
from provenance.publishers.base import Publisher

_CONNECT_S: Final = 5.0
_READ_S: Final = 20.0
_REQUEST_S: Final = 60.0
_ATTEMPTS: Final = 3
_FIRST_WAIT_S: Final = 0.25
_MAX_CHAIN: Final = 8
_PRECONDITION_FAILED: Final = 412
_CONFLICT: Final = 409
"""Another conditional write of the same object is under way."""
_PASSING: Final = frozenset({408, _CONFLICT, 425, 429, 500, 502, 503, 504})
_ABSENT: Final = frozenset({404, 410})

_Result = TypeVar("_Result")


class _RefusedError(Exception):
    """What a request came to. `status` is 0 for one that had no answer."""

    def __init__(self, status: int, got: str) -> None:
        super().__init__(got)
        self.status, self.got = status, got


class S3Publisher:
    """One bucket, or what is below a prefix in it."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self.label = f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}"
        self._etag: str | None = None
        """Of the checkpoint as it was read or written last; None for none there."""
        self._is_known = False
        self._fs = self._open()

    def published(self) -> bytes | None:
        """See `Publisher`."""
        answer = self._get(CHECKPOINT_PATH, MAX_NOTE_BYTES)
        self._etag, self._is_known = (None if answer is None else answer[0]), True
        return None if answer is None else answer[1]

    def put(self, path: StaticPath, data: bytes) -> bool:
        """See `Publisher`."""
        name = _name(path)
        is_full = path.width == TILE_WIDTH
        headers = {
            "ContentType": "application/octet-stream",
            "CacheControl": "public, max-age=31536000, immutable" if is_full else "public, max-age=60",
            "IfNoneMatch": "*",
        }
        try:
            self._put(name, data, headers)
        except _RefusedError as error:
            if error.status != _PRECONDITION_FAILED:
                raise self._failed("cannot publish to the bucket", name, error) from None
        else:
            return True
        if self.read(path) != data:
            hint = "publish to an empty prefix, or remove this one"
            raise ConflictError("another file is published already", where=f"{self.label}/{name}", hint=hint)
        return False

    def read(self, path: StaticPath) -> bytes | None:
        """See `Publisher`."""
        answer = self._get(_name(path), max_bytes_of(path))
        return None if answer is None else answer[1]

    def checkpoint(self, note: bytes) -> None:
        """See `Publisher`. `ConflictError` if another process has published one since it was read."""
        if not self._is_known:
            self.published()
        condition = {"IfNoneMatch": "*"} if self._etag is None else {"IfMatch": self._etag}
        headers = {"ContentType": "text/plain; charset=utf-8", "CacheControl": "no-cache", **condition}
        try:
            self._etag = self._put(CHECKPOINT_PATH, note, headers)
        except _RefusedError as error:
            self._is_known = False
            if error.status not in {_PRECONDITION_FAILED, *_ABSENT}:
                raise self._failed("cannot publish to the bucket", CHECKPOINT_PATH, error) from None
            if self.published() != note:  # the answer to a write of ours may have been lost
                what = "another process has published a checkpoint meanwhile"
                raise ConflictError(what, where=self.label, hint="let one process publish here") from None

    def head(self) -> bytes | None:
        """See `Publisher`."""
        answer = self._get(HEAD_PATH, MAX_NOTE_BYTES)
        return None if answer is None else answer[1]

    def put_head(self, note: bytes) -> None:
        """See `Publisher`."""
        try:
            self._put(HEAD_PATH, note, {"ContentType": "text/plain; charset=utf-8", "CacheControl": "no-cache"})
        except _RefusedError as error:
            raise self._failed("cannot publish to the bucket", HEAD_PATH, error) from None

    def close(self) -> None:
        """Close the connections."""
        fs, self._fs = self._fs, None
        if fs is None or getattr(fs, "_s3creator", None) is None:
            return
        from fsspec.asyn import sync

        with suppress(Exception):
            sync(fs.loop, fs._s3creator.__aexit__, None, None, None, timeout=_CONNECT_S)

    def _open(self) -> Any:
        def make() -> Any:
            from s3fs import S3FileSystem

            # Trying again is done here, once.
            config = {"connect_timeout": _CONNECT_S, "read_timeout": _READ_S, "retries": {"total_max_attempts": 1}}
            fs = S3FileSystem(config_kwargs=config, skip_instance_cache=True, use_listings_cache=False)
            fs.retries = 1
            return fs

        try:
            return _guarded(make)
        except _RefusedError as error:
            raise self._failed("cannot use the bucket", "", error) from None

    def _put(self, name: str, data: bytes, headers: dict[str, str]) -> str:
        """The ETag of what was written; `_RefusedError` if it was not."""
        answer = self._patiently(
            lambda: self._sync(
                self._fs._call_s3, "put_object", Bucket=self._bucket, Key=self._prefix + name, Body=data, **headers
            )
        )
        return str(answer.get("ETag", ""))

    def _get(self, name: str, max_bytes: int) -> tuple[str, bytes] | None:
        async def get() -> tuple[str, bytes]:
            answer = await self._fs._call_s3("get_object", Bucket=self._bucket, Key=self._prefix + name)
            async with answer["Body"] as body:
                if answer.get("ContentLength", 0) > max_bytes:
                    body.close()
                    raise ConflictError(
                        "another file is published already",
                        expected=f"at most {max_bytes} bytes",
                        where=f"{self.label}/{name}",
                    )
                return str(answer.get("ETag", "")), await body.read()

        try:
            found: tuple[str, bytes] = self._patiently(lambda: self._sync(get))
        except _RefusedError as error:
            if error.status in _ABSENT and error.got != "NoSuchBucket":
                return None
            raise self._failed("cannot read from the bucket", name, error) from None
        return found

    def _patiently(self, work: Callable[[], _Result]) -> _Result:
        for attempt in range(_ATTEMPTS):
            try:
                return _guarded(work)
            except _RefusedError as error:
                if attempt + 1 == _ATTEMPTS or (error.status and error.status not in _PASSING):
                    raise
            time.sleep(_FIRST_WAIT_S * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _sync(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        from fsspec.asyn import sync

        return sync(self._fs.loop, work, *arguments, timeout=_REQUEST_S, **named)

    def _failed(self, what: str, name: str, error: _RefusedError) -> LogError:
        hint = "credentials, region and endpoint come from the environment and AWS's own configuration files"
        return LogError(what, got=error.got, where=f"{self.label}/{name}".rstrip("/"), hint=hint)


def _name(path: StaticPath) -> str:
    return encode_tile_path(path).removeprefix("/")


def _guarded(work: Callable[[], _Result]) -> _Result:
    """What `work` returns; what a library raises becomes a `_RefusedError` that does not hold it."""
    try:
        return work()
    except ProvenanceError:
        raise
    except Exception as error:  # noqa: BLE001 - libraries raise what they like
        refused = _refused(error)
    # Not in the handler: the library's error would be the context of ours.
    raise refused


def _refused(error: BaseException) -> _RefusedError:
    link: BaseException | None = error
    for _ in range(_MAX_CHAIN):
        if link is None:
            break
        response = getattr(link, "response", None)
        if isinstance(response, dict):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            code = response.get("Error", {}).get("Code")
            if isinstance(status, int):
                is_plain = isinstance(code, str) and code.isascii() and code.isalpha() and len(code) <= 40
                return _RefusedError(status, str(code) if is_plain else f"HTTP status {status}")
        link = link.__cause__ or link.__context__
    return _RefusedError(0, type(error).__name__)


def open_publisher(address: str) -> Publisher:
    """The bucket, and prefix in it, at `s3://bucket[/prefix]`."""
    bucket, _, prefix = address.partition("://")[2].partition("/")
    prefix = prefix.strip("/")
    is_plain = address.isascii() and address.isprintable() and not set("?#@%:\\ ") & set(bucket + prefix)
    if not bucket or not is_plain or "//" in prefix or {".", ".."} & set(prefix.split("/")):
        # It is not shown: it may hold a password.
        raise MalformedError("not a bucket to publish to", expected="s3://bucket[/prefix], without user or query")
    if find_spec("s3fs") is None:
        raise LogError("publishing to s3:// needs the extra s3", hint="pip install 'provenance-ledger[s3]'")
    return S3Publisher(bucket, prefix)
