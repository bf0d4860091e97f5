"""The text of a checkpoint (c2sp.org/tlog-checkpoint): a log's origin, size and root, a line each.

Invariants: `encode_checkpoint(parse_checkpoint(x)) == x`; the empty tree's root is SHA-256("").
"""

from __future__ import annotations

from dataclasses import dataclass

from provenance.encoding import b64decode, b64encode
from provenance.errors import MalformedError
from provenance.limits import MAX_NOTE_BYTES, check_size
from provenance.log.decimal import check_range, parse_decimal
from provenance.log.text import check_note_text
from provenance.merkle import EMPTY_ROOT, HASH_BYTES


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's origin, its size in entries (uint64) and its RFC 9162 root (32 bytes); `MalformedError` otherwise.

    `extensions` are further lines other logs may sign; they mean nothing here and are kept so that bytes re-encode.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_range(self.size, what="tree size")
        if len(self.root) != HASH_BYTES:
            raise MalformedError("root is not a hash", expected=f"{HASH_BYTES} bytes", got=f"{len(self.root)} bytes")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise MalformedError("empty tree has a wrong root", expected=EMPTY_ROOT.hex(), got=self.root.hex())
        for line in (self.origin, *self.extensions):
            if not line or "\n" in line:
                raise MalformedError("checkpoint line is empty or holds a newline", got=repr(line))
        check_note_text(encode_checkpoint(self))


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """The note text: origin, size, base64 root and extensions, a line each."""
    lines = (checkpoint.origin, str(checkpoint.size), b64encode(checkpoint.root), *checkpoint.extensions)
    try:
        return "".join(f"{line}\n" for line in lines).encode()
    except UnicodeEncodeError as error:
        raise MalformedError("checkpoint is not UTF-8", got=repr(checkpoint.origin)) from error


def parse_checkpoint(text: bytes) -> Checkpoint:
    """The checkpoint of a note text (no signatures); `MalformedError` for what does not re-encode to `text`."""
    check_size("checkpoint", len(text), MAX_NOTE_BYTES)
    try:
        lines = text.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise MalformedError("checkpoint is not UTF-8", where=f"byte {error.start}") from error
    if len(lines) < 4 or lines.pop():
        raise MalformedError("checkpoint is out of form", expected="three lines, each ending in a newline")
    size = parse_decimal(lines[1], what="tree size")
    root = b64decode(lines[2], what="root", max_bytes=HASH_BYTES)
    return Checkpoint(lines[0], size, root, tuple(lines[3:]))
