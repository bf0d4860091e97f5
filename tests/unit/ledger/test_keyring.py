"""Keys and trust: what is edited by several at once is not lost, and what is revoked stays so."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from provenance.errors import MalformedError, NotFoundError, PolicyError, SignerError, StoreError
from provenance.ledger import Ledger, layout, lock
from provenance.policy import TrustRoots
from provenance.signature import PublicKey, derive_private_key, encode_private_key
from tests.paths import PROJECT
from tests.unit.verify.forge import key

MAKER = """
import sys
from provenance.ledger import Ledger
with Ledger.open(sys.argv[1]) as ledger:
    for number in range(10):
        ledger.keyring.new(f"k{sys.argv[2]}-{number}", algorithm="ed25519")
"""


def test_keys_made_by_several_processes_are_all_trusted(ledger: Ledger) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", MAKER, str(ledger.layout.directory), str(own)], cwd=PROJECT)
        for own in range(4)
    ]
    assert [process.wait(60) for process in running] == [0] * 4
    held = {stored.name for stored in ledger.keyring.list()}
    trusted = {source.name for source in ledger.keyring.trust().sources}
    assert held == trusted
    assert len(held) == 41


def test_editing_waits_and_not_for_ever(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_FILE_WAIT_S", 0.1)
    with (
        lock.editing_lock(ledger.layout.directory / "trust.lock"),
        pytest.raises(StoreError, match="another process is changing the file"),
    ):
        ledger.keyring.trust_key("x", key(1).public)
    ledger.keyring.trust_key("x", key(1).public)


def test_a_revoked_key_stays_revoked(ledger: Ledger) -> None:
    keyring = ledger.keyring
    keyring.trust_key("x", key(1).public)
    assert keyring.revoke("x").revoked
    assert keyring.revoke(key(1).public.keyid).revoked
    with pytest.raises(PolicyError, match="revoked"):
        keyring.trust_key("again", key(1).public)
    with pytest.raises(PolicyError, match="revoked"):
        keyring.trust_pem("again", key(1).public.pem.encode())
    source = keyring.trust().source(key(1).public.keyid)
    assert source is not None
    assert (source.name, source.revoked) == ("x", True)
    with pytest.raises(NotFoundError):
        keyring.revoke("nobody")


def test_a_name_that_is_another_keys_id_ends_neither_by_mistake(ledger: Ledger) -> None:
    keyring, whole = ledger.keyring, key(1).public.keyid
    keyring.trust_key("victim", key(1).public)
    for number, name in ((2, whole), (3, whole[:12])):
        keyring.trust_key(name, key(number).public)
    with pytest.raises(MalformedError, match="several keys"):
        keyring.revoke(whole[:12])
    assert keyring.revoke(whole).key == key(1).public
    assert not any(source.revoked for source in keyring.trust().sources if source.key != key(1).public)


def test_one_name_for_several_keys_is_no_name_to_revoke_by(ledger: Ledger) -> None:
    for number in (1, 2):
        ledger.keyring.trust_key("twin", key(number).public)
    with pytest.raises(MalformedError, match="several keys"):
        ledger.keyring.revoke("twin")
    ledger.keyring.revoke(key(2).public.keyid)
    assert ledger.keyring.revoke("twin").key == key(1).public


def test_a_key_that_cannot_be_trusted_as_asked_is_not_made(ledger: Ledger) -> None:
    before = {path.name for path in ledger.layout.keys.iterdir()}
    for namespaces in (("",), ("A",), ("a/b",), ("n" * 65,)):
        with pytest.raises(MalformedError):
            ledger.keyring.new("new", namespaces=namespaces)
    with pytest.raises(SignerError):
        ledger.keyring.new("new", algorithm="rsa")
    assert {path.name for path in ledger.layout.keys.iterdir()} == before


@pytest.mark.parametrize("how", ["new", "import"])
def test_a_key_that_could_not_be_trusted_is_not_kept_and_can_be_made_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    pem = encode_private_key(derive_private_key("ed25519", b"\x07" * 32))

    def make() -> PublicKey:
        return ledger.keyring.new("late") if how == "new" else ledger.keyring.import_private("late", pem)

    genuine, calls = layout.sync_folder, []

    def sync(folder: Path) -> None:
        calls.append(folder)
        if len(calls) == 1:  # the new trust roots have their name, and nobody knows whether it lasts
            raise OSError(errno.EIO, "Input/output error")
        genuine(folder)

    before, trusted = ledger.keyring.list(), ledger.keyring.trust()
    monkeypatch.setattr(layout, "sync_folder", sync)
    with pytest.raises(StoreError):
        make()
    assert (ledger.keyring.list(), ledger.keyring.trust()) == (before, trusted)
    key = make()
    assert ledger.keyring.trust().source(key.keyid) is not None
    ledger.keyring.revoke("late")  # one key has the name


def test_a_key_that_was_trusted_before_it_was_imported_stays_so(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = derive_private_key("ed25519", b"\x07" * 32)
    ledger.keyring.trust_key("late", private.public)

    def sync(folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(layout, "sync_folder", sync)
        with pytest.raises(StoreError):
            ledger.keyring.import_private("late", encode_private_key(private))
    assert ledger.keyring.trust().source(private.public.keyid) is not None
    assert [stored.name for stored in ledger.keyring.list()] == ["someone"]
    assert ledger.keyring.import_private("late", encode_private_key(private)) == private.public


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[" * 100_000, b'{"format":"other"}'])
def test_trust_that_cannot_be_read_is_no_trust_at_all(ledger: Ledger, content: bytes) -> None:
    ledger.layout.trust.write_bytes(content)
    with pytest.raises(MalformedError):
        ledger.keyring.trust()
    with pytest.raises(MalformedError):
        ledger.keyring.trust_key("x", key(1).public)
    assert ledger.layout.trust.read_bytes() == content
    ledger.layout.trust.unlink()
    assert ledger.keyring.trust() == TrustRoots()


def test_what_this_ledger_trusts_names_its_own_log_and_anchors(copy: Path) -> None:
    with Ledger.open(copy) as ledger:
        trust = ledger.trust_roots(with_blocks=True)
        assert trust.logs == ledger.keyring.vkeys
        assert len(trust.logs) == 2
        assert trust.anchors == (ledger.contract(),)
        assert len(trust.blocks) == 2
        assert ledger.trust_roots().blocks == ()
        assert len(json.loads(ledger.layout.trust.read_bytes())["sources"]) == 2


def test_a_revocation_can_only_move_back_in_time(ledger: Ledger) -> None:
    keyring = ledger.keyring
    keyring.trust_key("y", key(2).public)
    assert keyring.revoke("y", "2026-05-01T00:00:00Z").since == "2026-05-01T00:00:00Z"
    assert keyring.revoke("y", "2026-06-01T00:00:00Z").since == "2026-05-01T00:00:00Z"
    assert keyring.revoke("y", "2026-04-01T00:00:00Z").since == "2026-04-01T00:00:00Z"
    assert keyring.revoke("y").since is None
    assert keyring.revoke("y", "2026-06-01T00:00:00Z").since is None
    with pytest.raises(MalformedError, match="not a time"):
        keyring.revoke("y", "yesterday")
