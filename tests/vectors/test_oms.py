"""Every bundle of the OMS specification's own vectors, and its schemas held against our parser and our bundles."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from referencing import Registry, Resource

from provenance.encoding import Digest, b64encode
from provenance.errors import MalformedError, VerificationError
from provenance.signature import OmsResource, derive_private_key, oms_payload, pae, parse_oms, sign_oms, verify_oms
from provenance.signature.oms import OmsBundle, parse_oms_key
from tests.paths import vectors

SIGNER = derive_private_key("ecdsa-p256", bytes(48))


def folder(name: str) -> Path:
    return vectors("oms") / "test-vectors" / "v1.0" / name


def read(name: str) -> bytes:
    return (vectors("oms") / "test-vectors" / "v1.0" / f"{name}.bundle.json").read_bytes()


def test_vectors_are_all_there() -> None:
    assert sorted(path.name for path in folder("valid").iterdir()) == [
        "certificate.bundle.json",
        "key.bundle.json",
        "sigstore.bundle.json",
    ]
    assert sorted(path.name for path in folder("invalid").iterdir()) == [
        "empty.bundle.json",
        "missing-envelope.bundle.json",
        "missing-tlog-entries.bundle.json",
        "missing-verification-material.bundle.json",
    ]
    assert [path.name for path in folder("invalid-payload").iterdir()] == ["wrong-predicate.bundle.json"]


@pytest.mark.parametrize(
    ("name", "curve", "not_judged"),
    [
        ("certificate", "P-384", ("certificate chain",)),
        ("sigstore", "P-256", ("certificate chain", "transparency log entries", "timestamps")),
    ],
)
def test_valid_bundles_with_certificates_verify(name: str, curve: str, not_judged: tuple[str, ...]) -> None:
    bundle = parse_oms(read(f"valid/{name}"))
    signer = verify_oms(bundle)
    assert (signer.method, signer.curve, signer.not_judged) == (name, curve, not_judged)
    assert [r.name for r in bundle.statement.files] == ["signme-1", "signme-2"]
    assert "ignore-me" in bundle.statement.ignore_paths
    with pytest.raises(VerificationError, match="leaf certificate"):
        verify_oms(bundle, SIGNER.public)


def test_the_valid_bundle_by_key_verifies() -> None:
    """The vectors hold no public key, but an ECDSA signature gives its key up to a sign, and the hint says which."""
    bundle = parse_oms(read("valid/key"))
    assert (bundle.method, bundle.envelope.signatures[0].keyid) == ("key", "")
    with pytest.raises(VerificationError, match="without its public key"):
        verify_oms(bundle)
    pem = next(pem for pem in recovered_keys(bundle) if hashlib.sha256(pem).hexdigest() == bundle.hint)
    signer = verify_oms(bundle, parse_oms_key(pem))
    assert (signer.method, signer.keyid, signer.curve, signer.not_judged) == ("key", bundle.hint, "P-384", ())
    with pytest.raises(VerificationError, match="another key"):
        verify_oms(bundle, SIGNER.public)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("empty", "not JSON"),
        ("missing-envelope", "lacks a field; expected dsseEnvelope"),
        ("missing-tlog-entries", "lacks a field; expected tlogEntries"),
        ("missing-verification-material", "lacks a field; expected verificationMaterial"),
    ],
)
def test_invalid_bundles_say_what_is_missing(name: str, what: str) -> None:
    with pytest.raises(MalformedError, match=what):
        parse_oms(read(f"invalid/{name}"))


def test_the_wrong_predicate_is_named() -> None:
    what = (
        "predicateType has another value; expected https://model_signing/signature/v1.0; got https://example.com/wrong"
    )
    with pytest.raises(MalformedError, match=what):
        parse_oms(read("invalid-payload/wrong-predicate"))


@pytest.mark.parametrize("name", ["certificate", "key", "sigstore"])
def test_a_changed_payload_or_signature_fails(name: str) -> None:
    value = json.loads(read(f"valid/{name}"))
    bundle = parse_oms(json.dumps(value).encode())
    key = None
    if name == "key":
        key = next(k for k in map(parse_oms_key, recovered_keys(bundle)) if k.keyid == bundle.hint)
    changed = bundle.envelope.payload.replace(b"signme-1", b"signme-3")
    value["dsseEnvelope"]["payload"] = b64encode(changed)
    with pytest.raises(VerificationError, match="does not verify"):
        verify_oms(parse_oms(json.dumps(value).encode()), key)
    value = json.loads(read(f"valid/{name}"))
    signature = bytearray(bundle.envelope.signatures[0].sig)
    for index in range(len(signature)):
        signature[index] ^= 1
        value["dsseEnvelope"]["signatures"][0]["sig"] = b64encode(bytes(signature))
        with pytest.raises((VerificationError, MalformedError)):
            verify_oms(parse_oms(json.dumps(value).encode()), key)
        signature[index] ^= 1


@pytest.mark.parametrize("name", ["certificate", "sigstore"])
def test_a_damaged_certificate_never_passes_for_its_key(name: str) -> None:
    bundle = parse_oms(read(f"valid/{name}"))
    signer = verify_oms(bundle)
    leaf = bundle.certificates[0]
    for index in range(len(leaf)):
        for damaged in (leaf[:index], leaf[:index] + bytes([leaf[index] ^ 1]) + leaf[index + 1 :]):
            try:
                found = verify_oms(replace(bundle, certificates=(damaged, *bundle.certificates[1:])))
            except (MalformedError, VerificationError):
                continue
            assert found.keyid == signer.keyid


# --- recovery of a P-384 key from its signature (SEC 1, 4.1.6), in plain affine arithmetic ---

P = 2**384 - 2**128 - 2**96 + 2**32 - 1
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
B = 0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF
Point = tuple[int, int] | None


def add(a: Point, b: Point) -> Point:
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % P == 0:
        return None
    rise, run = (3 * a[0] * a[0] - 3, 2 * a[1]) if a == b else (b[1] - a[1], b[0] - a[0])
    slope = rise * pow(run, -1, P) % P
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def times(k: int, point: Point) -> Point:
    total: Point = None
    while k:
        total = add(total, point) if k & 1 else total
        point, k = add(point, point), k >> 1
    return total


def recovered_keys(bundle: OmsBundle) -> Iterator[bytes]:
    """PEM of the two P-384 keys for which the bundle's signature verifies."""
    r, s = decode_dss_signature(bundle.envelope.signatures[0].sig)
    message = pae(bundle.envelope.payload_type, bundle.envelope.payload)
    z = int.from_bytes(hashlib.sha384(message).digest(), "big")
    generator = ec.derive_private_key(1, ec.SECP384R1()).public_key().public_numbers()
    y = pow(r**3 - 3 * r + B, (P + 1) // 4, P)
    assert y * y % P == (r**3 - 3 * r + B) % P
    for nonce_y in (y, P - y):
        inner = add(times(s, (r, nonce_y)), times(N - z % N, (generator.x, generator.y)))
        found = times(pow(r, -1, N), inner)
        assert found is not None
        key = ec.EllipticCurvePublicNumbers(*found, ec.SECP384R1()).public_key()
        yield key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


# --- the published schemas, resolved from the vectors alone ---


def validators() -> tuple[Validator, Validator]:
    """Validators of a bundle and of its decoded statement."""
    schemas = {p.name: json.loads(p.read_text()) for p in sorted((vectors("oms") / "schemas" / "v1.0").iterdir())}
    registry: Registry[Any] = Registry().with_resources(
        (schema["$id"], Resource.from_contents(schema)) for schema in schemas.values()
    )
    return (
        Draft202012Validator(schemas["bundle.schema.json"], registry=registry),
        Draft202012Validator(schemas["statement.schema.json"], registry=registry),
    )


BUNDLE_SCHEMA, STATEMENT_SCHEMA = validators()


def schemas_accept(value: Any, statement: Any) -> bool:
    return bool(BUNDLE_SCHEMA.is_valid(value) and STATEMENT_SCHEMA.is_valid(statement))


def statement_of(value: Any) -> Any:
    return json.loads(base64.b64decode(value["dsseEnvelope"]["payload"]))


OUR_FILES = [OmsResource(name, Digest.of(name.encode())) for name in ("a.csv", "b/c.csv", "b/é.csv")]
OURS = {
    "folder": sign_oms(oms_payload("table", OUR_FILES), SIGNER),
    "single file": sign_oms(oms_payload("a.csv", OUR_FILES[:1]), SIGNER),
    "with ignored paths": sign_oms(oms_payload("t", OUR_FILES, ignore_paths=[".provenance"]), SIGNER),
    "with symbolic links": sign_oms(oms_payload("t", OUR_FILES, allow_symlinks=True), SIGNER),
}


@pytest.mark.parametrize("name", OURS)
def test_our_bundles_pass_the_published_schemas(name: str) -> None:
    value = json.loads(OURS[name])
    BUNDLE_SCHEMA.validate(value)
    STATEMENT_SCHEMA.validate(statement_of(value))
    verify_oms(parse_oms(OURS[name]), SIGNER.public)


def test_the_schemas_judge_the_vectors_as_we_do() -> None:
    for name in ("certificate", "key", "sigstore"):
        value = json.loads(read(f"valid/{name}"))
        assert schemas_accept(value, statement_of(value))
    for name in ("missing-envelope", "missing-tlog-entries", "missing-verification-material"):
        assert not BUNDLE_SCHEMA.is_valid(json.loads(read(f"invalid/{name}")))
    wrong = json.loads(read("invalid-payload/wrong-predicate"))
    assert BUNDLE_SCHEMA.is_valid(wrong)
    assert not STATEMENT_SCHEMA.is_valid(statement_of(wrong))


REPLACEMENTS: list[Any] = [None, True, 0, -1.5, "", "x", "A", [], ["x"], [None], {}, {"x": 1}]


def mutations(value: Any) -> Iterator[Any]:
    """Every copy of `value` with one node removed, doubled, renamed or replaced by a value of each type."""
    for path in _paths(value):
        for change in ["remove", "double", "rename", *REPLACEMENTS]:
            root = copy.deepcopy(value)
            node = root
            for part in path[:-1]:
                node = node[part]
            last = path[-1]
            if change == "remove":
                del node[last]
            elif change == "double":
                if isinstance(node, list):
                    node.append(node[last])
                else:
                    node[f"{last}2"] = node[last]
            elif change == "rename":
                if isinstance(node, list):
                    continue
                node[f"{last}2"] = node.pop(last)
            else:
                node[last] = copy.deepcopy(change)
            yield root


def _paths(value: Any, prefix: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in children:
        yield (*prefix, name)
        yield from _paths(child, (*prefix, name))


def parses(value: Any) -> bool:
    try:
        parse_oms(json.dumps(value).encode())
    except MalformedError:
        return False
    return True


@pytest.mark.parametrize("name", ["certificate", "key", "sigstore"])
def test_whatever_we_parse_the_schemas_accept(name: str) -> None:
    """Schema-invalid bundles never parse; the parser may be stricter, never laxer."""
    value = json.loads(read(f"valid/{name}"))
    tried = parsed = 0
    for mutated in mutations(value):
        tried += 1
        if parses(mutated):
            parsed += 1
            assert schemas_accept(mutated, statement_of(mutated)), mutated
    assert tried > 150
    assert parsed > 5


def test_whatever_payload_we_parse_the_schemas_accept() -> None:
    value = json.loads(read("valid/key"))
    parsed = 0
    for statement in mutations(statement_of(value)):
        value["dsseEnvelope"]["payload"] = b64encode(json.dumps(statement).encode())
        if parses(value):
            parsed += 1
            assert schemas_accept(value, statement), statement
    assert parsed > 5
