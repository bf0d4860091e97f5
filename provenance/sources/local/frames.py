"""Messages between a process and its crew: length (4, little-endian), then a tuple by `marshal`.

Invariant: only what a process of this very program wrote is read: `marshal` is not for strangers' bytes.
"""

from __future__ import annotations

import marshal
import os
import struct
from collections.abc import Iterator
from typing import Any, Final

_LENGTH: Final = struct.Struct("<I")


def write_frame(descriptor: int, frame: tuple[Any, ...]) -> None:
    """Write a message, all of it."""
    body = marshal.dumps(frame)
    data = memoryview(_LENGTH.pack(len(body)) + body)
    while len(data):
        data = data[os.write(descriptor, data) :]


def read_frame(descriptor: int) -> Any:
    """The next message; None if there is none any more."""
    head = _read_exactly(descriptor, _LENGTH.size)
    if head is None:
        return None
    body = _read_exactly(descriptor, _LENGTH.unpack(head)[0])
    return None if body is None else marshal.loads(body)  # noqa: S302 - from the process that made this one


def take_frames(held: bytearray) -> Iterator[Any]:
    """The messages that are whole in what was read so far; they are taken out of it."""
    while len(held) >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(held)
        end = _LENGTH.size + length
        if len(held) < end:
            return
        frame = marshal.loads(held[_LENGTH.size : end])  # noqa: S302 - from a process this one made
        del held[:end]
        yield frame


def _read_exactly(descriptor: int, count: int) -> bytes | None:
    data = b""
    while len(data) < count:
        more = os.read(descriptor, count - len(data))
        if not more:
            return None
        data += more
    return data
