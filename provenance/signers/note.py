"""A log's own keys, a file each, of mode 0600.

Invariants: those of `provenance.signers.secret_file`; the file holds one line in the form of Go's `sumdb/note`, so that
other software can take the key over; its secret, a seed of 32 bytes, is in no error.

    PRIVATE+KEY+<name>+<hex key id>+<base64(type byte || 32-byte seed)>

The type byte is 0x01 (Ed25519) or 0x06 (ML-DSA-44).
"""

from __future__ import annotations

import os
from pathlib import Path

from provenance.encoding import b64decode, b64encode
from provenance.errors import MalformedError, SignerError
from provenance.log import Cosigner, NoteSigner
from provenance.log.algorithm import ED25519
from provenance.log.checkpoint import LOG_KEY_TYPES
from provenance.log.note import SEED_BYTES
from provenance.signers.secret_file import read_secret, write_secret

_PREFIX = "PRIVATE+KEY+"


def new_note_key(path: Path, name: str, type_byte: int = ED25519) -> NoteSigner | Cosigner:
    """A signer with a new key, kept at `path`. `ConflictError` if there is a file."""
    seed = os.urandom(SEED_BYTES)
    signer = _signer(name, type_byte, seed)
    line = f"{_PREFIX}{name}+{signer.verifier.key_id.hex()}+{b64encode(bytes([type_byte]) + seed)}\n"
    write_secret(path, line.encode("utf-8"))
    return signer


def load_note_key(path: Path) -> NoteSigner | Cosigner:
    """The signer whose key is kept at `path`. `SignerError` if it is missing, unsafe or damaged."""
    damaged = SignerError("log key file is damaged", expected=f"{_PREFIX}name+id+key", where=path)
    try:
        text = read_secret(path).decode("utf-8")
        name, key_id, encoded = text.removesuffix("\n").removeprefix(_PREFIX).split("+", 2)
        material = b64decode(encoded, what="log key", max_bytes=1 + SEED_BYTES)
    except (UnicodeDecodeError, ValueError, MalformedError):
        raise damaged from None
    if not text.startswith(_PREFIX) or material[0] not in LOG_KEY_TYPES or len(material) != 1 + SEED_BYTES:
        raise damaged
    try:
        signer = _signer(name, material[0], material[1:])
    except MalformedError:
        raise damaged from None
    if signer.verifier.key_id.hex() != key_id:
        raise damaged
    return signer


def _signer(name: str, type_byte: int, seed: bytes) -> NoteSigner | Cosigner:
    return NoteSigner(name, seed) if type_byte == ED25519 else Cosigner(name, seed, type_byte)
