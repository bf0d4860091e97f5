"""What every keeper of signing keys guarantees.

Guarantees an implementation gives, and `tests/conformance/signers` checks:

1. A name is never silently replaced: making or importing a key under a taken name is a `ConflictError`.
2. `new` and `import_pem` return only when the key would survive a power cut.
3. `show` and `list` need no passphrase and reveal nothing secret.
4. No secret, passphrase or key file content is in an error, a `repr`, a log line or a pickle.
5. Every failure is a `SignerError` (missing, locked, unsafe, wrong kind), a `ConflictError` or, for a name or text that
   is no such thing, a `MalformedError`.
6. `new` and `import_pem` that fail have left no key behind under the name: they can be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from provenance.signature.keys import Algorithm, PublicKey, Signer


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key in a store, as far as it can be seen without unlocking it."""

    name: str
    public: PublicKey
    encrypted: bool


class KeyStore(Protocol):
    """Named source keys."""

    def new(
        self, name: str, algorithm: Algorithm, passphrase: bytes | None = None, *, post_quantum: bool = False
    ) -> PublicKey:
        """Make a key from fresh randomness and keep it under `name`; its public half.

        `post_quantum`: a pair, an ML-DSA-44 key beside the one of `algorithm`.
        """

    def import_pem(self, name: str, pem: bytes, passphrase: bytes | None = None) -> PublicKey:
        """Keep a key made elsewhere, under the same passphrase; its public half."""

    def discard(self, name: str) -> None:
        """Remove a key that was made a moment ago and that nobody has been told of; nothing if there is none."""

    def show(self, name: str) -> StoredKey:
        """The key `name`, without its secret."""

    def list(self) -> tuple[StoredKey, ...]:
        """Every key, sorted by name."""

    def load(self, name: str, passphrase: bytes | None = None) -> Signer:
        """A signer that holds the key `name`, unlocked."""


class TransactionSigner(Protocol):
    """Whatever pays for and signs Ethereum transactions."""

    @property
    def address(self) -> str:
        """The account, with its EIP-55 checksum."""

    def sign_transaction(self, transaction: Mapping[str, object]) -> bytes:
        """The raw bytes of an EIP-1559 transaction, ready to send."""
