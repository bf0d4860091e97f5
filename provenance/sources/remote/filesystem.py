"""Stores that are read through fsspec alone: `gs://`, `az://` (`abfs://`, `abfss://`) and `memory://`.

Invariants: nothing of fsspec that writes is called; no listing is taken from a cache; state is every field of the
listing that tells one version of an object from another, and is compared as text; each call ends within
`Patience.request_s`, where the file system is one of fsspec's asynchronous ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from provenance.errors import SourceError
from provenance.sources.remote.address import Address
from provenance.sources.remote.failures import TransientError, changed, guarded
from provenance.sources.remote.objects import (
    StoredObject,
    checked_listing,
    checked_object,
    object_label,
    relative_name,
)
from provenance.sources.remote.patience import Patience, patiently

_STATE_FIELDS: Final = (
    *("generation", "metageneration", "version_id", "etag", "ETag", "md5Hash", "crc32c", "updated", "last_modified"),
    *("LastModified", "mtime", "created", "creation_time"),
)
"""What gcsfs, adlfs and fsspec's own file systems list of an object's version."""


class FileSystemStore:
    """An object, or all objects below it as a folder."""

    range_bytes = 1 << 22
    is_immutable = False

    def __init__(self, address: Address, patience: Patience) -> None:
        self.label = address.label
        self._patience = patience
        self._is_folder = address.path.endswith("/")
        self._address = address
        self._fs, self._path = guarded(self._open, self.label, is_listed=False)

    def _open(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        options = {} if self._address.kind == "memory" else {"skip_instance_cache": True}
        fs, path = url_to_fs(self._address.uri, use_listings_cache=False, **options)
        return fs, str(path)

    def list(self) -> Sequence[StoredObject]:
        """The object, or those below it. A folder's marker (empty, named as the folder) is no file."""
        listed = self._call("find", self._path, detail=True)
        if not isinstance(listed, dict):  # adlfs, for one object
            listed = {path: self._call("info", path) for path in listed}
        folder = f"{self._path.rstrip('/')}/" if self._path else ""
        found = []
        for path, info in listed.items():
            if self._address.kind != "memory" and ("?" in path or "#" in path):
                # The libraries take what follows for a version, and would read another object, or none.
                raise SourceError("object name holds ? or #", got=ascii(path.removeprefix(folder)), where=self.label)
            if path == self._path and not self._is_folder:
                found.append(replace(self._object(path.rpartition("/")[2], path, info), is_alone=True))
            elif relative_name(path, folder) is not None or info.get("size"):
                found.append(self._object(path.removeprefix(folder), path, info))
        return checked_listing(found, self.label)

    def stat(self, name: str) -> StoredObject:
        """The object of this name now."""
        path = self._path
        if self._is_folder or path.rpartition("/")[2] != name or self._call("isdir", path):
            path = f"{path.rstrip('/')}/{name}" if path else name
        return self._object(name, path, self._call("info", path))

    def state_digests(self, found: Sequence[StoredObject]) -> Sequence[StoredObject]:
        """The same: these stores state MD5 and CRC32C, and no SHA-256."""
        return found

    def can_resume(self, _stored: StoredObject, /) -> bool:
        """Parts are read one by one in any case; state is compared before and after."""
        return True

    def read(self, stored: StoredObject, start: int, stop: int) -> Iterator[bytes]:
        """The bytes in one piece."""
        where = object_label(self.label, stored.name)
        data = self._once("cat_file", where, stored.key, start=start, end=stop, is_listed=True)
        if len(data) > stop - start:
            raise SourceError("store sends another range", expected=f"{stop - start} bytes", where=where)
        if len(data) < stop - start:
            now = self._object(stored.name, stored.key, self._call("info", stored.key))
            if now.size != stored.size:
                raise changed(where, expected=f"{stored.size} bytes", got=f"{now.size} bytes")
            raise TransientError(f"the answer ended {stop - start - len(data)} bytes early")
        yield bytes(data)

    def close(self) -> None:
        """Let the file system close its connections."""
        fs, self._fs = self._fs, None
        close = getattr(fs, "close", None)
        if close is not None and self._address.kind != "memory":
            with suppress(Exception):
                close()

    def _object(self, name: str, path: str, info: dict[str, Any]) -> StoredObject:
        state = tuple(f"{field}={info[field]}" for field in _STATE_FIELDS if info.get(field) is not None)
        return checked_object(name, path, info.get("size"), state, where=self.label)

    def _call(self, method: str, *arguments: Any, **named: Any) -> Any:
        work = lambda: self._once(method, self.label, *arguments, **named)  # noqa: E731
        return patiently(self._patience, self.label, work)

    def _once(self, method: str, where: str, *arguments: Any, is_listed: bool = False, **named: Any) -> Any:
        from fsspec.asyn import sync

        def call() -> Any:
            coroutine = getattr(self._fs, f"_{method}", None) if self._fs.async_impl else None
            if coroutine is None:
                return getattr(self._fs, method)(*arguments, **named)
            return sync(self._fs.loop, coroutine, *arguments, timeout=self._patience.request_s, **named)

        return guarded(call, where, is_listed=is_listed)
