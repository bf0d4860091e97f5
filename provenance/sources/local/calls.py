"""System calls for many small files at a time, by compiled code (`calls.c`), if the project was built with a compiler.

Invariants: results are those of the same calls made one by one from Python, by which all of this can be replaced: what
is not there, or is in any way odd, is left to the caller, who then says what is wrong with it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provenance.merkle.compiled import address_of
from provenance.sources.local.listing import IDENTITY

if TYPE_CHECKING:
    import ctypes

LIBRARY: Final = "libcalls.so"
ENVIRONMENT: Final = "PROVENANCE_COMPILED"
"""`0` has every call made from Python."""
_VERSION: Final = 1
_NAMES_BYTES: Final = 2**20
_NAMES: Final = 2**16


class Calls:
    """The compiled calls, for files whose names are relative to the working folder. Threads may share it."""

    def __init__(self, library: ctypes.CDLL) -> None:
        import ctypes

        number, text, memory = ctypes.c_int64, ctypes.c_char_p, ctypes.c_void_p
        self._look, self._same, self._read = library.provenance_look, library.provenance_same, library.provenance_read
        self._look.argtypes = self._same.argtypes = [text, number, memory, number]
        self._read.argtypes = [text, number, number, number, memory, number, memory, number]
        self._look.restype = self._same.restype = self._read.restype = number
        self._list = library.provenance_list
        self._list.argtypes = [text, memory, number, memory, number, ctypes.POINTER(number)]
        self._list.restype = number
        self._of_thread = threading.local()

    def names_in(self, folder: str) -> tuple[list[str], str] | None:
        """The names in a folder, in any order, and a letter for each: `f` a file, `d` a folder, `?` what is neither, or
        is not told. None if the folder cannot be read, or holds too much."""
        import ctypes

        memory = getattr(self._of_thread, "memory", None)
        if memory is None:  # kept, as it is more work to clear than to fill
            memory = ctypes.create_string_buffer(_NAMES_BYTES), ctypes.create_string_buffer(_NAMES)
            self._of_thread.memory = memory
        (names, kinds), used = memory, ctypes.c_int64()
        count = self._list(os.fsencode(folder), names, _NAMES_BYTES, kinds, _NAMES, ctypes.byref(used))
        if count < 0:
            return None
        found = os.fsdecode(bytes(memoryview(names)[: used.value])).split("\0")
        return found[:-1], bytes(memoryview(kinds)[:count]).decode("ascii")

    def look(self, names: Sequence[str]) -> bytes:
        """The identities, packed, of the files before the first name that is none."""
        identities, place = _memory(len(names))
        joined = _joined(names)
        count = self._look(joined, len(joined), place, len(names))
        return bytes(identities[: IDENTITY.size * count])

    def same(self, names: Sequence[str], identities: bytes | bytearray) -> int:
        """How many of the files, before the first that does not, have these identities, packed."""
        joined = _joined(names)
        before = bytes(identities)
        count: int = self._same(joined, len(joined), before, min(len(names), len(before) // IDENTITY.size))
        return count

    def read(
        self, names: Sequence[str], recent_ns: int, largest: int, enough: int, into: memoryview
    ) -> tuple[bytes, list[memoryview]]:
        """The identities, packed, and the contents, in `into`, of the first files, until there are `enough` bytes:
        before the first that is no file, larger than `largest` bytes, or changed after `recent_ns`.

        `into` is writable and has room for `enough + largest + 1` bytes.
        """
        identities, place = _memory(len(names))
        joined = _joined(names)
        if len(into) <= enough + largest:
            return b"", []
        count = self._read(
            joined, len(joined), recent_ns, largest, address_of(into), enough, place, len(names)
        )  # fmt: skip
        packed = bytes(identities[: IDENTITY.size * count])
        contents, start = [], 0
        for _, _, size, _, _ in IDENTITY.iter_unpack(packed):
            contents.append(into[start : start + size])
            start += size
        return packed, contents


def _memory(count: int) -> tuple[memoryview, ctypes.Array[ctypes.c_char]]:
    import ctypes

    place = ctypes.create_string_buffer(IDENTITY.size * count)
    return memoryview(place).cast("B"), place


def _joined(names: Sequence[str]) -> bytes:
    """Each name as the system has it, ended by NUL, which none has in it."""
    return os.fsencode("\0".join([*names, ""]))


@cache
def compiled_calls() -> Calls | None:
    """The compiled calls; None where they were not built, are of other source, or are turned off."""
    path = Path(__file__).with_name(LIBRARY)
    if sys.byteorder != "little" or os.environ.get(ENVIRONMENT) == "0" or not path.exists():
        return None
    import ctypes

    try:
        library = ctypes.CDLL(str(path))
        version = library.provenance_calls_version
        version.restype = ctypes.c_int64
        return Calls(library) if version() == _VERSION else None
    except (OSError, AttributeError):  # of another processor, or no library
        return None
