"""Signed notes (c2sp.org/signed-note): a text and the keys that signed it.

Invariants: `encode_note(parse_note(x)) == x` for every accepted x; nothing of a note is trusted before `open_note`
returned it; a signature by an unknown key is kept and ignored; a known key whose signature fails rejects the whole
note; a note without one verified signature is rejected; one key counts once however often it signed.

    If you think cryptography is the answer to your problem,
    then you don't know what your problem is.

    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=

A signature line is U+2014, space, key name, space, base64(key id (4 bytes) || signature). A verifier key is
`name+hex(key id)+base64(type byte || public key)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from provenance.encoding import b64decode, b64encode
from provenance.errors import LimitError, MalformedError, SignerError, VerificationError
from provenance.limits import MAX_KEY_BYTES, MAX_NOTE_BYTES, MAX_NOTE_SIGNATURES, check_size
from provenance.log.algorithm import ALGORITHMS, ED25519, KEY_ID_BYTES, key_id
from provenance.log.body import Checkpoint, encode_checkpoint
from provenance.log.text import check_key_name, check_note_text, decode_text

SEED_BYTES: Final = 32
_DASH = "\N{EM DASH} "
_KEY_ID = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line. `key_id` is 4 bytes; `signature` is what follows it, at least 1 byte."""

    name: str
    key_id: bytes
    signature: bytes

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.key_id) != KEY_ID_BYTES or not self.signature:
            raise MalformedError("signature has no key id or no bytes", where=f"signature of {self.name}")


@dataclass(frozen=True, slots=True)
class NoteVerifier:
    """A key that is known: its name, algorithm type byte and raw public key. `MalformedError` if it cannot be one."""

    name: str
    type_byte: int
    public_key: bytes

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if self.type_byte not in ALGORITHMS:
            raise MalformedError(
                "verifier key is of an unknown type",
                expected=", ".join(f"0x{row.type_byte:02x} {row.label}" for row in ALGORITHMS.values()),
                got=f"0x{self.type_byte:02x}",
            )
        size = ALGORITHMS[self.type_byte].public_key_bytes
        if len(self.public_key) != size:
            raise MalformedError("public key has a wrong length", expected=f"{size} bytes", got=len(self.public_key))

    @property
    def key_id(self) -> bytes:
        """4 bytes that identify the key together with its name. Not a cryptographically strong hash."""
        return key_id(self.name, self.type_byte, self.public_key)

    def verify(self, text: bytes, signature: bytes) -> None:
        """Return if `signature` (without key id) is this key's over the note text; otherwise `VerificationError`."""
        algorithm = ALGORITHMS[self.type_byte]
        if len(signature) != algorithm.signature_bytes:
            raise VerificationError(
                "signature has a wrong length",
                expected=f"{algorithm.signature_bytes} bytes ({algorithm.label})",
                got=f"{len(signature)} bytes",
                where=f"signature of {self.name}",
            )
        try:
            algorithm.verify(self.name, self.public_key, text, signature)
        except VerificationError as error:
            where = f"signature of {self.name}+{self.key_id.hex()}"
            raise VerificationError(error.what, expected=error.expected, got=error.got, where=where) from error


class NoteSigner:
    """Signs note texts with an Ed25519 key (type 0x01). The seed is in no repr, message or pickle."""

    __slots__ = ("_key", "verifier")

    def __init__(self, name: str, seed: bytes) -> None:
        """`seed` is the raw 32-byte Ed25519 private key (RFC 8032 section 5.1.5); `MalformedError` otherwise."""
        self._key = private_key(seed)
        self.verifier = NoteVerifier(name, ED25519, self._key.public_key().public_bytes_raw())

    @property
    def name(self) -> str:
        """The key name; of a log's key it is the log's origin."""
        return self.verifier.name

    @property
    def verifiers(self) -> tuple[NoteVerifier, ...]:
        """The one public half. See `CheckpointSigner`."""
        return (self.verifier,)

    def sign(self, text: bytes) -> NoteSignature:
        """The signature over a note text; `MalformedError` if the text cannot be one."""
        check_note_text(text)
        return NoteSignature(self.name, self.verifier.key_id, self._key.sign(text))

    def sign_lines(self, checkpoint: Checkpoint) -> tuple[NoteSignature, ...]:
        """This key's one signature of a checkpoint. See `CheckpointSigner`."""
        return (self.sign(encode_checkpoint(checkpoint)),)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({encode_vkey(self.verifier)!r})"

    def __reduce__(self) -> str:
        raise SignerError("a signer cannot be copied or pickled")


@dataclass(frozen=True, slots=True)
class Note:
    """A note. `signatures` are all its lines in order; `verified` names the keys that `open_note` found good."""

    text: bytes
    signatures: tuple[NoteSignature, ...]
    verified: tuple[NoteSignature, ...] = ()


def parse_vkey(text: str) -> NoteVerifier:
    """The verifier key `name+hex(key id)+base64(type || key)`; `MalformedError` unless its key id is its own."""
    check_size("verifier key", len(text), MAX_KEY_BYTES, "characters")
    name, _, rest = text.partition("+")
    hex_id, _, encoded = rest.partition("+")
    if not _KEY_ID.fullmatch(hex_id) or not encoded:
        raise MalformedError("verifier key is out of form", expected="name+8 lower-case hex digits+base64", got=text)
    data = b64decode(encoded, what="verifier key", max_bytes=MAX_KEY_BYTES)
    verifier = NoteVerifier(name, data[0], data[1:])
    if verifier.key_id.hex() != hex_id:
        raise MalformedError("verifier key's id is not its own", expected=verifier.key_id.hex(), got=hex_id, where=name)
    return verifier


def encode_vkey(verifier: NoteVerifier) -> str:
    """The text `name+hex(key id)+base64(type || key)` that `parse_vkey` reads."""
    material = bytes([verifier.type_byte]) + verifier.public_key
    return f"{verifier.name}+{verifier.key_id.hex()}+{b64encode(material)}"


def encode_signature_line(signature: NoteSignature) -> bytes:
    """One signature line, its newline included."""
    blob = b64encode(signature.key_id + signature.signature)
    return f"{_DASH}{signature.name} {blob}\n".encode()


def parse_signature_lines(data: bytes) -> tuple[NoteSignature, ...]:
    """One signature or more, a line each, as in a note or a witness's answer; `MalformedError` for anything else."""
    text = decode_text(data, "signature lines")
    if not text.endswith("\n"):
        raise MalformedError("signature lines do not end in a newline", where="end of note")
    lines = text[:-1].split("\n")
    if len(lines) > MAX_NOTE_SIGNATURES:
        raise LimitError("note has too many signatures", expected=f"at most {MAX_NOTE_SIGNATURES}", got=len(lines))
    return tuple(_parse_signature_line(line, number) for number, line in enumerate(lines, 1))


def parse_note(data: bytes) -> Note:
    """The note with nothing verified; `MalformedError` or `LimitError` for what does not re-encode to `data`."""
    decode_text(data, "note")
    split = data.rfind(b"\n\n")
    if split < 0:
        raise MalformedError("note has no signatures", expected="a blank line before the signature lines")
    return Note(data[: split + 1], parse_signature_lines(data[split + 2 :]))


def encode_note(text: bytes, signatures: Sequence[NoteSignature]) -> bytes:
    """The note of `text` and its signature lines; `MalformedError` if `parse_note` would refuse it."""
    check_note_text(text)
    data = text + b"\n" + b"".join(encode_signature_line(signature) for signature in signatures)
    parse_note(data)
    return data


def sign_note(text: bytes, signers: Iterable[NoteSigner]) -> bytes:
    """The note of `text` signed by every signer, in order."""
    return encode_note(text, [signer.sign(text) for signer in signers])


def add_signatures(data: bytes, signatures: Iterable[NoteSignature]) -> bytes:
    """The note with more signature lines after its own; a line that is there already is not added again."""
    note = parse_note(data)
    return encode_note(note.text, tuple(dict.fromkeys((*note.signatures, *signatures))))


def renew_signatures(data: bytes, signatures: Iterable[NoteSignature]) -> bytes:
    """As `add_signatures`, each in the place of an earlier line of the same key: a cosignature has a time, and the last
    is enough."""
    note, newer = parse_note(data), {(one.name, one.key_id): one for one in signatures}
    kept = [one for one in note.signatures if (one.name, one.key_id) not in newer]
    return encode_note(note.text, (*kept, *newer.values()))


def open_note(data: bytes, verifiers: Iterable[NoteVerifier]) -> Note:
    """The note, at least one known key's signature verified and none failed.

    Every signature of a known key is verified; `verified` keeps the first of each key. `VerificationError` if one
    fails or none is by a known key; `MalformedError` if the bytes are no note or two verifiers share name and key id.
    """
    known = _by_name_and_id(verifiers)
    note = parse_note(data)
    verified: dict[tuple[str, bytes], NoteSignature] = {}
    for signature in dict.fromkeys(note.signatures):  # one line repeated a hundred times is verified once
        identity = (signature.name, signature.key_id)
        if identity in known:
            known[identity].verify(note.text, signature.signature)
            verified.setdefault(identity, signature)
    if not verified:
        raise VerificationError(
            "note is not signed by a known key",
            expected=", ".join(f"{name}+{number.hex()}" for name, number in known) or "a known key",
            got=", ".join(f"{signature.name}+{signature.key_id.hex()}" for signature in note.signatures),
        )
    return Note(note.text, note.signatures, tuple(verified.values()))


def private_key(seed: bytes) -> Ed25519PrivateKey:
    """The Ed25519 key of a 32-byte seed. Its errors never hold the seed."""
    if not isinstance(seed, bytes) or len(seed) != SEED_BYTES:
        raise MalformedError("Ed25519 seed has a wrong length", expected=f"{SEED_BYTES} bytes")
    return Ed25519PrivateKey.from_private_bytes(seed)


def _parse_signature_line(line: str, number: int) -> NoteSignature:
    where = f"signature line {number}"
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise MalformedError("signature line is out of form", expected="— <key name> <base64>", got=line, where=where)
    blob = b64decode(encoded, what=where, max_bytes=MAX_NOTE_BYTES)
    return NoteSignature(name, blob[:KEY_ID_BYTES], blob[KEY_ID_BYTES:])


def _by_name_and_id(verifiers: Iterable[NoteVerifier]) -> dict[tuple[str, bytes], NoteVerifier]:
    known: dict[tuple[str, bytes], NoteVerifier] = {}
    for verifier in verifiers:
        if known.setdefault((verifier.name, verifier.key_id), verifier) != verifier:
            raise MalformedError("two verifier keys share a name and a key id", got=encode_vkey(verifier))
    return known
