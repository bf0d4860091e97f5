"""A dataset behind a URI: listed, read, and listed again.

Invariants: as of every source, the fingerprint is of one state of the dataset or there is a `SourceError` that names
the object. State is what the store tells of each object (`objects`), compared before and after; a store that overwrites
an object and gives it the same ETag, time and size again cannot be caught. A digest that the store states in place of
one that is computed is taken only when the caller names who declares it, and the fingerprint's parameters then say so.
"""

from __future__ import annotations

import io
import weakref
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from threading import Lock
from typing import BinaryIO

from provenance.errors import SourceError
from provenance.fingerprint import FileEntry, Fingerprint, Parameters, fingerprint_files
from provenance.sources.base import ProgressCallback, Reading, Workers
from provenance.sources.remote.address import Address, parse_address
from provenance.sources.remote.failures import changed
from provenance.sources.remote.file import BUFFER_BYTES, RemoteFile
from provenance.sources.remote.objects import ObjectStore, StoredObject, object_label
from provenance.sources.remote.patience import PATIENCE, Patience, patiently
from provenance.sources.remote.reading import Batch, Meter, batches, hash_objects, read_batch
from provenance.sources.remote.selection import Selection, select
from provenance.sources.remote.web import WebStore, file_name


class RemoteSource:
    """The dataset that a URI names. `SourceError` for one that cannot be read; nothing is asked of the network yet."""

    def __init__(self, uri: str, reading: Reading | None = None, *, patience: Patience = PATIENCE) -> None:
        self._reading = reading or Reading()
        self._patience = patience
        self._address = parse_address(uri)
        if self._address.kind == "http":
            file_name(self._address.uri, self._address.label)  # raises if it is no file's
        self._kept: ObjectStore | None = None
        self._lock = Lock()
        self._found: Sequence[StoredObject] = ()

    @property
    def location(self) -> str:
        """The URI without anything that may be secret: no user, query or fragment."""
        return self._address.label

    def list(self) -> Sequence[tuple[str, int]]:
        """The name and size in bytes of every file that the rules leave in, sorted by name."""
        with self._opened() as store:
            return [(stored.name, stored.size) for stored in self._select(store).objects]

    def open(self, path: str) -> BinaryIO:
        """The file of this name, to be read from any position. The caller closes it."""
        store = self._kept_store()
        stored = patiently(self._patience, object_label(store.label, path), lambda: store.stat(path))
        return io.BufferedReader(RemoteFile(store, stored, self._patience, keep=self), BUFFER_BYTES)

    def fingerprint(self, progress: ProgressCallback | None = None, *, workers: Workers | None = None) -> Fingerprint:
        """The fingerprint of what is there now."""
        with self._opened() as store:
            selection = self._select(store)
            found = selection.objects
            declared = self._declared(store, found)
            meter = Meter(found, progress)
            for entry in declared:
                meter.advance(entry.size, 1)
            taken = {entry.path for entry in declared}
            computed = self._hash(store, [stored for stored in found if stored.name not in taken], meter, workers)
            if not store.is_immutable:
                _check_same(selection.watched, selection.watched_of(self._list(store)), store.label)
        self._found = found
        count = len(declared)
        parameters = Parameters(selection.rules.texts, self._reading.declared_by if count else None, count)
        return fingerprint_files([*declared, *computed], parameters)

    def check_unchanged(self) -> None:
        """Raise `SourceError` that names a file unless the dataset is what it was when it was fingerprinted last."""
        with self._opened() as store:
            if not store.is_immutable:
                _check_same(self._found, self._list(store), store.label)

    def _kept_store(self) -> ObjectStore:
        """One store for all files that are opened, for as long as this source or one of them is in use."""
        with self._lock:
            if self._kept is None:
                self._kept = open_store(self._address, self._patience)
                weakref.finalize(self, self._kept.close)
            return self._kept

    @contextmanager
    def _opened(self) -> Iterator[ObjectStore]:
        with closing(open_store(self._address, self._patience)) as store:
            yield store

    def _list(self, store: ObjectStore) -> Sequence[StoredObject]:
        return patiently(self._patience, store.label, store.list)

    def _select(self, store: ObjectStore) -> Selection:
        return select(store, self._list(store), self._reading.ignore, self._patience)

    def _declared(self, store: ObjectStore, found: Sequence[StoredObject]) -> Sequence[FileEntry]:
        if self._reading.declared_by is None:
            return []
        given = self._reading.declared
        self._reading.check_declared((one.name for one in found), store.label)
        entries = []
        for one in store.state_digests(found):
            digest = given.get(one.name, one.stated)
            if digest is None:
                continue
            if one.stated is not None and digest != one.stated:
                what = "the store states another digest than the checksum file"
                raise SourceError(what, expected=digest, got=one.stated, where=object_label(store.label, one.name))
            entries.append(FileEntry(one.name, one.size, digest))
        return entries

    def _hash(
        self, store: ObjectStore, objects: Sequence[StoredObject], meter: Meter, workers: Workers | None
    ) -> Sequence[FileEntry]:
        algorithm = self._reading.algorithm
        if workers is None:
            return hash_objects(store, objects, algorithm, self._patience, meter)
        work = (Batch(open_store, self._address, self._patience, algorithm, batch) for batch in batches(objects))
        entries: list[FileEntry] = []
        for read in workers.map(read_batch, work):
            entries += read
            meter.advance(sum(entry.size for entry in read), len(read))
        return entries


def open_store(address: Address, patience: Patience) -> ObjectStore:
    """The store for an address. Its library is loaded now."""
    match address.kind:
        case "http":
            return WebStore(address.uri, address.label, patience)
        case "ipfs":
            from provenance.sources.remote.ipfs import open_gateway

            return open_gateway(address, patience)
        case "s3":
            from provenance.sources.remote.s3 import S3Store

            return S3Store(address, patience)
        case "hf":
            from provenance.sources.remote.hub import HubStore

            return HubStore(address, patience)
        case _:
            from provenance.sources.remote.filesystem import FileSystemStore

            return FileSystemStore(address, patience)


def _check_same(before: Sequence[StoredObject], after: Sequence[StoredObject], label: str) -> None:
    """Raise unless both listings are of the same objects in the same state."""
    now = {stored.name: stored for stored in after}
    for stored in before:
        found = now.pop(stored.name, None)
        if found is None:
            raise changed(object_label(label, stored.name), got="it is gone")
        if found != stored:
            raise changed(object_label(label, stored.name), got="another ETag, version, time or size")
    for name in now:
        raise changed(object_label(label, name), got="it is new")
