"""Pairs: a classical key and an ML-DSA-44 key, and what envelopes they sign owe."""

from __future__ import annotations

import copy
import pickle
import random
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey, MLDSA65PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from provenance.encoding import Digest
from provenance.errors import MalformedError, ProvenanceError, SignerError, VerificationError
from provenance.signature import (
    IN_TOTO_PAYLOAD_TYPE,
    Envelope,
    PrivateKey,
    PublicKey,
    encode_envelope,
    encode_private_key,
    oms_payload,
    pae,
    parse_envelope,
    parse_key_text,
    parse_ml_dsa_key,
    parse_oms,
    parse_private_key,
    parse_private_pair,
    parse_public_key,
    sign_envelope,
    sign_oms,
    verify_envelope,
    verify_oms,
    verify_whole,
    with_ml_dsa,
)
from provenance.signature.ml_dsa import (
    derive_ml_dsa_key,
    encode_ml_dsa_private_key,
    parse_ml_dsa_private_key,
)
from provenance.signature.oms import OmsResource
from tests.unit.signature.keys_for_tests import ed25519, p256, pair

# RFC 9881, appendix C: the seed 00 01 .. 1f.
RFC9881_SEED = bytes(range(32))
RFC9881_BEGINS = "MIIFMjALBglghkgBZQMEAxEDggUhANeytHJUquDbReeTDUqY0sl9jxOX0Xidr6Fw\nJLMW6b7J"
PAIRS = [pair(of=p256()), pair()]


def signed(key: PrivateKey, payload: bytes = b"{}") -> Envelope:
    return sign_envelope(payload, IN_TOTO_PAYLOAD_TYPE, key)


def accepted(data: bytes, key: PublicKey) -> bool:
    try:
        verify_envelope(parse_envelope(data), key)
    except (MalformedError, VerificationError):
        return False
    return True


def test_the_key_of_the_rfcs_seed() -> None:
    key = derive_ml_dsa_key(RFC9881_SEED)
    assert key.public.pem.startswith(f"-----BEGIN PUBLIC KEY-----\n{RFC9881_BEGINS}")
    assert key.public.keyid == Digest.of(key.public.pem.encode()).hex
    assert parse_ml_dsa_key(key.public.pem) == key.public
    theirs = load_pem_public_key(key.public.pem.encode())
    assert isinstance(theirs, MLDSA44PublicKey)
    theirs.verify(key.sign(b"message"), b"message")


@pytest.mark.parametrize("key", PAIRS, ids=["p256", "ed25519"])
def test_both_sign_the_same_bytes_and_a_library_alone_verifies_them(key: PrivateKey) -> None:
    envelope = signed(key)
    assert parse_envelope(encode_envelope(envelope)) == envelope
    verify_envelope(envelope, key.public)
    verify_whole(envelope, key.public)
    beside = key.public.ml_dsa
    assert beside is not None
    assert [one.keyid for one in envelope.signatures] == [key.public.keyid, beside.keyid]
    theirs = load_pem_public_key(beside.pem.encode())
    assert isinstance(theirs, MLDSA44PublicKey)
    theirs.verify(envelope.signatures[1].sig, pae(IN_TOTO_PAYLOAD_TYPE, b"{}"))


@pytest.mark.parametrize("key", PAIRS, ids=["p256", "ed25519"])
def test_every_changed_byte_is_refused(key: PrivateKey) -> None:
    data, chance = encode_envelope(signed(key)), random.Random(7)
    assert accepted(data, key.public)
    for index in range(len(data)):
        head, tail = data[:index], data[index + 1 :]
        for changed in (bytes([data[index] ^ 1 << chance.randrange(8)]), b"", b"A" + data[index : index + 1]):
            assert not accepted(head + changed + tail, key.public), (index, changed)


def test_a_signature_that_was_taken_away_is_missed() -> None:
    key = PAIRS[0]
    envelope = signed(key)
    classical, quantum = envelope.signatures
    for kept, what in (
        ((classical,), "lacks the ML-DSA-44 signature"),
        ((quantum,), "another key"),
        ((quantum, classical), "another key"),
        ((classical, classical), "second signature is by another key"),
        ((classical, replace(quantum, keyid="a" * 64)), "second signature is by another key"),
        ((classical, replace(quantum, sig=signed(key, b"[]").signatures[1].sig)), "does not verify"),
        ((signed(key, b"[]").signatures[0], quantum), "does not verify"),
    ):
        with pytest.raises(VerificationError, match=what):
            verify_envelope(replace(envelope, signatures=kept), key.public)


def test_another_ml_dsa_key_does_not_stand_in() -> None:
    mine, other = pair(1), pair(2)
    assert mine.public.keyid == other.public.keyid
    assert mine.public != other.public
    with pytest.raises(VerificationError, match="second signature is by another key"):
        verify_envelope(signed(other), mine.public)
    assert mine.public.ml_dsa is not None
    classical, quantum = signed(other).signatures
    renamed = replace(signed(other), signatures=(classical, replace(quantum, keyid=mine.public.ml_dsa.keyid)))
    with pytest.raises(VerificationError, match="ML-DSA-44 signature does not verify"):
        verify_envelope(renamed, mine.public)


def test_who_knows_the_classical_key_alone_judges_by_it_and_keeps_nothing_it_cannot_judge() -> None:
    envelope, alone = signed(pair()), ed25519().public
    assert pair().public.alone == alone
    verify_envelope(envelope, alone)
    with pytest.raises(VerificationError, match="a key that is not known"):
        verify_whole(envelope, alone)
    junk = replace(envelope.signatures[1], sig=bytes(2_420))
    verify_envelope(replace(envelope, signatures=(envelope.signatures[0], junk)), alone)
    with pytest.raises(VerificationError):
        verify_envelope(signed(ed25519()), pair().public)


def test_a_signer_that_has_no_second_key_signs_nothing_for_a_pair() -> None:
    class Half:
        public = pair().public

        def sign(self, message: bytes) -> bytes:
            return ed25519().sign(message)

    class Liar(Half):
        def sign_ml_dsa(self, message: bytes) -> bytes:
            return pair(3).sign_ml_dsa(message)

    with pytest.raises(SignerError, match="no ML-DSA-44 key"):
        sign_envelope(b"{}", IN_TOTO_PAYLOAD_TYPE, Half())
    with pytest.raises(VerificationError, match="does not verify"):
        sign_envelope(b"{}", IN_TOTO_PAYLOAD_TYPE, Liar())
    with pytest.raises(SignerError):
        ed25519().sign_ml_dsa(b"")


def test_an_oms_bundle_of_a_pair_has_the_one_signature_that_the_format_allows() -> None:
    key = PAIRS[0]
    payload = oms_payload("a", [OmsResource("a", Digest.of(b"a"))])
    bundle = sign_oms(payload, key)
    assert bundle == sign_oms(payload, p256())
    assert verify_oms(parse_oms(bundle), key.public).not_judged == ()


def test_key_texts() -> None:
    for key in (*PAIRS, p256(), ed25519()):
        text = key.public.text
        assert parse_key_text(text) == parse_key_text(text.replace("\n", "\r\n")) == key.public
        assert pickle.loads(pickle.dumps(key.public)) == copy.deepcopy(key.public) == key.public
        assert key.public.algorithms[0] == key.public.algorithm
    key = pair()
    assert key.public.ml_dsa is not None
    classical, beside = key.public.pem, key.public.ml_dsa.pem
    wrong = MLDSA65PrivateKey.from_seed_bytes(bytes(32)).public_key()
    other = wrong.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for text in (beside, beside + classical, classical + classical, key.public.text + beside, classical + other,
                 classical + beside[:-40], classical + beside + "x", classical + "x\n" + beside):  # fmt: skip
        with pytest.raises(MalformedError):
            parse_key_text(text)
    for text in (beside, key.public.text):
        with pytest.raises(MalformedError):
            parse_public_key(text)
    for text in (classical, other, beside + beside, beside.replace("\n", "", 2)):
        with pytest.raises(MalformedError):
            parse_ml_dsa_key(text)


@pytest.mark.parametrize("passphrase", [None, b"open sesame"])
def test_private_texts(passphrase: bytes | None) -> None:
    key, entropy = pair(), b"" if passphrase is None else bytes(32)
    assert key.ml_dsa is not None
    first = encode_private_key(key, passphrase, entropy=entropy)
    second = encode_ml_dsa_private_key(key.ml_dsa, passphrase, entropy=entropy[:16] + b"x" * len(entropy[16:]))
    assert isinstance(load_pem_private_key(second, passphrase), MLDSA44PrivateKey)
    assert parse_private_pair(first + second, passphrase).public == key.public
    assert parse_private_pair(first, passphrase).public == key.public.alone
    for text in (second, second + first, first + first, first + second + second[:60]):
        with pytest.raises(SignerError):
            parse_private_pair(text, passphrase)
    with pytest.raises(SignerError):
        parse_private_pair(first + second, b"wrong")
    with pytest.raises(SignerError):
        parse_ml_dsa_private_key(encode_private_key(ed25519()))
    with pytest.raises(SignerError):
        parse_private_key(second, passphrase)


def test_secrets_stay_where_they_are() -> None:
    key = with_ml_dsa(ed25519(), b"secret seed".ljust(32, b"!"))
    assert key.ml_dsa is not None
    secret = encode_ml_dsa_private_key(key.ml_dsa).splitlines()[1].decode()
    assert "secret" not in repr(key) + repr(key.ml_dsa) + repr(key.public)
    assert secret not in repr(key) + repr(key.ml_dsa)
    for one in (key, key.ml_dsa):
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(ProvenanceError):
                attempt(one)
    with pytest.raises(SignerError, match="got 31 bytes") as caught:
        with_ml_dsa(ed25519(), b"s" * 31)
    assert "sss" not in str(caught.value)
    expected = MLDSA44PrivateKey.from_seed_bytes(b"secret seed".ljust(32, b"!"))
    assert encode_ml_dsa_private_key(key.ml_dsa) == expected.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
