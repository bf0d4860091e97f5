"""Checkpoints (c2sp.org/tlog-checkpoint): the head of a log, as the text of a signed note.

Invariants: `encode_checkpoint(parse_checkpoint(x)) == x`; the empty tree's root is SHA-256(""); a checkpoint that was
opened is of the origin it was asked for and signed by that log's key. This project's logs sign no extension lines.

    ledger.example/main
    70000
    o5IPun8jmgcam9EHIfE0Gt3vuu3ttBx+JEN6nRa98Ao=

    — ledger.example/main IgRPDyGdtLKaVTCbw+zoToNCdmpZ1Yr9ll9YR1VTuOSmPiPsMW3Dw5rV4HDDcm6B0Fhq5H3/vwg20FukohdgmqtkGwY=
"""

from __future__ import annotations

from dataclasses import dataclass

from provenance.encoding import b64decode, b64encode
from provenance.errors import MalformedError, VerificationError
from provenance.limits import MAX_NOTE_BYTES, check_size
from provenance.log.algorithm import ED25519
from provenance.log.decimal import check_range, parse_decimal
from provenance.log.note import NoteSigner, NoteVerifier, check_note_text, open_note, sign_note
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


def sign_checkpoint(checkpoint: Checkpoint, signer: NoteSigner) -> bytes:
    """The signed note of `checkpoint`. The signer is named after the origin and there are no extensions."""
    if signer.name != checkpoint.origin:
        raise MalformedError("signer is not the log's", expected=checkpoint.origin, got=signer.name)
    if checkpoint.extensions:
        raise MalformedError("a log signs no extension lines", got=f"{len(checkpoint.extensions)} lines")
    return sign_note(encode_checkpoint(checkpoint), [signer])


def open_checkpoint(data: bytes, log_verifier: NoteVerifier, *, origin: str | None = None) -> Checkpoint:
    """The checkpoint of a signed note, its log signature verified and its origin as expected.

    `origin` is needed only for a log whose key name is not its origin. Other keys' signatures are not judged: see
    `open_cosigned`. `VerificationError` for a missing or wrong signature or another log's origin.
    """
    check_log_key(log_verifier)
    return check_origin(parse_checkpoint(open_note(data, [log_verifier]).text), origin or log_verifier.name)


def check_log_key(verifier: NoteVerifier) -> None:
    """Return if `verifier` is of a type logs sign checkpoints with (0x01); otherwise `MalformedError`."""
    if verifier.type_byte != ED25519:
        raise MalformedError("key is not a log's", expected="type 0x01", got=f"0x{verifier.type_byte:02x}")


def check_origin(checkpoint: Checkpoint, origin: str) -> Checkpoint:
    """`checkpoint` if it is of the log `origin`; otherwise `VerificationError`."""
    if checkpoint.origin != origin:
        raise VerificationError("checkpoint is of another log", expected=origin, got=checkpoint.origin)
    return checkpoint
