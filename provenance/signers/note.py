"""The log's own key, in a file of mode 0600.

Invariants: those of `provenance.signers.secret_file`; the file holds one line in the form of Go's `sumdb/note`, so that
other software can take the key over; its secret is in no error.

    PRIVATE+KEY+<name>+<hex key id>+<base64(0x01 || 32-byte seed)>
"""

from __future__ import annotations

import os
from pathlib import Path

from provenance.encoding import b64decode, b64encode
from provenance.errors import MalformedError, SignerError
from provenance.log import NoteSigner
from provenance.signers.secret_file import read_secret, write_secret

_PREFIX = "PRIVATE+KEY+"
_TYPE = b"\x01"
_SEED_BYTES = 32


def new_note_key(path: Path, name: str) -> NoteSigner:
    """A signer with a new Ed25519 key, kept at `path`. `ConflictError` if there is a file."""
    seed = os.urandom(_SEED_BYTES)
    signer = NoteSigner(name, seed)
    line = f"{_PREFIX}{name}+{signer.verifier.key_id.hex()}+{b64encode(_TYPE + seed)}\n"
    write_secret(path, line.encode("utf-8"))
    return signer


def load_note_key(path: Path) -> NoteSigner:
    """The signer whose key is kept at `path`. `SignerError` if it is missing, unsafe or damaged."""
    damaged = SignerError("log key file is damaged", expected=f"{_PREFIX}name+id+key", where=path)
    try:
        text = read_secret(path).decode("utf-8")
        name, key_id, encoded = text.removesuffix("\n").removeprefix(_PREFIX).split("+", 2)
        material = b64decode(encoded, what="log key", max_bytes=1 + _SEED_BYTES)
    except (UnicodeDecodeError, ValueError, MalformedError):
        raise damaged from None
    if not text.startswith(_PREFIX) or material[:1] != _TYPE or len(material) != 1 + _SEED_BYTES:
        raise damaged
    signer = NoteSigner(name, material[1:])
    if signer.verifier.key_id.hex() != key_id:
        raise damaged
    return signer
