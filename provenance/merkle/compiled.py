"""SHA-256 by the processor's SHA extensions, three messages at a time: `sha256.c`, if a compiler built it.

Invariants: a library that does not give hashlib's digests of messages of every length up to some blocks is not used.
Addresses are those of memory that the caller holds; lengths are the caller's to check.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from provenance.errors import MalformedError
from provenance.merkle.hashing import HASH_BYTES

if TYPE_CHECKING:
    import ctypes

LIBRARY: Final = "libsha256.so"
STREAMS: Final = 3
"""So many messages are hashed side by side."""
BLOCK_BYTES: Final = 64
_VERSION: Final = 1
_LONGEST: Final = 2 * BLOCK_BYTES + 2
_FIRST: Final = struct.pack(
    "=8I", 0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19
)
_WORDS: Final = struct.Struct("=8I")
_DIGEST: Final = struct.Struct(">8I")


class Extensions:
    """The compiled hashing."""

    def __init__(self, library: ctypes.CDLL) -> None:
        import ctypes

        number, address = ctypes.c_int64, ctypes.c_void_p
        self._messages, self.blocks = library.provenance_sha256_messages, library.provenance_sha256_blocks
        self._messages.argtypes = [address, address, number, number, number, address]
        self.blocks.argtypes = [address, address, number]
        self._messages.restype = self.blocks.restype = None

    def slices(self, data: bytes | int, offsets: int, count: int, digests: int) -> None:
        """The digests of `data` between each of `count + 1` offsets (int64, ascending) and the next, one after another
        into `digests`. Numbers are addresses."""
        self._messages(data, offsets, 0, count, -1, digests)

    def pieces(self, data: bytes | int, width: int, count: int, prefix: int, digests: int) -> None:
        """As `slices`, of `count` pieces of `width` bytes that lie one after another, each after the byte `prefix`."""
        self._messages(data, None, width, count, prefix, digests)


class Streams:
    """The hashes of three long messages that are read piece by piece, side by side."""

    def __init__(self, extensions: Extensions) -> None:
        import ctypes

        self._blocks, self._pointers = extensions.blocks, ctypes.c_void_p * STREAMS
        self._words = [ctypes.create_string_buffer(_FIRST, HASH_BYTES) for _ in range(STREAMS + 1)]
        self._places = [ctypes.addressof(words) for words in self._words]
        """The last of them is nobody's."""

    def begin(self, stream: int) -> None:
        """A new message."""
        self._words[stream].raw = _FIRST

    def update(self, addresses: Sequence[int], counts: Sequence[int]) -> None:
        """So many blocks of 64 bytes more of each message, at these addresses."""
        left, places = list(counts), list(addresses)
        while some := [stream for stream, count in enumerate(left) if count]:
            count = min(left[stream] for stream in some)
            words = [self._places[stream if left[stream] else STREAMS] for stream in range(STREAMS)]
            # Whoever has none left hashes what another does, for nobody.
            blocks = [places[stream if left[stream] else some[0]] for stream in range(STREAMS)]
            self._blocks(self._pointers(*words), self._pointers(*blocks), count)
            for stream in some:
                left[stream] -= count
                places[stream] += BLOCK_BYTES * count

    def finish(self, stream: int, rest: bytes, length: int) -> bytes:
        """The digest of a message of `length` bytes in all, the last of which, less than a block, are `rest`."""
        import ctypes

        padding = b"\x80" + bytes((55 - len(rest)) % BLOCK_BYTES) + (8 * length).to_bytes(8, "big")
        last = rest + padding
        held = ctypes.create_string_buffer(last, len(last))
        counts = [0] * STREAMS
        counts[stream] = len(last) // BLOCK_BYTES
        self.update([ctypes.addressof(held)] * STREAMS, counts)
        return _DIGEST.pack(*_WORDS.unpack(self._words[stream].raw))


def address_of(memory: memoryview) -> int:
    """Where writable memory begins, for as long as the caller holds it; 0 of none."""
    import ctypes

    return ctypes.addressof(ctypes.c_char.from_buffer(memory)) if len(memory) else 0


@cache
def extensions() -> Extensions | None:
    """The compiled hashing; None where it was not built, the processor cannot, or digests are wrong."""
    import ctypes

    try:
        library = ctypes.CDLL(f"{__file__.rpartition('/')[0]}/{LIBRARY}")
        version = library.provenance_sha256_version
        version.restype = ctypes.c_int64
        if version() != _VERSION:
            return None
        found = Extensions(library)
    except (OSError, AttributeError):
        return None
    return found if _is_right(found) else None


def extensions_or_error() -> Extensions:
    """The compiled hashing; `MalformedError` where there is none."""
    found = extensions()
    if found is None:
        hint = "have the project built where there is a C compiler, or set PROVENANCE_HASH_TIER to another"
        raise MalformedError(
            "the SHA extensions cannot be used", expected="hashlib | lanes", got="extensions", hint=hint
        )
    return found


def _is_right(found: Extensions) -> bool:
    import ctypes

    data = bytes(number * number % 251 for number in range(5 * _LONGEST))
    digests = ctypes.create_string_buffer(5 * HASH_BYTES)
    for width in range(_LONGEST + 1):
        for prefix in (-1, 1):
            found.pieces(data, width, 5, prefix, ctypes.addressof(digests))
            first = b"" if prefix < 0 else bytes([prefix])
            messages = [first + data[width * place : width * (place + 1)] for place in range(5)]
            if digests.raw != b"".join(sha256(message).digest() for message in messages):
                return False
    held, streams = ctypes.create_string_buffer(data, len(data)), Streams(found)
    streams.update([ctypes.addressof(held)] * STREAMS, (3, 1, 2))
    ends = [streams.finish(stream, data[:9], BLOCK_BYTES * count + 9) for stream, count in enumerate((3, 1, 2))]
    return ends == [sha256(data[: BLOCK_BYTES * count] + data[:9]).digest() for count in (3, 1, 2)]
