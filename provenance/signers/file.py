"""Source keys as files, one a key: `<folder>/<name>.pem`.

Invariants: those of `provenance.signers.base` and `provenance.signers.secret_file`. A key file holds two PEM blocks,
the public key and then the PKCS#8 private key, so that a key can be shown without its passphrase and both halves appear
in one atomic step; the two are compared when the key is loaded. A pair's holds four: the public keys, the classical one
first, and the private keys in the same order, under one passphrase. Names are `[a-z0-9][a-z0-9._-]{0,63}`: no path, no
hidden file, no two names that a case-blind file system would merge.

    -----BEGIN PUBLIC KEY-----
    ...
    -----END PUBLIC KEY-----
    -----BEGIN ENCRYPTED PRIVATE KEY-----
    ...
    -----END ENCRYPTED PRIVATE KEY-----
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from provenance.errors import ConflictError, MalformedError, SignerError
from provenance.signature.keys import (
    SEED_BYTES,
    Algorithm,
    PrivateKey,
    PublicKey,
    derive_private_key,
    encode_private_key,
    parse_key_text,
    parse_private_pair,
    with_ml_dsa,
)
from provenance.signature.ml_dsa import ML_DSA_SEED_BYTES, encode_ml_dsa_private_key
from provenance.signature.pkcs8 import ENTROPY_BYTES
from provenance.signers.base import StoredKey
from provenance.signers.secret_file import open_folder, read_secret, write_secret

_SUFFIX: Final = ".pem"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_KEY_FILE = re.compile(
    rb"((?:-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]+-----END PUBLIC KEY-----\n){1,2})"
    rb"((?:-----BEGIN (ENCRYPTED )?PRIVATE KEY-----\n[A-Za-z0-9+/=\n]+-----END (?:ENCRYPTED )?PRIVATE KEY-----\n){1,2})"
)


class FileKeyStore:
    """A folder of key files. A `KeyStore`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def new(
        self, name: str, algorithm: Algorithm, passphrase: bytes | None = None, *, post_quantum: bool = False
    ) -> PublicKey:
        """Make a key, or a pair, and keep it as a new file of mode 0600. `ConflictError` if the name is taken."""
        path = self._path(name)
        seed_bytes = SEED_BYTES.get(algorithm)
        if seed_bytes is None:
            raise SignerError("key algorithm is not supported", expected=" or ".join(SEED_BYTES), got=algorithm)
        key = derive_private_key(algorithm, os.urandom(seed_bytes))
        return _keep(path, with_ml_dsa(key, os.urandom(ML_DSA_SEED_BYTES)) if post_quantum else key, passphrase)

    def import_pem(self, name: str, pem: bytes, passphrase: bytes | None = None) -> PublicKey:
        """Keep the P-256 or Ed25519 key of a PEM PKCS#8 or SEC 1 text, or the pair of two, under the passphrase that it
        has."""
        return _keep(self._path(name), parse_private_pair(pem, passphrase), passphrase)

    def discard(self, name: str) -> None:
        """Remove the file of a key that nobody has been told of. `SignerError` if it cannot be removed."""
        path = self._path(name)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise SignerError("key file cannot be removed", got=error.strerror, where=path) from None

    def show(self, name: str) -> StoredKey:
        """The key without its secret. `SignerError` if there is none or its file is unsafe."""
        public, _, encrypted = self._read(name)
        return StoredKey(name, public, encrypted)

    def list(self) -> tuple[StoredKey, ...]:
        """Every key, sorted by name. `SignerError` names the first file that is unsafe or damaged."""
        if not self._folder.exists():
            return ()
        open_folder(self._folder)
        try:
            names = sorted(entry.name.removesuffix(_SUFFIX) for entry in self._folder.iterdir() if _is_key_file(entry))
        except OSError as error:
            raise SignerError("key folder cannot be read", got=error.strerror, where=self._folder) from None
        return tuple(self.show(name) for name in names)

    def load(self, name: str, passphrase: bytes | None = None) -> PrivateKey:
        """The unlocked key. `SignerError` if it is missing, unsafe, damaged or the passphrase is not its own."""
        public, private_pem, _ = self._read(name)
        key = parse_private_pair(private_pem, passphrase)
        if key.public != public:
            what = "key file holds two halves of different keys"
            expected, got = f"{' and '.join(public.algorithms)}, {public.keyid}", " and ".join(key.public.algorithms)
            raise SignerError(what, expected=expected, got=f"{got}, {key.public.keyid}", where=self._path(name))
        return key

    def _path(self, name: str) -> Path:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            expected = "a letter or digit, then at most 63 of a-z 0-9 . _ -"
            raise MalformedError("key name is not allowed", expected=expected, got=name)
        return self._folder / f"{name}{_SUFFIX}"

    def _read(self, name: str) -> tuple[PublicKey, bytes, bool]:
        path = self._path(name)
        if self._folder.exists():
            open_folder(self._folder)
        if not os.path.lexists(path):
            hint = "list the keys with `provenance keys list`, make one with `provenance keys new`"
            raise SignerError("there is no such key", got=name, where=self._folder, hint=hint)
        match = _KEY_FILE.fullmatch(read_secret(path))
        if match is None:
            raise SignerError("key file is damaged", expected="a public and a private PEM block", where=path)
        try:
            public = parse_key_text(match[1])
        except MalformedError:
            expected = "a P-256 or Ed25519 public key, alone or before one of ML-DSA-44"
            raise SignerError("key file is damaged", expected=expected, where=path) from None
        return public, match[2], match[3] is not None


def _keep(path: Path, key: PrivateKey, passphrase: bytes | None) -> PublicKey:
    if os.path.lexists(path):
        hint = "choose another name; a key is never replaced"
        raise ConflictError("key name is taken", expected="a new name", got=path.stem, where=path, hint=hint)
    entropy = b"" if passphrase is None else os.urandom(ENTROPY_BYTES)
    text = key.public.text.encode("ascii") + encode_private_key(key, passphrase, entropy=entropy)
    if key.ml_dsa is not None:
        entropy = b"" if passphrase is None else os.urandom(ENTROPY_BYTES)
        text += encode_ml_dsa_private_key(key.ml_dsa, passphrase, entropy=entropy)
    write_secret(path, text)
    return key.public


def _is_key_file(entry: Path) -> bool:
    return entry.name.endswith(_SUFFIX) and _NAME.fullmatch(entry.name.removesuffix(_SUFFIX)) is not None
