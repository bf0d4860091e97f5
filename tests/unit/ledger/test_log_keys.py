"""The log's own keys: made, added to, rotated with an overlap, retired; what each change means for who verifies."""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from provenance.errors import ConflictError, MalformedError, NotFoundError, ProvenanceError, SignerError
from provenance.ledger import Ledger
from provenance.ledger.log_keys import MAX_LOG_KEYS, encode_log_keys, parse_log_keys
from provenance.log import (
    Checkpoint,
    LogSigner,
    TlogProof,
    encode_proof,
    parse_note,
    parse_proof,
    parse_vkey,
    sign_checkpoint,
)
from provenance.log.algorithm import ED25519, ML_DSA_44
from provenance.policy import SizeSpan, Status, TrustRoots
from provenance.signers.note import load_note_key, new_note_key
from provenance.verify import Report, encode_bundle, parse_bundle, verify_bundle

ORIGIN = "keys.example/log"


def _made(path: Path, *, post_quantum: bool = True) -> Ledger:
    ledger = Ledger.init(path, origin=ORIGIN, post_quantum=post_quantum)
    ledger.keyring.new("someone", algorithm="ed25519")
    return ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return _made(tmp_path)


def _register(ledger: Ledger, name: str) -> None:
    path = ledger.layout.directory.parent / name
    path.write_text(name)
    ledger.register(path, f"k/{name}", "1", key="someone", origin="https://k.example/", anchor=False)


def _signers(ledger: Ledger) -> list[str]:
    return [line.key_id.hex() for line in parse_note(ledger.log.checkpoint().note).signatures]


def _ids(ledger: Ledger) -> list[str]:
    return [own.key.verifier.key_id.hex() for own in ledger.keyring.log_keys.listed()]


def _log_check(bundle: bytes, trust: TrustRoots) -> tuple[Report, str]:
    report = verify_bundle(bundle, trust)
    return report, next(check.note for check in report.checks if check.id == "log.checkpoint")


def test_a_new_ledger_has_both_keys_as_seeds_in_files_of_its_own(ledger: Ledger) -> None:
    with ledger:
        folder = ledger.layout.keys
        for file, kind in (("log.key", ED25519), ("log-ml-dsa-44.key", ML_DSA_44)):
            path = folder / file
            assert path.stat().st_mode & 0o777 == 0o600
            material = base64.b64decode(path.read_text().split("+", 4)[4])
            assert (material[0], len(material)) == (kind, 33)
            assert load_note_key(path).verifier.type_byte == kind
        assert (folder / "log.json").stat().st_mode & 0o777 == 0o600
        assert [parse_vkey(vkey).type_byte for vkey in ledger.keyring.vkeys] == [ED25519, ML_DSA_44]
        _register(ledger, "a")
        assert _signers(ledger) == _ids(ledger)
        report, note = _log_check(ledger.bundle("k/a"), ledger.trust_roots())
        assert (report.sound, note) == (True, f"signed by {ORIGIN} with Ed25519 and ML-DSA-44")
        assert ledger.fsck().clean


def test_the_second_key_may_be_left_out(tmp_path: Path) -> None:
    with _made(tmp_path, post_quantum=False) as ledger:
        _register(ledger, "a")
        assert len(_signers(ledger)) == len(ledger.keyring.vkeys) == 1
        assert ledger.verify_reference("k/a", ask_chain=False).sound


def test_a_ledger_from_before_goes_on_with_its_key_and_can_add_one(tmp_path: Path) -> None:
    with _made(tmp_path, post_quantum=False) as made:
        _register(made, "a")
        (made.layout.keys / "log.json").unlink()  # as version 0.1 left it
    with Ledger.open(tmp_path) as ledger:
        before, old_trust = ledger.bundle("k/a"), ledger.trust_roots()
        assert old_trust.log_spans == ()
        _register(ledger, "b")
        added = ledger.add_log_key()
        assert (added.key.from_size, len(_signers(ledger))) == (3, 1)
        assert ledger.fsck().clean
        _register(ledger, "c")
        assert _signers(ledger) == _ids(ledger)
        trust = ledger.trust_roots()
        assert trust.log_spans == (SizeSpan(added.vkey, 3),)
        assert verify_bundle(before, trust).sound
        assert verify_bundle(ledger.bundle("k/c"), trust).sound
        assert verify_bundle(ledger.bundle("k/c"), old_trust).sound  # who knows the old key alone goes on
        assert ledger.fsck().clean
        with pytest.raises(ConflictError, match="already"):
            ledger.add_log_key()


def test_a_checkpoint_without_the_second_signature_fails_with_a_clear_word(ledger: Ledger) -> None:
    with ledger:
        _register(ledger, "a")
        trust, evidence = ledger.trust_roots(), parse_bundle(ledger.bundle("k/a"))
        proof = parse_proof(evidence.entries[0].proof)
        note = proof.checkpoint.splitlines(keepends=True)
        bare = encode_proof(TlogProof(proof.index, proof.hashes, b"".join(note[:-1])))
        entry = replace(evidence.entries[0], proof=bare)
        stripped = encode_bundle(replace(evidence, entries=(entry,)))
        report, said = _log_check(stripped, trust)
        assert not report.sound
        assert said == "invalid: checkpoint is not signed by its log with ML-DSA-44"


def test_keys_rotate_with_an_overlap_that_old_proofs_outlive(ledger: Ledger, tmp_path: Path) -> None:
    with ledger:
        _register(ledger, "a")
        before, first_trust, old_ids = ledger.bundle("k/a"), ledger.trust_roots(), _ids(ledger)
        made = ledger.rotate_log_keys()
        assert [own.key.from_size for own in made] == [2, 2]
        with pytest.raises(ConflictError, match="being rotated"):
            ledger.rotate_log_keys()
        _register(ledger, "b")
        assert _signers(ledger) == _ids(ledger)  # two of each type: the overlap
        during, second_trust = ledger.bundle("k/b"), ledger.trust_roots()
        assert verify_bundle(during, first_trust).sound  # who has the old trust roots goes on during the overlap
        for key_id in old_ids:
            assert ledger.retire_log_key(key_id).key.until_size == 2
        _register(ledger, "c")
        assert _signers(ledger) == _ids(ledger)[2:]
        after, trust = ledger.bundle("k/c"), ledger.trust_roots()
        for bundle in (before, during, after):
            assert verify_bundle(bundle, trust).sound
        assert verify_bundle(after, second_trust).sound  # who was given both keys during the overlap goes on
        assert not verify_bundle(after, first_trust).sound
        assert parse_vkey(ledger.keyring.vkey).key_id.hex() == _ids(ledger)[2]
        assert ledger.fsck().clean
        assert ledger.verify_reference("k/c", ask_chain=False).sound
        # Whoever got hold of the old keys signs another history of the size that came after.
        keys = LogSigner(tuple(load_note_key(ledger.layout.keys / name) for name in ("log.key", "log-ml-dsa-44.key")))
        evidence = parse_bundle(after)
        proof = parse_proof(evidence.entries[0].proof)
        head = Checkpoint(ORIGIN, proof.head.size, proof.head.root)
        stolen = encode_proof(TlogProof(proof.index, proof.hashes, sign_checkpoint(head, keys)))
        entry = replace(evidence.entries[0], proof=stolen)
        report, said = _log_check(encode_bundle(replace(evidence, entries=(entry,))), trust)
        assert not report.sound
        assert "does not hold for its size" in said


def test_the_last_key_of_a_type_is_not_retired_nor_one_that_signed_nothing(ledger: Ledger) -> None:
    with ledger:
        _register(ledger, "a")
        for key_id in _ids(ledger):
            with pytest.raises(ConflictError, match="last of its type"):
                ledger.retire_log_key(key_id)
        made = ledger.rotate_log_keys()
        with pytest.raises(ConflictError, match="signed nothing yet"):
            ledger.retire_log_key(made[0].vkey)
        for name in ("00000000", "", ORIGIN):
            with pytest.raises(NotFoundError):
                ledger.retire_log_key(name)
        old = _ids(ledger)[0]
        ledger.retire_log_key(old)
        with pytest.raises(NotFoundError):
            ledger.retire_log_key(old)  # it is out of force


def test_an_empty_log_can_change_its_keys(ledger: Ledger) -> None:
    with ledger:
        old = _ids(ledger)
        made = ledger.rotate_log_keys()
        assert [own.key.from_size for own in made] == [0, 0]
        for key_id in old:
            ledger.retire_log_key(key_id)
        _register(ledger, "a")
        assert _signers(ledger) == _ids(ledger)[2:]
        assert ledger.verify_reference("k/a", ask_chain=False).sound


def test_a_process_that_runs_on_signs_with_the_keys_of_now(ledger: Ledger, tmp_path: Path) -> None:
    """Another ledger object is another process's: it has the old keys in memory when they are retired."""
    with ledger, Ledger.open(tmp_path) as other:
        _register(other, "a")
        old = _ids(ledger)
        ledger.rotate_log_keys()
        _register(other, "b")
        assert len(_signers(other)) == 4
        for key_id in old:
            ledger.retire_log_key(key_id)
        _register(other, "c")
        assert _signers(other) == _ids(ledger)[2:]
        assert other.fsck().clean


def test_keys_change_while_others_register(ledger: Ledger, tmp_path: Path) -> None:
    """No checkpoint is signed by keys that do not hold for its size, whenever the change comes."""
    failures: list[Exception] = []
    seen: dict[int, bytes] = {}

    def register(number: int) -> None:
        try:
            with Ledger.open(tmp_path) as mine:
                for at in range(6):
                    _register(mine, f"n{number}-{at}")
                    row = mine.log.checkpoint()
                    seen[row.size] = mine.bundle(f"k/n{number}-{at}")
        except ProvenanceError as error:
            failures.append(error)

    with ledger:
        threads = [threading.Thread(target=register, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        rotations, rotated_at = 0, 0
        while any(thread.is_alive() for thread in threads) and rotations < 3:
            if ledger.log.size() <= rotated_at:  # a key that has signed nothing yet is not retired
                time.sleep(0.005)
                continue
            old = [own.vkey for own in ledger.keyring.log_keys.listed() if own.is_in_force]
            ledger.rotate_log_keys()
            for vkey in old:
                ledger.retire_log_key(vkey)
            rotations, rotated_at = rotations + 1, ledger.log.size()
        for thread in threads:
            thread.join(60)
        assert failures == []
        trust = ledger.trust_roots()
        assert rotations
        assert len(trust.logs) == 2 + 2 * rotations
        for bundle in seen.values():
            assert verify_bundle(bundle, trust).sound
        assert ledger.fsck().clean


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"{}",
        b'{"format":"urn:provenance-ledger:log-keys:1","keys":[]}',
        b'{"format":"urn:provenance-ledger:log-keys:2","keys":[]}',
        b'{"format":"urn:provenance-ledger:log-keys:1","keys":[{"file":"../x.key","key":"a"}]}',
    ],
)
def test_a_damaged_list_is_said_and_nothing_is_signed(ledger: Ledger, damage: bytes) -> None:
    with ledger:
        _register(ledger, "a")
        (ledger.layout.keys / "log.json").write_bytes(damage)
        with pytest.raises(SignerError, match="damaged"):
            _register(ledger, "b")
        with pytest.raises(SignerError, match="damaged"):
            ledger.fsck()


def test_a_key_file_that_is_gone_or_exchanged_is_said(ledger: Ledger) -> None:
    with ledger:
        path = ledger.layout.keys / "log-ml-dsa-44.key"
        kept = path.read_bytes()
        path.unlink()
        with Ledger.open(ledger.layout.directory) as again, pytest.raises(SignerError, match="missing"):
            _register(again, "a")
        new_note_key(path, ORIGIN, ML_DSA_44)
        with Ledger.open(ledger.layout.directory) as again, pytest.raises(SignerError, match="another key") as told:
            _register(again, "b")
        assert path.read_text().split("+", 4)[4].strip() not in str(told.value)
        path.write_bytes(kept[:-9])
        with Ledger.open(ledger.layout.directory) as again, pytest.raises(SignerError, match="damaged"):
            _register(again, "c")


def test_a_retired_keys_file_may_be_destroyed(ledger: Ledger) -> None:
    with ledger:
        _register(ledger, "a")
        old = _ids(ledger)
        ledger.rotate_log_keys()
        for key_id in old:
            ledger.retire_log_key(key_id)
        for file in ("log.key", "log-ml-dsa-44.key"):
            (ledger.layout.keys / file).unlink()
        _register(ledger, "b")
    with Ledger.open(ledger.layout.directory) as again:
        assert again.verify_reference("k/a", ask_chain=False).sound
        assert again.fsck().clean


def test_the_list_is_read_back_and_every_change_of_it_is_another_or_refused(ledger: Ledger) -> None:
    with ledger:
        _register(ledger, "a")
        old = _ids(ledger)[0]
        ledger.rotate_log_keys()
        ledger.retire_log_key(old)
        keys = ledger.keyring.log_keys.listed()
    data = encode_log_keys(keys)
    assert parse_log_keys(data) == keys
    assert json.loads(data)["keys"][0]["untilSize"] == 1
    for at in range(0, len(data) - 1, 37):
        with pytest.raises(MalformedError):
            parse_log_keys(data[:at])
        changed = bytearray(data)
        changed[at] ^= 1
        try:
            assert parse_log_keys(bytes(changed)) != keys
        except MalformedError:
            continue
    for wrong in (keys[:1], (*keys, keys[1]), ()):
        with pytest.raises(MalformedError):
            parse_log_keys(encode_log_keys(wrong))


def test_a_log_has_so_many_keys_and_no_more(ledger: Ledger) -> None:
    with ledger:
        for _ in range(MAX_LOG_KEYS // 2 - 1):
            old = [own.vkey for own in ledger.keyring.log_keys.listed() if own.is_in_force]
            ledger.rotate_log_keys()
            for vkey in old:
                ledger.retire_log_key(vkey)
        with pytest.raises(ConflictError, match="too many keys"):
            ledger.rotate_log_keys()


def test_verifying_asks_for_the_status_of_every_type(ledger: Ledger) -> None:
    with ledger:
        _register(ledger, "a")
        bundle = ledger.bundle("k/a")
        for vkeys, passed in ((ledger.keyring.vkeys, True), (ledger.keyring.vkeys[:1], True), ((), False)):
            report = verify_bundle(bundle, TrustRoots(logs=vkeys))
            check = next(check for check in report.checks if check.id == "log.checkpoint")
            assert (check.status is Status.PASSED) is passed
