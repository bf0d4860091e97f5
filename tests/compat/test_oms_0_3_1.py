"""Bundles that model-signing wrote before its format was final."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from provenance.encoding import Digest
from provenance.errors import MalformedError, VerificationError
from provenance.signature import derive_private_key, parse_oms, verify_oms
from provenance.signature.oms import oms_sums, parse_oms_key
from tests.sessions.session import Session

FOLDER = Path(__file__).parent / "oms_0_3_1"
FILES = {"a.txt": b"hi\n", "d/b.txt": b"x\n"}


def test_a_bundle_of_0_3_1_is_read_and_verified() -> None:
    data, key = (FOLDER / "model.sig").read_bytes(), parse_oms_key((FOLDER / "public.pem").read_text())
    bundle = parse_oms(data)
    assert (bundle.method, bundle.hint) == ("key", None)
    assert verify_oms(bundle, key).curve == "P-256"
    assert oms_sums(data, key) == {name: Digest(sha256(text).digest()) for name, text in FILES.items()}
    other = parse_oms_key(derive_private_key("ecdsa-p256", bytes(48)).public.pem)
    with pytest.raises(VerificationError):
        oms_sums(data, other)
    for place in range(0, len(data), 11):
        changed = bytearray(data)
        changed[place] ^= 1
        try:
            assert oms_sums(bytes(changed), key) == oms_sums(data, key)  # a blank, or the key that it holds itself
        except (MalformedError, VerificationError):
            continue


def test_its_digests_can_be_declared(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.run("init")
    session.run("keys", "new", "one")
    for name, text in FILES.items():
        path = session.folder / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    words = ("register", "model", "--name", "m/x", "--no-anchor", "--declared-by", "its maker", "--sums")
    sums, key = str(FOLDER / "model.sig"), str(FOLDER / "public.pem")
    session.run(*words, sums, "--sums-key", key, "--version", "1")
    session.run("verify", "model")
    (session.folder / "other.pem").write_text(derive_private_key("ecdsa-p256", bytes(48)).public.pem)
    refused = session.run(*words, sums, "--sums-key", "other.pem", "--version", "2", code=1)
    assert "signature" in refused.err
    session.run(*words[:-1], "--sums-key", key, "--version", "3", code=2)
