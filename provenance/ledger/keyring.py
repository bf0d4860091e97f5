"""A ledger's keys and what it trusts.

Invariants: private keys stay in the key store; `trust.json` lists whose public keys count, and a key made here is
trusted here unless that is refused; the log's own key and the chain account are made once, by `init`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from provenance.errors import MalformedError, NotFoundError, PolicyError, SignerError, StoreError
from provenance.ledger.layout import Layout, exists, read_bounded, write_private
from provenance.ledger.lock import editing_lock
from provenance.limits import MAX_TRUST_BYTES
from provenance.log import NoteSigner, encode_vkey
from provenance.policy import TrustedSource, TrustRoots, encode_trust, parse_trust
from provenance.signature import ALGORITHMS, Algorithm, PublicKey, Signer, parse_public_key
from provenance.signers import KeyStore, StoredKey, open_key_store
from provenance.signers.note import load_note_key, new_note_key
from provenance.statement import DatasetName

DEFAULT_ALGORITHM: Algorithm = "ecdsa-p256"


class Keyring:
    """The keys and trust of the ledger at `layout`."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._store: KeyStore = open_key_store(layout.keys)
        self._note_signer: NoteSigner | None = None

    @property
    def log_key_path(self) -> Path:
        """The log's signing key."""
        return self._layout.keys / "log.key"

    @property
    def chain_key_path(self) -> Path:
        """The account that pays for anchors."""
        return self._layout.keys / "chain.key"

    def create_own(self, origin: str) -> None:
        """Make the log key and the chain account, unless they are there: a run of `init` may have been cut off."""
        from provenance.signers.ethereum import EthereumKey

        if not exists(self.log_key_path):
            new_note_key(self.log_key_path, origin)
        if not exists(self.chain_key_path):
            EthereumKey.new(self.chain_key_path)

    def note_signer(self) -> NoteSigner:
        """The log's signer."""
        if self._note_signer is None:
            self._note_signer = load_note_key(self.log_key_path)
        return self._note_signer

    @property
    def vkey(self) -> str:
        """The log's verifier key, for others' trust roots."""
        return encode_vkey(self.note_signer().verifier)

    def new(
        self,
        name: str,
        *,
        algorithm: str = DEFAULT_ALGORITHM,
        passphrase: bytes | None = None,
        trust: bool = True,
        namespaces: tuple[str, ...] = (),
    ) -> PublicKey:
        """Make a source key; trusted in this ledger unless `trust` is False."""
        if algorithm not in ALGORITHMS:
            raise SignerError("unknown key algorithm", expected=" | ".join(ALGORITHMS), got=algorithm)
        check_namespaces(namespaces)  # first: no key is left behind by a call that fails
        key = self._store.new(name, algorithm, passphrase)
        if trust:
            self.trust_key(name, key, namespaces=namespaces)
        return key

    def import_private(
        self,
        name: str,
        pem: bytes,
        passphrase: bytes | None = None,
        *,
        trust: bool = True,
        namespaces: tuple[str, ...] = (),
    ) -> PublicKey:
        """Take over a private key from PKCS#8 PEM; trusted in this ledger unless `trust` is False."""
        check_namespaces(namespaces)
        key = self._store.import_pem(name, pem, passphrase)
        if trust:
            self.trust_key(name, key, namespaces=namespaces)
        return key

    def list(self) -> tuple[StoredKey, ...]:
        """The source keys held here, by name."""
        return self._store.list()

    def show(self, name: str) -> StoredKey:
        """One source key held here, without its secret."""
        return self._store.show(name)

    def signer(self, name: str | None, passphrase: bytes | None = None) -> Signer:
        """The signer called `name`; without a name, the only key there is."""
        if name is None:
            keys = self._store.list()
            if len(keys) != 1:
                got = ", ".join(key.name for key in keys) or "none"
                hint = "name one with --key" if keys else "make one with `provenance keys new NAME`"
                raise SignerError("cannot choose a signing key", expected="exactly one key", got=got, hint=hint)
            name = keys[0].name
        return self._store.load(name, passphrase)

    def trust(self) -> TrustRoots:
        """What `trust.json` says."""
        try:
            data = read_bounded(self._layout.trust, "trust roots", max_bytes=MAX_TRUST_BYTES)
        except FileNotFoundError:
            return TrustRoots()
        except OSError as error:
            raise StoreError("cannot read the trust roots", got=error.strerror, where=self._layout.trust) from error
        return parse_trust(data)

    def trust_key(
        self, name: str, key: PublicKey, *, namespaces: tuple[str, ...] = (), revoked: bool = False
    ) -> TrustedSource:
        """Trust a source's key, or list it as revoked. `MalformedError` for a name or namespace that can be none."""
        if not name or not name.isprintable():
            raise MalformedError("not a name for a key", expected="printable text", got=name)
        check_namespaces(namespaces)
        source = TrustedSource(name, key, revoked=revoked, namespaces=namespaces)
        with self._editing_trust():
            trust = self.trust()
            known = trust.source(key.keyid)
            if known is not None and known.revoked and not revoked:
                hint = "make a new key: what a revoked one signed is never trusted again"
                raise PolicyError("key is revoked here", expected="a key in force", got=key.keyid, hint=hint)
            self.write_trust(trust.with_source(source))
        return source

    def revoke(self, name: str) -> TrustedSource:
        """List the key called `name` (or with that key id) as revoked; what is revoked already stays so.

        `MalformedError` if several keys in force have that name.
        """
        with self._editing_trust():
            trust = self.trust()
            named = [source for source in trust.sources if name in (source.name, source.key.keyid)]
            if not named:
                raise NotFoundError("no such trusted key", got=name, hint="`provenance keys list` shows them")
            in_force = [source for source in named if not source.revoked]
            if len(in_force) > 1:
                got = ", ".join(source.key.keyid for source in in_force)
                raise MalformedError("several keys have this name", expected="a key id", got=got)
            revoked = replace((in_force or named)[0], revoked=True)
            self.write_trust(trust.with_source(revoked))
        return revoked

    def trust_pem(
        self, name: str, pem: bytes, *, namespaces: tuple[str, ...] = (), revoked: bool = False
    ) -> TrustedSource:
        """As `trust_key`, for PEM text."""
        return self.trust_key(name, parse_public_key(pem), namespaces=namespaces, revoked=revoked)

    def _editing_trust(self) -> AbstractContextManager[None]:
        return editing_lock(self._layout.directory / "trust.lock")

    def write_trust(self, trust: TrustRoots) -> None:
        """Replace `trust.json`. What could not be read back is never written."""
        data = encode_trust(trust)
        parse_trust(data)
        write_private(self._layout.trust, data)


def check_namespaces(namespaces: tuple[str, ...]) -> None:
    """`MalformedError` for a namespace that no dataset can have."""
    for namespace in namespaces:
        try:
            DatasetName(namespace, "any")
        except MalformedError as error:
            raise MalformedError("not a namespace", expected="of a-z 0-9 . _ -", got=namespace) from error
