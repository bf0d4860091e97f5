"""A witness's own keys: made, added to, rotated and retired, and a list of them that is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from provenance.errors import ConflictError, MalformedError, NotFoundError, SignerError
from provenance.ledger.witness_folder import make_witness, open_witness_folder
from provenance.ledger.witness_keys import MAX_WITNESS_KEYS, WitnessKeys, encode_witness_keys, parse_witness_keys
from provenance.log import Checkpoint, verify_cosignature
from provenance.log.algorithm import ED25519_COSIGNATURE, ML_DSA_44

NAME = "witness.example/w1"
HEAD = Checkpoint("log.example/a", 9, bytes(32))
THEN, NOW = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"


@pytest.fixture
def keys(tmp_path: Path) -> WitnessKeys:
    return make_witness(tmp_path / "w", NAME)


def _ids(keys: WitnessKeys) -> list[str]:
    return [own.verifier.key_id.hex() for own in keys.listed()]


def test_a_new_witness_has_a_seed_of_each_type_and_cosigns_with_both(keys: WitnessKeys, tmp_path: Path) -> None:
    for file in ("witness.key", "witness-ml-dsa-44.key"):
        path = tmp_path / "w" / file
        assert (path.stat().st_mode & 0o777, path.stat().st_size) == (0o600, 32)
    assert [verifier.type_byte for verifier in keys.verifiers] == [ED25519_COSIGNATURE, ML_DSA_44]
    lines = keys.cosign_lines(HEAD, 5)
    assert len(lines) == 2
    for line, verifier in zip(lines, keys.verifiers, strict=True):
        assert verify_cosignature(HEAD, line, verifier).time_s == 5
    with pytest.raises(ConflictError):
        make_witness(tmp_path / "w", NAME)


def test_keys_rotate_with_an_overlap_in_a_witness_that_is_open(keys: WitnessKeys, tmp_path: Path) -> None:
    old = _ids(keys)
    with open_witness_folder(tmp_path / "w") as serving:
        assert len(serving.cosigner.cosign_lines(HEAD, 5)) == 2
        made = keys.rotate(THEN)
        assert [own.from_time for own in made] == [THEN, THEN]
        assert len(serving.cosigner.cosign_lines(HEAD, 5)) == 4
        with pytest.raises(ConflictError, match="being rotated"):
            keys.rotate(THEN)
        for key_id in old:
            assert keys.retire(key_id, NOW).until_time == NOW
            with pytest.raises(NotFoundError):
                keys.retire(key_id, NOW)
        lines = serving.cosigner.cosign_lines(HEAD, 5)
        assert [line.key_id.hex() for line in lines] == _ids(keys)[2:]
    for key_id in _ids(keys)[2:]:
        with pytest.raises(ConflictError, match="last of its type"):
            keys.retire(key_id, NOW)
    for file in ("witness.key", "witness-ml-dsa-44.key"):
        (tmp_path / "w" / file).unlink()  # a retired key's file may be destroyed
    with open_witness_folder(tmp_path / "w") as again:
        assert len(again.cosigner.verifiers) == 2


def test_a_second_key_is_added_once(tmp_path: Path) -> None:
    keys = make_witness(tmp_path / "w", NAME, post_quantum=False)
    assert len(keys.verifiers) == 1
    keys.add_ml_dsa(NOW)
    assert [verifier.type_byte for verifier in keys.verifiers] == [ED25519_COSIGNATURE, ML_DSA_44]
    with pytest.raises(ConflictError, match="already"):
        keys.add_ml_dsa(NOW)


def test_a_name_that_a_key_cannot_have_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match="too long"):
        make_witness(tmp_path / "w", "w" * 256)
    assert list((tmp_path / "w").iterdir()) == []
    assert len(make_witness(tmp_path / "w", "w" * 256, post_quantum=False).verifiers) == 1


def test_a_witness_has_so_many_keys_and_no_more(keys: WitnessKeys) -> None:
    for _ in range(MAX_WITNESS_KEYS // 2 - 1):
        old = [own.vkey for own in keys.listed() if own.is_in_force]
        keys.rotate(THEN)
        for vkey in old:
            keys.retire(vkey, NOW)
    with pytest.raises(ConflictError, match="too many keys"):
        keys.rotate(NOW)


def test_damage_is_said_and_nothing_is_signed(keys: WitnessKeys, tmp_path: Path) -> None:
    path, seed = tmp_path / "w" / "keys.json", tmp_path / "w" / "witness-ml-dsa-44.key"
    good = path.read_bytes()
    for damage in (b"", b"{", b"\xff", b"[" * 100_000, b"{}", good[:-9], good.replace(b"witness.key", b"../x.key")):
        path.write_bytes(damage)
        with pytest.raises(SignerError, match="damaged"):
            keys.cosign_lines(HEAD, 5)
    path.write_bytes(good)
    assert len(keys.cosign_lines(HEAD, 5)) == 2
    seed.write_bytes(b"\x01" * 32)
    with pytest.raises(SignerError, match="another key"), open_witness_folder(tmp_path / "w"):
        raise AssertionError("it was opened")
    seed.write_bytes(b"\x01" * 31)
    with pytest.raises(MalformedError, match="wrong length"), open_witness_folder(tmp_path / "w"):
        raise AssertionError("it was opened")


def test_the_list_is_read_back_and_every_change_of_it_is_another_or_refused(keys: WitnessKeys) -> None:
    old = _ids(keys)
    keys.rotate(THEN)
    keys.retire(old[0], NOW)
    listed = keys.listed()
    data = encode_witness_keys(listed)
    assert parse_witness_keys(data) == listed
    for at in range(0, len(data) - 1, 41):
        with pytest.raises(MalformedError):
            parse_witness_keys(data[:at])
        changed = bytearray(data)
        changed[at] ^= 1
        try:
            assert parse_witness_keys(bytes(changed)) != listed
        except MalformedError:
            continue
    for wrong in (listed[:1], (*listed, listed[1]), ()):
        with pytest.raises(MalformedError):
            parse_witness_keys(encode_witness_keys(wrong))
