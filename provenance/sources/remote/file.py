"""A remote object as a file to read from: seekable, read in parts, never whole in memory.

Invariants: bytes are of the state that was seen when the file was opened, as far as the store can tell; when the end is
reached, the state is looked at once more, and a change is a `SourceError`. Nothing here is verified against a
fingerprint: that is the caller's to do.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from provenance.sources.remote.failures import TransientError, changed
from provenance.sources.remote.objects import ObjectStore, StoredObject, object_label
from provenance.sources.remote.patience import Attempts, Patience
from provenance.sources.remote.reading import patient_pieces

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BUFFER_BYTES: Final = 1 << 20
_FIRST_RANGE_BYTES: Final = 1 << 18
"""A part after a seek is this large, and each after it twice the one before: readers that seek want little."""


class RemoteFile(io.RawIOBase):
    """One object. `keep` is kept alive until the file is closed: whoever closes the store."""

    def __init__(
        self, store: ObjectStore, stored: StoredObject, patience: Patience, *, keep: object | None = None
    ) -> None:
        super().__init__()
        self.name = object_label(store.label, stored.name)
        self._store, self._stored, self._patience = store, stored, patience
        self._keep = keep
        self._position = 0
        self._pieces: Iterator[bytes] | None = None
        self._rest = memoryview(b"")
        self._range_bytes = _FIRST_RANGE_BYTES
        self._is_checked = False

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The position in bytes."""
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a position, which may be behind the end."""
        self._check_open()
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._stored.size}.get(whence)
        if base is None or base + offset < 0:
            raise OSError("not a position in this file")
        target = base + offset
        if target != self._position:
            self._position = target
            self._drop()
            self._range_bytes = _FIRST_RANGE_BYTES
        return target

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer as far as one piece goes; 0 at the end."""
        self._check_open()
        target = memoryview(buffer).cast("B")
        if not target:
            return 0
        if not self._rest and not self._next():
            return 0
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self._position += count
        return count

    def close(self) -> None:
        """Close the file. The store stays open."""
        if not self.closed:
            self._drop()
            self._keep = None
        super().close()

    def _next(self) -> bool:
        """Whether there is another piece, which is then in `_rest`."""
        attempts: Attempts | None = None
        while self._position < self._stored.size:
            try:
                piece = next(self._opened(), None)
            except TransientError as error:
                # The store cannot tell whether it is still the same; the look at the end will.
                failure = error
            else:
                if piece is not None:
                    self._rest = memoryview(piece)
                    return True
                self._pieces = None
                continue
            self._drop()
            attempts = attempts or Attempts(self._patience, self.name)
            attempts.failed(failure)
        self._check_end()
        return False

    def _opened(self) -> Iterator[bytes]:
        if self._pieces is None:
            stop = self._stored.size
            if self._store.range_bytes is not None:
                stop = min(stop, self._position + self._range_bytes)
                self._range_bytes = min(2 * self._range_bytes, self._store.range_bytes)
            self._pieces = patient_pieces(self._store, self._stored, self._position, stop, self._patience)
        return self._pieces

    def _check_end(self) -> None:
        if self._is_checked or self._store.is_immutable:
            return
        if self._store.stat(self._stored.name) != self._stored:
            raise changed(self.name)
        self._is_checked = True

    def _drop(self) -> None:
        pieces, self._pieces, self._rest = self._pieces, None, memoryview(b"")
        close: Callable[[], None] | None = getattr(pieces, "close", None)
        if close is not None:
            close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")  # as every file of Python's does
