"""What `provenance.signers.base` promises, asked of every implementation. A new one is added to `STORES`."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from provenance.errors import ConflictError, MalformedError, ProvenanceError, SignerError
from provenance.signature import (
    ALGORITHMS,
    Algorithm,
    derive_private_key,
    encode_private_key,
    sign_envelope,
    verify_envelope,
    with_ml_dsa,
)
from provenance.signature.ml_dsa import encode_ml_dsa_private_key
from provenance.signers import KeyStore, StoredKey, open_key_store

STORES: dict[str, Callable[[Path], KeyStore]] = {"file": lambda folder: open_key_store(folder / "keys")}
PASSPHRASE = b"open sesame"


@pytest.fixture(params=STORES)
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], KeyStore]:
    return lambda: STORES[request.param](tmp_path)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_a_new_key_is_there_for_another_process(
    reopen: Callable[[], KeyStore], algorithm: Algorithm, passphrase: bytes | None
) -> None:
    public = reopen().new("alice", algorithm, passphrase)
    assert public.algorithm == algorithm
    assert reopen().show("alice") == StoredKey("alice", public, passphrase is not None)
    signer = reopen().load("alice", passphrase)
    assert signer.public == public
    verify_envelope(sign_envelope(b"{}", "text/plain", signer), public)


def test_keys_are_random(reopen: Callable[[], KeyStore]) -> None:
    store = reopen()
    ids = {store.new(f"k{number}", algorithm).keyid for number, algorithm in enumerate(ALGORITHMS * 4)}
    assert len(ids) == 8


def test_list_is_sorted_and_empty_at_first(reopen: Callable[[], KeyStore]) -> None:
    store = reopen()
    assert store.list() == ()
    for name in ("b", "a", "c"):
        store.new(name, "ed25519")
    assert [key.name for key in store.list()] == ["a", "b", "c"]


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_import_keeps_the_key(reopen: Callable[[], KeyStore], passphrase: bytes | None) -> None:
    key = derive_private_key("ecdsa-p256", bytes(48))
    pem = encode_private_key(key, passphrase, entropy=bytes(32))
    assert reopen().import_pem("alice", pem, passphrase) == key.public
    assert reopen().load("alice", passphrase).sign(b"m") == key.sign(b"m")


def test_a_taken_name_is_a_conflict_and_keeps_its_key(reopen: Callable[[], KeyStore]) -> None:
    store = reopen()
    public = store.new("alice", "ecdsa-p256")
    with pytest.raises(ConflictError):
        store.new("alice", "ed25519")
    with pytest.raises(ConflictError):
        store.import_pem("alice", encode_private_key(derive_private_key("ed25519", bytes(32))))
    assert reopen().show("alice").public == public


def test_what_fails_says_so_in_its_own_error(reopen: Callable[[], KeyStore]) -> None:
    store = reopen()
    store.new("locked", "ed25519", PASSPHRASE)
    store.new("plain", "ed25519")
    for attempt, error in (
        (lambda: store.load("absent"), SignerError),
        (lambda: store.show("absent"), SignerError),
        (lambda: store.load("locked"), SignerError),
        (lambda: store.load("locked", b"wrong"), SignerError),
        (lambda: store.load("plain", PASSPHRASE), SignerError),
        (lambda: store.new("x", "ed25519", b""), SignerError),
        (lambda: store.new("x", "rsa"), SignerError),  # type: ignore[arg-type]
        (lambda: store.import_pem("x", b"junk"), SignerError),
        (lambda: store.new("../x", "ed25519"), MalformedError),
    ):
        with pytest.raises(error) as caught:
            attempt()
        shown = repr(vars(caught.value)) + str(caught.value)
        assert PASSPHRASE.decode() not in shown
        assert "wrong" not in shown.replace("passphrase is wrong", "")
    assert [key.name for key in store.list()] == ["locked", "plain"]


def test_a_loaded_signer_keeps_its_secret(reopen: Callable[[], KeyStore]) -> None:
    store = reopen()
    key = derive_private_key("ecdsa-p256", b"secret seed".ljust(48, b"!"))
    pem = encode_private_key(key)
    store.import_pem("alice", pem)
    signer = store.load("alice")
    shown = repr(signer) + str(signer) + repr(store) + repr(store.show("alice"))
    assert pem.splitlines()[1].decode() not in shown
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(ProvenanceError):
            attempt(signer)


def test_a_key_that_nobody_has_been_told_of_is_discarded(reopen: Callable[[], KeyStore]) -> None:
    store = reopen()
    store.new("alice", "ed25519")
    kept = store.new("bob", "ed25519")
    store.discard("alice")
    store.discard("alice")
    assert [(key.name, key.public) for key in reopen().list()] == [("bob", kept)]
    with pytest.raises(SignerError):
        reopen().load("alice")
    store.new("alice", "ed25519")
    with pytest.raises(MalformedError):
        store.discard("../bob")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_a_pair_is_kept_whole(reopen: Callable[[], KeyStore], algorithm: Algorithm, passphrase: bytes | None) -> None:
    public = reopen().new("alice", algorithm, passphrase, post_quantum=True)
    assert public.algorithms == (algorithm, "ml-dsa-44")
    assert reopen().show("alice") == StoredKey("alice", public, passphrase is not None)
    assert [key.public for key in reopen().list()] == [public]
    signer = reopen().load("alice", passphrase)
    assert signer.public == public
    verify_envelope(sign_envelope(b"{}", "text/plain", signer), public)
    for wrong in {None, PASSPHRASE, b"wrong"} - {passphrase}:
        with pytest.raises(SignerError):
            reopen().load("alice", wrong)


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_a_pair_is_imported_whole(reopen: Callable[[], KeyStore], passphrase: bytes | None) -> None:
    key = with_ml_dsa(derive_private_key("ed25519", bytes(32)), b"\x01" * 32)
    assert key.ml_dsa is not None
    entropy = b"" if passphrase is None else bytes(32)
    pem = encode_private_key(key, passphrase, entropy=entropy)
    pem += encode_ml_dsa_private_key(key.ml_dsa, passphrase, entropy=entropy)
    assert reopen().import_pem("alice", pem, passphrase) == key.public
    assert reopen().load("alice", passphrase).public == key.public
