from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from provenance.encoding import canonical_json
from provenance.errors import LimitError, MalformedError, VerificationError
from provenance.limits import MAX_ENTRY_BYTES
from provenance.signature.dsse import (
    IN_TOTO_PAYLOAD_TYPE,
    Envelope,
    Signature,
    encode_envelope,
    pae,
    parse_envelope,
    sign_envelope,
    sign_payload,
    verify_envelope,
)
from provenance.signature.ecdsa import P256_ORDER
from provenance.signature.keys import PrivateKey, PublicKey
from tests.unit.signature.keys_for_tests import ed25519, p256

PAYLOAD = canonical_json({"_type": "https://in-toto.io/Statement/v1", "subject": []})
KEYS = [p256(), ed25519()]


def by_algorithm(key: PrivateKey) -> str:
    return key.public.algorithm


def naive_pae(payload_type: str, payload: bytes) -> bytes:
    """dsse/protocol.md: "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body, LEN in ASCII decimal."""
    parts = [b"DSSEv1", str(len(payload_type.encode())).encode(), payload_type.encode(), str(len(payload)).encode()]
    return b" ".join([*parts, payload])


def test_the_protocols_own_example() -> None:
    """dsse/protocol.md, "Test Vectors": a P-256 key, and a signature as r || s."""
    x = 46950820868899156662930047687818585632848591499744589407958293238635476079160
    y = 5640078356564379163099075877009565129882514886557779369047442380624545832820
    raw = base64.b64decode("A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==")
    message = pae("http://example.com/HelloWorld", b"hello world")
    assert message == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key().verify(signature, message, ec.ECDSA(SHA256()))


@given(st.text(max_size=40), st.binary(max_size=80))
def test_pae_equals_the_protocol(payload_type: str, payload: bytes) -> None:
    assert pae(payload_type, payload) == naive_pae(payload_type, payload)


@given(st.text(max_size=9), st.binary(max_size=9), st.text(max_size=9), st.binary(max_size=9))
def test_pae_has_no_collisions(type_a: str, a: bytes, type_b: str, b: bytes) -> None:
    assert (pae(type_a, a) == pae(type_b, b)) == ((type_a, a) == (type_b, b))


@pytest.mark.parametrize("key", KEYS, ids=by_algorithm)
def test_round_trip(key: PrivateKey) -> None:
    envelope = sign_envelope(PAYLOAD, IN_TOTO_PAYLOAD_TYPE, key)
    data = encode_envelope(envelope)
    assert json.loads(data) == {
        "payload": base64.b64encode(PAYLOAD).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"keyid": key.public.keyid, "sig": base64.b64encode(envelope.signatures[0].sig).decode()}],
    }
    parsed = parse_envelope(data)
    assert parsed == envelope
    verify_envelope(parsed, key.public)
    assert encode_envelope(sign_envelope(PAYLOAD, IN_TOTO_PAYLOAD_TYPE, key)) == data


@given(st.binary(min_size=1, max_size=300), st.from_regex(r"\A[!-~]{1,128}\Z"))
def test_any_payload_round_trips(payload: bytes, payload_type: str) -> None:
    envelope = sign_envelope(payload, payload_type, KEYS[1])
    assert parse_envelope(encode_envelope(envelope)) == envelope


def accepted(data: bytes, key: PublicKey) -> bool:
    try:
        verify_envelope(parse_envelope(data), key)
    except (MalformedError, VerificationError):
        return False
    return True


@pytest.mark.parametrize("key", KEYS, ids=by_algorithm)
def test_every_changed_bit_and_byte_is_refused(key: PrivateKey) -> None:
    data = encode_envelope(sign_envelope(b"{}", IN_TOTO_PAYLOAD_TYPE, key))
    assert accepted(data, key.public)
    for index in range(len(data)):
        head, tail = data[:index], data[index + 1 :]
        for bit in range(8):
            assert not accepted(head + bytes([data[index] ^ (1 << bit)]) + tail, key.public), (index, bit)
        assert not accepted(head + tail, key.public)
        for extra in (b" ", b"\n", b"A", b'"', b"\0", data[index : index + 1]):
            assert not accepted(head + extra + data[index:], key.public)
        assert not accepted(head, key.public)
    for tail in (b"\n", b" ", b"\0", b"{}", data):
        assert not accepted(data + tail, key.public)


def as_json(**changes: object) -> bytes:
    value = json.loads(encode_envelope(sign_envelope(PAYLOAD, IN_TOTO_PAYLOAD_TYPE, p256())))
    return canonical_json({name: item for name, item in {**value, **changes}.items() if item is not ...})


SIGNATURE = json.loads(as_json())["signatures"][0]
LONG = base64.b64encode(bytes(2_420)).decode()
REFUSED: dict[str, tuple[bytes, str]] = {
    "no signature": (as_json(signatures=[]), "is not signed"),
    "two signatures": (as_json(signatures=[SIGNATURE] * 2), "second signature is not of ML-DSA-44"),
    "two signatures of one key": (as_json(signatures=[SIGNATURE, {**SIGNATURE, "sig": LONG}]), "not of ML-DSA-44"),
    "the second one first": (as_json(signatures=[{"keyid": "b" * 64, "sig": LONG}, SIGNATURE]), "too large"),
    "a second one too long": (as_json(signatures=[SIGNATURE, {"keyid": "b" * 64, "sig": LONG + "AAAA"}]), "too large"),
    "a second one without keyid": (as_json(signatures=[SIGNATURE, {"keyid": "", "sig": LONG}]), "keyid"),
    "three signatures": (as_json(signatures=[SIGNATURE, *({"keyid": c * 64, "sig": LONG} for c in "bc")]), "at most 2"),
    "signatures is an object": (as_json(signatures={}), "wrong type"),
    "signature is a string": (as_json(signatures=["x"]), "not an object"),
    "no keyid": (as_json(signatures=[{"sig": SIGNATURE["sig"]}]), "keyid"),
    "null keyid": (as_json(signatures=[{**SIGNATURE, "keyid": None}]), "keyid"),
    "empty keyid": (as_json(signatures=[{**SIGNATURE, "keyid": ""}]), "keyid"),
    "keyid in capitals": (as_json(signatures=[{**SIGNATURE, "keyid": "A" * 64}]), "64 lower-case hex"),
    "keyid too long": (as_json(signatures=[{**SIGNATURE, "keyid": "a" * 65}]), "too large"),
    "extra field in signature": (as_json(signatures=[{**SIGNATURE, "cert": "x"}]), "unknown field"),
    "extra field": (as_json(extra=1), "unknown field"),
    "no payload": (as_json(payload=...), "payload"),
    "payload is null": (as_json(payload=None), "not base64"),
    "payload is a number": (as_json(payload=1), "not base64"),
    "empty payload": (as_json(payload=""), "payload is empty"),
    "url-safe base64": (as_json(payload="_-8="), "not base64"),
    "base64 without padding": (as_json(payload="e30"), "base64"),
    "base64 with spare bits": (as_json(payload="e31="), "canonical base64"),
    "base64 with a newline": (as_json(payload="e30=\n"), "base64"),
    "empty signature": (as_json(signatures=[{**SIGNATURE, "sig": ""}]), "signature is empty"),
    "huge signature": (as_json(signatures=[{**SIGNATURE, "sig": "AAAA" * 49}]), "too large"),
    "empty payload type": (as_json(payloadType=""), "payloadType"),
    "payload type with a space": (as_json(payloadType="a b"), "media type"),
    "payload type beyond ASCII": (as_json(payloadType="é"), "media type"),
    "payload type too long": (as_json(payloadType="a" * 129), "too large"),
    "spaces": (json.dumps(json.loads(as_json())).encode(), "one byte form"),
    "other order": (
        b'{"signatures":' + canonical_json([SIGNATURE]) + b',"payload":"e30=","payloadType":"x"}',
        "one byte form",
    ),
    "escaped letter": (as_json().replace(b"application", b"\\u0061pplication"), "one byte form"),
    "duplicate name": (as_json().replace(b'{"payload":', b'{"payload":"e30=","payload":', 1), "twice"),
    "byte order mark": (b"\xef\xbb\xbf" + as_json(), "JSON"),
    "not UTF-8": (as_json().replace(b"application", b"\xff"), "UTF-8"),
    "UTF-16": (as_json().decode().encode("utf-16"), "UTF-8"),
    "a list": (b"[]", "object"),
    "null": (b"null", "object"),
    "nothing": (b"", "JSON"),
    "deep nesting": (b"[" * 5000 + b"]" * 5000, "deeply"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_malformed_envelopes_say_what_is_wrong(case: str) -> None:
    data, what = REFUSED[case]
    with pytest.raises(MalformedError, match=what):
        parse_envelope(data)


def test_another_key_is_named() -> None:
    envelope = sign_envelope(PAYLOAD, IN_TOTO_PAYLOAD_TYPE, p256())
    other = p256(5).public
    with pytest.raises(VerificationError, match=f"expected {other.keyid}; got {p256().public.keyid}"):
        verify_envelope(envelope, other)
    renamed = Envelope(envelope.payload, envelope.payload_type, (Signature(other.keyid, envelope.signatures[0].sig),))
    with pytest.raises(VerificationError, match="does not verify"):
        verify_envelope(renamed, other)


def test_no_signature_and_more_than_a_pairs_are_refused() -> None:
    envelope = sign_envelope(PAYLOAD, IN_TOTO_PAYLOAD_TYPE, p256())
    for signatures in ((), envelope.signatures * 3):
        with pytest.raises(MalformedError, match="one or two"):
            verify_envelope(Envelope(envelope.payload, envelope.payload_type, signatures), p256().public)


def test_the_payload_type_is_signed() -> None:
    envelope = sign_envelope(PAYLOAD, IN_TOTO_PAYLOAD_TYPE, p256())
    with pytest.raises(VerificationError):
        verify_envelope(Envelope(envelope.payload, "application/json", envelope.signatures), p256().public)


def test_the_high_s_twin_is_not_a_second_envelope() -> None:
    envelope = sign_envelope(PAYLOAD, IN_TOTO_PAYLOAD_TYPE, p256())
    r, s = decode_dss_signature(envelope.signatures[0].sig)
    twin = Signature(p256().public.keyid, encode_dss_signature(r, P256_ORDER - s))
    data = encode_envelope(Envelope(PAYLOAD, IN_TOTO_PAYLOAD_TYPE, (twin,)))
    with pytest.raises(VerificationError, match="low form"):
        verify_envelope(parse_envelope(data), p256().public)


def test_the_limit_is_a_log_entry() -> None:
    overhead = len(encode_envelope(sign_envelope(b"x" * 3, "t", ed25519()))) - 4
    fits = (MAX_ENTRY_BYTES - overhead) // 4 * 3
    envelope = sign_envelope(b"x" * fits, "t", ed25519())
    data = encode_envelope(envelope)
    assert MAX_ENTRY_BYTES - 4 < len(data) <= MAX_ENTRY_BYTES
    assert parse_envelope(data) == envelope
    with pytest.raises(LimitError, match="65535"):
        sign_envelope(b"x" * (fits + 1), "t", ed25519())
    verify_envelope(sign_payload(b"x" * (fits + 1), "t", ed25519()), ed25519().public)
    with pytest.raises(LimitError):
        parse_envelope(b" " * (MAX_ENTRY_BYTES + 1))


@pytest.mark.parametrize(("payload", "payload_type"), [(b"", "t"), (b"x", ""), (b"x", "a b"), (b"x", "a" * 129)])
def test_what_could_not_be_parsed_is_not_signed(payload: bytes, payload_type: str) -> None:
    with pytest.raises(MalformedError):
        sign_envelope(payload, payload_type, p256())


class LyingSigner:
    """Claims one key and signs with another."""

    public = p256().public

    def sign(self, message: bytes) -> bytes:
        return p256(5).sign(message)


def test_a_signer_that_lies_is_caught_before_its_envelope_gets_out() -> None:
    with pytest.raises(VerificationError):
        sign_envelope(PAYLOAD, IN_TOTO_PAYLOAD_TYPE, LyingSigner())
