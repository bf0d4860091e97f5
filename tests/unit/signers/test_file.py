from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from provenance.errors import MalformedError, SignerError
from provenance.signature.keys import encode_private_key
from provenance.signers import open_key_store
from provenance.signers.file import FileKeyStore
from tests.unit.signature.keys_for_tests import ed25519, p256

PASSPHRASE = b"open sesame"


@pytest.fixture
def store(tmp_path: Path) -> FileKeyStore:
    return FileKeyStore(tmp_path / "keys")


def test_files_are_private_and_hold_both_halves(store: FileKeyStore, tmp_path: Path) -> None:
    public = store.new("alice", "ecdsa-p256")
    path = tmp_path / "keys" / "alice.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["alice.pem"]
    content = path.read_bytes()
    assert content.startswith(public.pem.encode())
    load_pem_public_key(content)
    load_pem_private_key(content, None)


def test_an_encrypted_file_does_not_hold_the_plain_key(store: FileKeyStore, tmp_path: Path) -> None:
    pem = encode_private_key(p256())
    store.import_pem("alice", pem)
    store.new("bob", "ed25519", PASSPHRASE)
    content = (tmp_path / "keys" / "bob.pem").read_bytes()
    assert b"ENCRYPTED PRIVATE KEY" in content
    assert b"-----BEGIN PRIVATE KEY" not in content
    load_pem_private_key(content, PASSPHRASE)


def test_salts_are_fresh(store: FileKeyStore, tmp_path: Path) -> None:
    for name in ("a", "b"):
        pem = encode_private_key(p256(), PASSPHRASE, entropy=bytes(32))
        store.import_pem(name, pem, PASSPHRASE)
    contents = {(tmp_path / "keys" / f"{name}.pem").read_bytes() for name in ("a", "b")}
    assert len(contents) == 2
    assert not any(bytes(32) in content for content in contents)


BAD_NAMES = [
    "",
    ".",
    "..",
    "../alice",
    "a/b",
    "/etc/passwd",
    ".hidden",
    "-x",
    "_x",
    "Alice",
    "é",
    "a b",
    "a\n",
    "a\0",
    "x" * 65,
    "\ud800",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_are_paths_or_worse_are_refused(store: FileKeyStore, tmp_path: Path, name: str) -> None:
    pem = encode_private_key(p256())
    for attempt in (
        lambda: store.new(name, "ed25519"),
        lambda: store.show(name),
        lambda: store.load(name),
        lambda: store.import_pem(name, pem),
    ):
        with pytest.raises(MalformedError, match="key name is not allowed"):
            attempt()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a", "0", "a.b-c_d", "x" * 64, "a..b"])
def test_good_names(store: FileKeyStore, name: str) -> None:
    store.new(name, "ed25519")
    assert [key.name for key in store.list()] == [name]


def test_other_files_in_the_folder_are_no_keys(store: FileKeyStore, tmp_path: Path) -> None:
    store.new("alice", "ed25519")
    folder = tmp_path / "keys"
    (folder / "log.key").write_bytes(b"")
    (folder / ".alice.pem.0123.new").write_bytes(b"")
    (folder / "README").write_bytes(b"")
    (folder / "UPPER.pem").write_bytes(b"")
    assert [key.name for key in store.list()] == ["alice"]


def test_unsafe_files_are_refused_by_every_verb(store: FileKeyStore, tmp_path: Path) -> None:
    store.new("alice", "ed25519")
    path = tmp_path / "keys" / "alice.pem"
    attempts: list[Callable[[], object]] = [lambda: store.show("alice"), lambda: store.load("alice"), store.list]
    path.chmod(0o644)
    for attempt in attempts:
        with pytest.raises(SignerError, match="open to others"):
            attempt()
    path.chmod(0o600)
    path.rename(tmp_path / "elsewhere.pem")
    path.symlink_to(tmp_path / "elsewhere.pem")
    for attempt in attempts:
        with pytest.raises(SignerError, match="symbolic link"):
            attempt()
    path.unlink()
    path.parent.chmod(0o777)
    for attempt in [*attempts, lambda: store.new("bob", "ed25519")]:
        with pytest.raises(SignerError, match="folder is open to others"):
            attempt()


def test_halves_of_different_keys_are_told(store: FileKeyStore, tmp_path: Path) -> None:
    """Else an attacker with write access could have another key trusted under a known name."""
    store.new("alice", "ed25519")
    path = tmp_path / "keys" / "alice.pem"
    content = path.read_bytes().replace(store.show("alice").public.pem.encode(), p256().public.pem.encode())
    path.write_bytes(content)
    assert store.show("alice").public == p256().public
    with pytest.raises(SignerError, match="two halves"):
        store.load("alice")


def test_damaged_files_are_signer_errors_without_content(store: FileKeyStore, tmp_path: Path) -> None:
    store.import_pem("alice", encode_private_key(ed25519()))
    path = tmp_path / "keys" / "alice.pem"
    content = path.read_bytes()
    secret = encode_private_key(ed25519()).splitlines()[1].decode()
    assert secret in content.decode()
    for index in range(len(content)):
        for damaged in (content[:index], content[:index] + bytes([content[index] ^ 1]) + content[index + 1 :]):
            path.write_bytes(damaged)
            with pytest.raises(SignerError) as caught:
                store.load("alice")
            assert secret not in repr(vars(caught.value)) + str(caught.value)
    for extra in (content + b"\n", b"\n" + content, content * 2, content + p256().public.pem.encode()):
        path.write_bytes(extra)
        with pytest.raises(SignerError, match="damaged"):
            store.show("alice")


def test_import_refuses_what_it_cannot_sign_with(store: FileKeyStore, tmp_path: Path) -> None:
    for pem in (b"", b"not a key", p256().public.pem.encode()):
        with pytest.raises(SignerError, match="cannot be read"):
            store.import_pem("alice", pem)
    assert store.list() == ()
    assert not (tmp_path / "keys").exists()


def test_locations_name_key_stores(tmp_path: Path) -> None:
    open_key_store(tmp_path / "keys").new("alice", "ed25519")
    for location in (str(tmp_path / "keys"), f"file:{tmp_path / 'keys'}"):
        assert [key.name for key in open_key_store(location).list()] == ["alice"]
    with pytest.raises(SignerError, match="unknown kind") as caught:
        open_key_store("vault:secret/alice")
    assert caught.value.hint is not None
    assert "provenance.signers" in caught.value.hint


def test_a_pairs_file_is_read_by_others_as_its_classical_key(store: FileKeyStore, tmp_path: Path) -> None:
    public = store.new("alice", "ed25519", PASSPHRASE, post_quantum=True)
    content = (tmp_path / "keys" / "alice.pem").read_bytes()
    assert content.startswith(public.text.encode())
    assert content.count(b"ENCRYPTED PRIVATE KEY-----") == 4
    theirs = load_pem_private_key(content, PASSPHRASE).public_key()
    assert theirs == load_pem_public_key(content) == load_pem_public_key(public.pem.encode())


def test_a_pairs_file_that_lost_a_part_is_damaged(store: FileKeyStore, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    store.new("alice", "ed25519", post_quantum=True)
    store.new("bob", "ed25519", post_quantum=True)
    blocks, other = ((folder / f"{name}.pem").read_text().split("-----BEGIN ")[1:] for name in ("alice", "bob"))
    for kept in ((0, 2), (1, 3), (0, 1, 2), (0, 2, 3), (0, 1, 3), (1, 0, 2, 3), (0, 1, 3, 2), (0, 1, 2, 3, 3)):
        text = "".join(f"-----BEGIN {blocks[number]}" for number in kept)
        (folder / "alice.pem").write_text(text)
        if kept == (0, 2):  # this is the file of another key, which owes nothing
            assert store.load("alice").public.ml_dsa is None
            continue
        with pytest.raises(SignerError):
            store.load("alice")
    for number in range(4):  # one block of another pair
        mixed = [*blocks[:number], other[number], *blocks[number + 1 :]]
        (folder / "alice.pem").write_text("".join(f"-----BEGIN {block}" for block in mixed))
        with pytest.raises(SignerError):
            store.load("alice")
