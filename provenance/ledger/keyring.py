"""A ledger's keys and what it trusts.

Invariants: private keys stay in the key store; `trust.json` lists whose public keys count, and a key made here is
trusted here unless that is refused; a key is trusted under one name, which nothing changes silently; the log's own
first keys and the chain account are made once, by `init`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path

from provenance.errors import (
    ConflictError,
    MalformedError,
    NotFoundError,
    PolicyError,
    ProvenanceError,
    SignerError,
    StoreError,
)
from provenance.ledger.layout import Layout, exists, read_bounded, write_private
from provenance.ledger.lock import editing_lock
from provenance.ledger.log_keys import LogKeys
from provenance.limits import MAX_TRUST_BYTES
from provenance.log import CheckpointSigner, encode_vkey
from provenance.policy import TrustedSource, TrustRoots, encode_trust, parse_trust
from provenance.policy.trust import revoked_source
from provenance.signature import (
    ALGORITHMS,
    Algorithm,
    PublicKey,
    Signer,
    parse_key_text,
    parse_private_pair,
)
from provenance.signers import KeyStore, StoredKey, open_key_store
from provenance.statement import DatasetName
from provenance.statement.frame import check_time
from provenance.statement.key_event import KeyReason

DEFAULT_ALGORITHM: Algorithm = "ecdsa-p256"
_KEYID_PREFIX = re.compile(r"[0-9a-f]{8,64}")


class Keyring:
    """The keys and trust of the ledger at `layout`."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._store: KeyStore = open_key_store(layout.keys)
        self.log_keys = LogKeys(layout.keys)

    @property
    def log_key_path(self) -> Path:
        """The log's first signing key."""
        return self.log_keys.first_path

    @property
    def chain_key_path(self) -> Path:
        """The account that pays for anchors."""
        return self._layout.keys / "chain.key"

    def create_own(self, origin: str, *, post_quantum: bool = True) -> None:
        """Make the log's keys and the chain account, unless they are there: a run of `init` may have been cut off.

        `post_quantum`: an ML-DSA-44 key signs beside the Ed25519 one.
        """
        from provenance.signers.ethereum import EthereumKey

        self.log_keys.create(origin, post_quantum=post_quantum)
        if not exists(self.chain_key_path):
            EthereumKey.new(self.chain_key_path)

    def note_signer(self) -> CheckpointSigner:
        """The log's signer: all of its keys that are in force whenever it signs."""
        return self.log_keys.signer()

    @property
    def vkey(self) -> str:
        """The log's verifier key of type Ed25519, the newest one in force, for others' trust roots."""
        return self.vkeys[0]

    @property
    def vkeys(self) -> tuple[str, ...]:
        """All verifier keys of the log that are in force, `vkey` first."""
        return tuple(encode_vkey(verifier) for verifier in self.log_keys.verifiers)

    def new(
        self,
        name: str,
        *,
        algorithm: str = DEFAULT_ALGORITHM,
        passphrase: bytes | None = None,
        trust: bool = True,
        namespaces: tuple[str, ...] = (),
        post_quantum: bool = False,
    ) -> PublicKey:
        """Make a source key; trusted in this ledger unless `trust` is False.

        `post_quantum`: an ML-DSA-44 key beside it, which signs whatever it signs, too. It cannot be added later: what
        was signed before would lack it.
        """
        if algorithm not in ALGORITHMS:
            raise SignerError("unknown key algorithm", expected=" | ".join(ALGORITHMS), got=algorithm)
        check_namespaces(namespaces)  # first: no key is left behind by a call that fails
        key = self._store.new(name, algorithm, passphrase, post_quantum=post_quantum)
        if trust:
            self._trust_new(name, key, namespaces)
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
        """Take over a private key from PKCS#8 PEM; trusted in this ledger unless `trust` is False.

        Nothing is kept if it is to be trusted and cannot be: it is revoked here, or trusted under another name.
        """
        check_namespaces(namespaces)
        if trust:
            _check_listing(self.trust(), name, parse_private_pair(pem, passphrase).public)
        key = self._store.import_pem(name, pem, passphrase)
        if trust:
            self._trust_new(name, key, namespaces)
        return key

    def _trust_new(self, name: str, key: PublicKey, namespaces: tuple[str, ...]) -> None:
        """Trust a key that was made a moment ago. Where that fails it is taken back, so that it can be made again."""
        was_listed = True
        try:
            was_listed = self.trust().source(key.keyid) is not None
            self.trust_key(name, key, namespaces=namespaces)
        except BaseException:
            with suppress(ProvenanceError):
                self._store.discard(name)
            if not was_listed:
                with suppress(ProvenanceError), self.editing_trust():
                    trust = self.trust()
                    kept = tuple(source for source in trust.sources if source.key.keyid != key.keyid)
                    if kept != trust.sources:
                        self.write_trust(replace(trust, sources=kept))
            raise

    def list(self) -> tuple[StoredKey, ...]:
        """The source keys held here, by name."""
        return self._store.list()

    def show(self, name: str) -> StoredKey:
        """One source key held here, without its secret."""
        return self._store.show(name)

    def signer(self, name: str | None, passphrase: bytes | None = None) -> Signer:
        """The signer called `name`; without a name, the only key there is.

        `SignerError` also if it lacks the ML-DSA-44 key that this ledger lists beside it: nothing it signs would count.
        """
        if name is None:
            keys = self._store.list()
            if len(keys) != 1:
                got = ", ".join(key.name for key in keys) or "none"
                hint = "name one with --key" if keys else "make one with `provenance keys new NAME`"
                raise SignerError("cannot choose a signing key", expected="exactly one key", got=got, hint=hint)
            name = keys[0].name
        signer = self._store.load(name, passphrase)
        listed, own = self.trust().source(signer.public.keyid), signer.public.ml_dsa
        owed = listed.key.ml_dsa if listed is not None else None
        if owed is not None and own != owed:
            raise SignerError(
                "key lacks the ML-DSA-44 key that it is trusted with here",
                expected=owed.keyid,
                got=own.keyid if own is not None else "none",
                where=name,
                hint="bring the key's file from where it was made, with both private keys in it",
            )
        return signer

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
        """Trust a source's key, or list it as revoked.

        `MalformedError` for a name or namespace that can be none, `PolicyError` for a key that is revoked here,
        `ConflictError` for one that is listed under another name, or with an ML-DSA-44 key that `key` lacks.
        """
        if not name or not name.isprintable():
            raise MalformedError("not a name for a key", expected="printable text", got=name)
        check_namespaces(namespaces)
        with self.editing_trust():
            trust = self.trust()
            _check_listing(trust, name, key, revoking=revoked)
            listed = trust.source(key.keyid)
            if revoked and listed is not None:  # with all that is known of it
                key = listed.key
            source = TrustedSource(name, key, revoked=revoked, namespaces=namespaces)
            self.write_trust(trust.with_source(source))
        return source

    def revoke(self, name: str, since: str | None = None, reason: KeyReason | None = None) -> TrustedSource:
        """List a key as revoked; what is revoked already stays so, and can only be revoked from an earlier time.

        `since`, RFC 3339 in UTC: what a final block proves to be older still counts. None: nothing it signed does.
        `reason`: what a key took back that was retired or superseded stays taken back; None is as strict as a theft.

        `name` is what it is trusted as, its key id (8 digits or more of it), or what it is kept under here.
        `MalformedError` if that is said of several keys in force.
        """
        if since is not None:
            check_time(since)
        with self.editing_trust():
            trust = self.trust()
            named = self._trusted_as(trust, name)
            if not named:
                raise NotFoundError("no such trusted key", got=name, hint="`provenance keys list` shows them")
            in_force = [source for source in named if not source.revoked]
            if len(in_force) > 1:
                got = ", ".join(source.key.keyid for source in in_force)
                raise MalformedError("several keys have this name", expected="a key id", got=got)
            revoked = revoked_source((in_force or named)[0], since, reason)
            self.write_trust(trust.with_source(revoked))
        return revoked

    def listed(self, name: str) -> TrustedSource:
        """The listing of one key, in force or revoked, by what `revoke` takes. `NotFoundError`, or `MalformedError` if
        several have this name."""
        named = self._trusted_as(self.trust(), name)
        if not named:
            raise NotFoundError("no such trusted key", got=name, hint="`provenance keys list` shows them")
        if len({source.key.keyid for source in named}) > 1:
            got = ", ".join(source.key.keyid for source in named)
            raise MalformedError("several keys have this name", expected="a key id", got=got)
        return named[0]

    def _trusted_as(self, trust: TrustRoots, name: str) -> tuple[TrustedSource, ...]:
        by_id = set(matching_keyids(name, (source.key.keyid for source in trust.sources)))
        # A whole key id is that key; what may be a name or the beginning of an id is both, and then several are meant.
        keyids = by_id if name in by_id else by_id | {s.key.keyid for s in trust.sources if s.name == name}
        if not keyids:  # last, so that a key file that is damaged does not stop a revocation
            keyids = {stored.public.keyid for stored in self.list() if stored.name == name}
        return tuple(source for source in trust.sources if source.key.keyid in keyids)

    def trust_pem(
        self, name: str, pem: bytes, *, namespaces: tuple[str, ...] = (), revoked: bool = False
    ) -> TrustedSource:
        """As `trust_key`, for PEM text, of a pair both blocks."""
        return self.trust_key(name, parse_key_text(pem), namespaces=namespaces, revoked=revoked)

    def editing_trust(self) -> AbstractContextManager[None]:
        """Held by whoever reads the trust roots and writes them again."""
        return editing_lock(self._layout.directory / "trust.lock")

    def write_trust(self, trust: TrustRoots) -> None:
        """Replace `trust.json`. What could not be read back is never written."""
        data = encode_trust(trust)
        parse_trust(data)
        write_private(self._layout.trust, data)


def matching_keyids(text: str, keyids: Iterable[str]) -> list[str]:
    """Those of `keyids` that begin with `text`; none if it is not 8 digits or more."""
    return [keyid for keyid in keyids if keyid.startswith(text)] if _KEYID_PREFIX.fullmatch(text) else []


def _check_listing(trust: TrustRoots, name: str, key: PublicKey, *, revoking: bool = False) -> None:
    """Raise if a key cannot be listed under `name`, by what is said of it already."""
    known = [source for source in trust.sources if source.key.keyid == key.keyid]
    if not revoking and any(source.revoked for source in known):
        hint = "make a new key: what a revoked one signed is never trusted again"
        raise PolicyError("key is revoked here", expected="a key in force", got=key.keyid, hint=hint)
    names = {source.name for source in known}
    if names and name not in names:
        raise ConflictError(
            "key is trusted already, under another name",
            expected=" | ".join(sorted(names)),
            got=name,
            where=f"key {key.keyid}",
            hint="use that name; or `provenance keys revoke`, which is for ever",
        )
    beside = next((source.key.ml_dsa for source in known if source.key.ml_dsa is not None), None)
    if beside is not None and key.ml_dsa != beside and not revoking:
        raise ConflictError(
            "key is trusted with an ML-DSA-44 key beside it",
            expected=beside.keyid,
            got=key.ml_dsa.keyid if key.ml_dsa is not None else "none",
            where=f"key {key.keyid}",
            hint="its owner's `provenance keys show NAME --pem` prints both",
        )


def check_namespaces(namespaces: tuple[str, ...]) -> None:
    """`MalformedError` for a namespace that no dataset can have."""
    for namespace in namespaces:
        try:
            DatasetName(namespace, "any")
        except MalformedError as error:
            raise MalformedError("not a namespace", expected="of a-z 0-9 . _ -", got=namespace) from error
