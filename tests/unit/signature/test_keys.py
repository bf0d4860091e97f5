from __future__ import annotations

import base64
import copy
import hashlib
import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.asymmetric import ed25519 as pyca_ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from provenance.errors import LimitError, MalformedError, ProvenanceError, SignerError, VerificationError
from provenance.limits import MAX_KEY_BYTES
from provenance.signature.ecdsa import P256_ORDER
from provenance.signature.keys import (
    ALGORITHMS,
    PrivateKey,
    PublicKey,
    derive_private_key,
    encode_private_key,
    parse_private_key,
    parse_public_key,
)
from tests.unit.signature.keys_for_tests import RFC6979_SCALAR, ed25519, p256

ENTROPY = bytes(range(32))
PASSPHRASE = b"correct horse battery staple"

# RFC 6979, A.2.5: P-256 with SHA-256; message, r, s.
RFC6979 = [
    (
        b"sample",
        0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
        0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
    ),
    (
        b"test",
        0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
        0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083,
    ),
]

# RFC 8032, 7.1: seed, public key, message, signature.
RFC8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
]


def key_of(algorithm: str) -> PrivateKey:
    return p256() if algorithm == "ecdsa-p256" else ed25519()


@pytest.mark.parametrize(("message", "r", "s"), RFC6979)
def test_rfc_6979_nonces_and_the_low_form(message: bytes, r: int, s: int) -> None:
    signature = p256().sign(message)
    assert decode_dss_signature(signature) == (r, min(s, P256_ORDER - s))
    p256().public.verify(signature, message)


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC8032)
def test_rfc_8032_vectors(seed: str, public: str, message: str, signature: str) -> None:
    key = ed25519(bytes.fromhex(seed))
    assert isinstance(key.public._key, pyca_ed25519.Ed25519PublicKey)
    assert key.public._key.public_bytes_raw().hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    key.public.verify(bytes.fromhex(signature), bytes.fromhex(message))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_has_one_signature_for_a_message(algorithm: str) -> None:
    assert key_of(algorithm).sign(b"message") == key_of(algorithm).sign(b"message")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_bit_of_a_signature_counts(algorithm: str) -> None:
    key = key_of(algorithm)
    signature = key.sign(b"message")
    for index in range(len(signature)):
        for bit in range(8):
            mutated = bytearray(signature)
            mutated[index] ^= 1 << bit
            with pytest.raises((VerificationError, MalformedError)):
                key.public.verify(bytes(mutated), b"message")
    for wrong in (b"", signature[:-1], signature + b"\0", signature * 2):
        with pytest.raises((VerificationError, MalformedError)):
            key.public.verify(wrong, b"message")
    with pytest.raises(VerificationError, match=key.public.keyid):
        key.public.verify(signature, b"messagf")


@given(st.integers(1, P256_ORDER - 1), st.binary(max_size=64))
def test_the_high_s_twin_is_refused(scalar: int, message: bytes) -> None:
    key = p256(scalar)
    r, s = decode_dss_signature(key.sign(message))
    assert s <= P256_ORDER // 2
    twin = encode_dss_signature(r, P256_ORDER - s)
    assert isinstance(key.public._key, ec.EllipticCurvePublicKey)
    with pytest.raises(VerificationError, match="low form"):
        key.public.verify(twin, message)


def test_an_ed25519_signature_with_s_plus_order_is_refused() -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    signature = ed25519().sign(b"message")
    s = int.from_bytes(signature[32:], "little") + order
    with pytest.raises(VerificationError):
        ed25519().public.verify(signature[:32] + s.to_bytes(32, "little"), b"message")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_public_key_round_trips_and_names_itself(algorithm: str) -> None:
    public = key_of(algorithm).public
    assert public.algorithm == algorithm
    assert public.keyid == hashlib.sha256(public.pem.encode()).hexdigest()
    again = parse_public_key(public.pem)
    assert again == public
    assert hash(again) == hash(public)
    assert parse_public_key(public.pem.encode()) == public
    assert parse_public_key("\n" + public.pem.replace("\n", "\r\n") + "\n\n") == public
    assert pickle.loads(pickle.dumps(public)) == copy.deepcopy(public) == public
    assert "object at" not in repr(public)


def _pem(key: ec.EllipticCurvePublicKey | ed448.Ed448PublicKey | rsa.RSAPublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_other_kinds_of_public_keys_are_refused() -> None:
    for curve in (ec.SECP384R1(), ec.SECP256K1(), ec.SECP521R1()):
        with pytest.raises(MalformedError, match="unsupported curve; expected P-256"):
            parse_public_key(_pem(ec.derive_private_key(7, curve).public_key()))
    with pytest.raises(MalformedError, match="unsupported kind"):
        parse_public_key(_pem(rsa.RSAPublicNumbers(65537, 2**2047 + 1).public_key()))
    with pytest.raises(MalformedError, match="unsupported kind"):
        parse_public_key(_pem(ed448.Ed448PrivateKey.from_private_bytes(bytes(57)).public_key()))


def test_public_keys_have_one_text() -> None:
    pem = p256().public.pem
    body = "".join(pem.splitlines()[1:-1])
    compressed = ec.derive_private_key(RFC6979_SCALAR, ec.SECP256R1()).public_key()
    point = compressed.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    header = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    other = base64.b64encode(header + point).decode()
    for text in (
        f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n",
        f"-----BEGIN PUBLIC KEY-----\n{other}\n-----END PUBLIC KEY-----\n",
        "Subject: me\n" + pem,
        pem + pem,
        pem + ed25519().public.pem,
    ):
        with pytest.raises(MalformedError, match="public key"):
            parse_public_key(text)


def test_damaged_public_keys_are_refused() -> None:
    pem = p256().public.pem
    for size in range(len(pem) - 1):
        with pytest.raises(MalformedError):
            parse_public_key(pem[:size])
    for index in range(len(pem) - 1):
        for mask in (1, 2, 32, 128):
            mutated = bytearray(pem.encode())
            mutated[index] ^= mask
            try:
                found = parse_public_key(bytes(mutated))
            except MalformedError:
                continue
            assert found != p256().public
            assert found.pem.encode() == bytes(mutated).strip() + b"\n"
    for text in ("", "é", "\ud800", "\0" * 100, "not a key"):
        with pytest.raises(MalformedError):
            parse_public_key(text)
    with pytest.raises(LimitError):
        parse_public_key("A" * (MAX_KEY_BYTES + 1))


def test_ed25519_keys_of_small_order_are_refused() -> None:
    """For such a key, signatures exist that nobody made: R = the identity and s = 0 verify any message."""
    found = _torsion_points()
    assert len(found) == 8
    for x, y in found:
        for sign in {x & 1, 0, 1}:
            for value in {y, y + 2**255 - 19} if y < 19 else {y}:
                raw = (value | sign << 255).to_bytes(32, "little")
                with pytest.raises(MalformedError):
                    parse_public_key(_spki(raw))
    for value in range(2**255 - 19, 2**255):
        with pytest.raises(MalformedError):
            parse_public_key(_spki(value.to_bytes(32, "little")))


def _spki(raw: bytes) -> bytes:
    key = pyca_ed25519.Ed25519PublicKey.from_public_bytes(raw)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _torsion_points() -> set[tuple[int, int]]:
    """The subgroup of order 8 of edwards25519, from the curve equation alone."""
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p
    order = 2**252 + 27742317777372353535851937790883648493

    def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        t = d * a[0] * b[0] * a[1] * b[1] % p
        x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + t, -1, p)
        y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - t, -1, p)
        return x % p, y % p

    def times(k: int, point: tuple[int, int]) -> tuple[int, int]:
        total = (0, 1)
        while k:
            total = add(total, point) if k & 1 else total
            point, k = add(point, point), k >> 1
        return total

    found: set[tuple[int, int]] = set()
    y = 2
    while len(found) < 8:
        square = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
        x = pow(square, (p + 3) // 8, p)
        x = x if x * x % p == square else x * pow(2, (p - 1) // 4, p) % p
        if x * x % p == square:
            torsion = times(order, (x, y))
            found |= {times(k, torsion) for k in range(8)}
        y += 1
    return found


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("passphrase", [None, PASSPHRASE, b"x", "pässwörd".encode(), bytes(range(256)) * 3])
def test_a_private_key_round_trips(algorithm: str, passphrase: bytes | None) -> None:
    key = key_of(algorithm)
    pem = encode_private_key(key, passphrase, entropy=ENTROPY)
    assert (b"ENCRYPTED" in pem) == (passphrase is not None)
    assert parse_private_key(pem, passphrase).public == key.public
    assert load_pem_private_key(pem, passphrase) is not None


def test_encryption_is_scrypt_and_takes_its_randomness_from_the_caller() -> None:
    key = p256()
    pem = encode_private_key(key, PASSPHRASE, entropy=ENTROPY)
    assert pem == encode_private_key(key, PASSPHRASE, entropy=ENTROPY)
    assert pem != encode_private_key(key, PASSPHRASE, entropy=ENTROPY[::-1])
    der = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    scrypt = bytes.fromhex("06092b06010401da47040b")
    assert scrypt + bytes.fromhex("301c0410") + ENTROPY[:16] + bytes.fromhex("02024000020108020105") in der
    with pytest.raises(SignerError, match="salt and IV"):
        encode_private_key(key, PASSPHRASE)


def test_wrong_passphrases_are_told_apart_without_showing_them() -> None:
    locked = encode_private_key(p256(), PASSPHRASE, entropy=ENTROPY)
    plain = encode_private_key(p256())
    cases: list[tuple[bytes, bytes | None, str]] = [
        (locked, b"wrong-secret", "passphrase is wrong"),
        (locked, None, "private key is encrypted"),
        (plain, b"wrong-secret", "not encrypted"),
        (locked, b"", "passphrase is empty"),
        (locked, b"s" * 1024, "passphrase is too long"),
    ]
    for pem, passphrase, what in cases:
        with pytest.raises(SignerError, match=what) as caught:
            parse_private_key(pem, passphrase)
        assert caught.value.hint or "too long" in what
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        _assert_no_secret(caught.value)


def test_a_wrong_passphrase_is_never_taken_for_a_key() -> None:
    """CBC padding passes by chance once in 256 tries: the key that comes out must be refused all the same."""
    locked = _weak_encryption(p256())
    for number in range(600):
        with pytest.raises(SignerError):
            parse_private_key(locked, b"guess %d" % number)


def _weak_encryption(key: PrivateKey) -> bytes:
    return key._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE))


def test_other_private_keys_are_refused() -> None:
    for curve in (ec.SECP384R1(), ec.SECP256K1()):
        pem = ec.derive_private_key(7, curve).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with pytest.raises(SignerError, match="unsupported curve"):
            parse_private_key(pem)
    pem = ed448.Ed448PrivateKey.from_private_bytes(bytes(57)).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    with pytest.raises(SignerError, match="unsupported kind"):
        parse_private_key(pem)
    with pytest.raises(LimitError):
        parse_private_key(b"A" * (MAX_KEY_BYTES + 1))


def test_sec_1_keys_are_read() -> None:
    pem = p256()._key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert parse_private_key(pem).public == p256().public


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_damaged_private_keys_give_signer_errors_without_content(passphrase: bytes | None) -> None:
    pem = encode_private_key(p256(), passphrase, entropy=ENTROPY)
    step = 1 if passphrase is None else 23
    for index in range(0, len(pem), step):
        for damaged in (pem[:index], pem[:index] + bytes([pem[index] ^ 1]) + pem[index + 1 :]):
            try:
                parse_private_key(damaged, passphrase)
            except ProvenanceError as error:
                assert isinstance(error, SignerError)
                _assert_no_secret(error)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_byte_of_the_der_changed_is_a_signer_error_or_another_text(algorithm: str) -> None:
    """Base64 hides most of the DER from a test that changes characters: here the DER itself is changed."""
    key = key_of(algorithm)
    lines = encode_private_key(key).splitlines(keepends=True)
    der = base64.b64decode(b"".join(lines[1:-1]))
    for index in range(len(der)):
        for mask in (1, 2, 16, 128, 255):
            damaged = der[:index] + bytes([der[index] ^ mask]) + der[index + 1 :]
            pem = lines[0] + base64.encodebytes(damaged) + lines[-1]
            try:
                parse_private_key(pem)
            except SignerError as error:
                _assert_no_secret(error)


def _assert_no_secret(error: ProvenanceError) -> None:
    text = "".join(map(repr, (error, str(error), error.args, error.hint, error.got, error.where)))
    body = encode_private_key(p256()).splitlines()[1].decode()
    for secret in (f"{RFC6979_SCALAR:x}", str(RFC6979_SCALAR), body, PASSPHRASE.decode(), "wrong-secret"):
        assert secret not in text


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_private_key_shows_its_public_half_only(algorithm: str) -> None:
    key = key_of(algorithm)
    assert repr(key) == f"PrivateKey({algorithm}, keyid={key.public.keyid})" == str(key)
    assert f"{key}" == repr(key)
    assert not hasattr(key, "__dict__")
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(SignerError, match="not copied or pickled"):
            attempt(key)


def test_seeds_are_used_as_the_standards_say() -> None:
    assert derive_private_key("ecdsa-p256", bytes(48)).public == p256(1).public
    assert derive_private_key("ecdsa-p256", (P256_ORDER - 1).to_bytes(48, "big")).public == p256(1).public
    for algorithm, size in (("ecdsa-p256", 32), ("ecdsa-p256", 0), ("ed25519", 48), ("ed25519", 31)):
        with pytest.raises(SignerError, match="wrong size"):
            derive_private_key(algorithm, bytes(size))  # type: ignore[arg-type]
    with pytest.raises(SignerError, match="not supported"):
        derive_private_key("rsa", bytes(48))  # type: ignore[arg-type]


def test_public_keys_are_frozen() -> None:
    public: PublicKey = p256().public
    with pytest.raises(AttributeError):
        public.pem = ""  # type: ignore[misc]
