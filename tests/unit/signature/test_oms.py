from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from provenance.encoding import Digest, b64encode, canonical_json
from provenance.errors import LimitError, MalformedError, SignerError, VerificationError
from provenance.signature.ecdsa import P256_ORDER
from provenance.signature.oms import (
    OmsResource,
    oms_payload,
    oms_subject_digest,
    parse_oms,
    parse_oms_key,
    parse_oms_payload,
    sign_oms,
    verify_oms,
    verify_oms_statement,
)
from tests.unit.signature.keys_for_tests import ed25519, p256

FILES = [OmsResource("a.csv", Digest.of(b"a")), OmsResource("b/c.csv", Digest.of(b"c"))]
PAYLOAD = oms_payload("table", FILES)
BUNDLE = sign_oms(PAYLOAD, p256())


def changed_payload(path: str, value: object) -> bytes:
    """`PAYLOAD` with the value at the dotted path replaced, or removed if it is `...`."""
    return canonical_json(_changed(json.loads(PAYLOAD), path, value))


def changed_bundle(path: str, value: object) -> bytes:
    return canonical_json(_changed(json.loads(BUNDLE), path, value))


def _changed(root: Any, path: str, value: object) -> Any:
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    node = root
    for part in parents:
        node = node[part]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return root


def test_the_payload_is_what_oms_v1_prescribes() -> None:
    root = hashlib.sha256(hashlib.sha256(b"a").digest() + hashlib.sha256(b"c").digest()).hexdigest()
    assert json.loads(PAYLOAD) == {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "resources": [
                {"algorithm": "sha256", "digest": hashlib.sha256(b"a").hexdigest(), "name": "a.csv"},
                {"algorithm": "sha256", "digest": hashlib.sha256(b"c").hexdigest(), "name": "b/c.csv"},
            ],
            "serialization": {
                "allow_symlinks": False,
                "hash_type": "sha256",
                "ignore_paths": [".git", ".gitattributes", ".github", ".gitignore"],
                "method": "files",
            },
        },
        "subject": [{"digest": {"sha256": root}, "name": "table"}],
    }


def test_the_order_given_does_not_matter_and_code_points_decide() -> None:
    names = ["b", "a/z", "a-z", "a", "é", "\U0001f600", "\uffee", "A"]
    files = [OmsResource(name, Digest.of(name.encode())) for name in names]
    payload = oms_payload("d", files)
    assert payload == oms_payload("d", reversed(files))
    listed = [r.name for r in parse_oms_payload(payload).resources]
    assert listed == sorted(names, key=lambda name: name.encode("utf-8"))


def test_what_oms_excludes_is_not_listed() -> None:
    names = [".git/config", ".gitattributes", ".github/ci.yml", ".gitignore", "out/x", "output", "sub/.git", ".gitx"]
    files = [OmsResource(name, Digest.of(b"")) for name in names]
    statement = parse_oms_payload(oms_payload("d", files, ignore_paths=["out"], allow_symlinks=True))
    assert [r.name for r in statement.resources] == [".gitx", "output", "sub/.git"]
    assert statement.ignore_paths == (".git", ".gitattributes", ".github", ".gitignore", "out")
    assert statement.allow_symlinks
    with pytest.raises(SignerError, match="no file that OMS can list"):
        oms_payload("d", files[:4])
    with pytest.raises(SignerError, match="no file that OMS can list"):
        oms_payload("d", [])


def test_a_single_file_bears_its_own_name_either_way() -> None:
    ours = parse_oms_payload(oms_payload("a.csv", [OmsResource("a.csv", Digest.of(b"a"))]))
    theirs = parse_oms_payload(oms_payload("a.csv", [OmsResource(".", Digest.of(b"a"))]))
    assert ours.files == theirs.files == (OmsResource("a.csv", Digest.of(b"a")),)
    assert [r.name for r in theirs.resources] == ["."]
    with pytest.raises(MalformedError, match="normal form"):
        oms_payload("d", [*FILES, OmsResource(".", Digest.of(b"a"))])


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "./a", "a/../b", "..", "a\0b", "\ud800", "x" * 4097])
def test_names_that_are_no_normal_paths_are_refused(name: str) -> None:
    with pytest.raises(MalformedError):
        oms_payload("d", [OmsResource(name, Digest.of(b""))])
    with pytest.raises(MalformedError):
        oms_payload("d", FILES, ignore_paths=[name])


def test_other_things_a_payload_cannot_hold() -> None:
    with pytest.raises(MalformedError, match="twice"):
        oms_payload("d", [FILES[0], FILES[0]])
    with pytest.raises(MalformedError, match="pattern"):
        oms_payload("d", FILES, ignore_paths=["*.tmp"])
    with pytest.raises(MalformedError, match="subject name is empty"):
        oms_payload("", FILES)
    with pytest.raises(LimitError, match="subject name"):
        oms_payload("d" * 5000, FILES)


@given(st.lists(st.binary(max_size=8), max_size=5))
def test_the_subject_digest_is_over_raw_digests(contents: list[bytes]) -> None:
    files = [OmsResource(str(i), Digest.of(content)) for i, content in enumerate(contents)]
    naive = hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in contents))
    assert oms_subject_digest(files).raw == naive.digest()


def test_the_bundle_is_strictly_oms_by_key() -> None:
    value = json.loads(BUNDLE)
    assert canonical_json(value) == BUNDLE == sign_oms(PAYLOAD, p256())
    assert value["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    keyid = p256().public.keyid
    assert value["verificationMaterial"] == {"publicKey": {"hint": keyid}, "tlogEntries": []}
    envelope = value["dsseEnvelope"]
    assert envelope["payload"] == b64encode(PAYLOAD)
    assert [s["keyid"] for s in envelope["signatures"]] == [keyid]


def test_round_trip() -> None:
    bundle = parse_oms(BUNDLE)
    assert (bundle.method, bundle.hint, bundle.certificates) == ("key", p256().public.keyid, ())
    assert bundle.statement.files == tuple(FILES)
    assert bundle.envelope.payload == PAYLOAD
    signer = verify_oms(bundle, p256().public)
    assert (signer.method, signer.keyid, signer.curve) == ("key", p256().public.keyid, "P-256")
    assert signer.not_judged == ()
    assert verify_oms(bundle, parse_oms_key(p256().public.pem)) == signer


def test_an_ed25519_key_makes_no_bundle() -> None:
    with pytest.raises(SignerError, match="expected ecdsa-p256; got ed25519") as caught:
        sign_oms(PAYLOAD, ed25519())
    assert caught.value.hint is not None
    with pytest.raises(MalformedError, match="unsupported kind"):
        verify_oms(parse_oms(BUNDLE), ed25519().public)


def test_nothing_but_an_oms_payload_is_signed() -> None:
    with pytest.raises(MalformedError, match="predicateType"):
        sign_oms(changed_payload("predicateType", "https://slsa.dev/provenance/v1"), p256())
    with pytest.raises(VerificationError, match="subject digest"):
        sign_oms(changed_payload("subject.0.digest.sha256", "0" * 64), p256())


def test_the_key_must_be_given_and_be_the_named_one() -> None:
    bundle = parse_oms(BUNDLE)
    with pytest.raises(VerificationError, match=f"without its public key; expected {p256().public.keyid}"):
        verify_oms(bundle)
    other = p256(5).public
    with pytest.raises(VerificationError, match=f"expected {other.keyid}; got {p256().public.keyid}"):
        verify_oms(bundle, other)
    unnamed = parse_oms(changed_bundle("verificationMaterial.publicKey", {"rawBytes": "old", "keyDetails": "x"}))
    assert unnamed.hint is None
    verify_oms(unnamed, p256().public)
    misnamed = parse_oms(changed_bundle("dsseEnvelope.signatures.0.keyid", "f" * 64))
    with pytest.raises(VerificationError, match="names another key"):
        verify_oms(misnamed, p256().public)


@pytest.mark.parametrize("keyid", [..., None, ""])
def test_a_signature_need_not_name_its_key(keyid: object) -> None:
    verify_oms(parse_oms(changed_bundle("dsseEnvelope.signatures.0.keyid", keyid)), p256().public)


def test_high_s_of_other_tools_is_accepted() -> None:
    r, s = decode_dss_signature(parse_oms(BUNDLE).envelope.signatures[0].sig)
    twin = b64encode(encode_dss_signature(r, P256_ORDER - s))
    verify_oms(parse_oms(changed_bundle("dsseEnvelope.signatures.0.sig", twin)), p256().public)


def test_every_changed_byte_is_refused() -> None:
    for index in range(len(BUNDLE)):
        for mask in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            mutated = BUNDLE[:index] + bytes([BUNDLE[index] ^ mask]) + BUNDLE[index + 1 :]
            with pytest.raises((MalformedError, VerificationError)):
                verify_oms(parse_oms(mutated), p256().public)
        with pytest.raises(MalformedError):
            parse_oms(BUNDLE[:index])


SIGNATURE = json.loads(BUNDLE)["dsseEnvelope"]["signatures"][0]
CERTIFICATE = {"rawBytes": "AAAA"}
BAD_BUNDLES: dict[str, tuple[str, object, str]] = {
    "media type": ("mediaType", "application/vnd.dev.sigstore.bundle.v0.2+json", "mediaType"),
    "no media type": ("mediaType", ..., "mediaType"),
    "extra field": ("extra", 1, "unknown field"),
    "no material": ("verificationMaterial", ..., "verificationMaterial"),
    "empty material": ("verificationMaterial", {}, "exactly one of publicKey"),
    "two methods": ("verificationMaterial.certificate", CERTIFICATE, "publicKey and certificate"),
    "unknown material": ("verificationMaterial.extra", 1, "unknown field"),
    "no hint": ("verificationMaterial.publicKey", {"keyDetails": "x"}, "publicKey.hint"),
    "hint is a number": ("verificationMaterial.publicKey.hint", 1, "wrong type"),
    "log entries are an object": ("verificationMaterial.tlogEntries", {}, "wrong type"),
    "log entry is a string": ("verificationMaterial.tlogEntries", ["x"], "an object"),
    "log index is a number": ("verificationMaterial.tlogEntries", [{"logIndex": 1}], "logIndex"),
    "proof hashes are strings": ("verificationMaterial.tlogEntries", [{"inclusionProof": {"hashes": "x"}}], "hashes"),
    "timestamps are a list": ("verificationMaterial.timestampVerificationData", [], "an object"),
    "no envelope": ("dsseEnvelope", ..., "dsseEnvelope"),
    "envelope has an extra field": ("dsseEnvelope.extra", 1, "unknown field"),
    "payload type": ("dsseEnvelope.payloadType", "application/json", "payloadType"),
    "empty payload": ("dsseEnvelope.payload", "", "payload is empty"),
    "payload is no JSON": ("dsseEnvelope.payload", "AAAA", "not JSON"),
    "no signature": ("dsseEnvelope.signatures", [], "exactly one"),
    "two signatures": ("dsseEnvelope.signatures", [SIGNATURE] * 2, "exactly one"),
    "empty signature": ("dsseEnvelope.signatures.0.sig", "", "signature is empty"),
    "signature has an extra field": ("dsseEnvelope.signatures.0.cert", "x", "unknown field"),
    "keyid is a number": ("dsseEnvelope.signatures.0.keyid", 1, "keyid"),
    "sigstore without log entry": ("verificationMaterial", {"certificate": CERTIFICATE}, "tlogEntries"),
    "sigstore with no log entry": (
        "verificationMaterial",
        {"certificate": CERTIFICATE, "tlogEntries": []},
        "lacks its log entry",
    ),
    "empty chain": ("verificationMaterial", {"x509CertificateChain": {"certificates": []}}, "chain is empty"),
    "empty certificate": (
        "verificationMaterial",
        {"x509CertificateChain": {"certificates": [{"rawBytes": ""}]}},
        "chain is empty",
    ),
    "chain of strings": ("verificationMaterial", {"x509CertificateChain": {"certificates": ["x"]}}, "not an object"),
}


@pytest.mark.parametrize("case", BAD_BUNDLES)
def test_malformed_bundles_say_what_is_wrong(case: str) -> None:
    path, value, what = BAD_BUNDLES[case]
    with pytest.raises(MalformedError, match=what):
        parse_oms(changed_bundle(path, value))


RESOURCE = json.loads(PAYLOAD)["predicate"]["resources"][0]
BAD_PAYLOADS: dict[str, tuple[str, object, str]] = {
    "type": ("_type", "https://in-toto.io/Statement/v0.1", "_type"),
    "predicate type": ("predicateType", "https://model_signing/Digests/v0.1", "predicateType"),
    "extra field": ("extra", 1, "unknown field"),
    "no subject": ("subject", [], "exactly one"),
    "two subjects": ("subject", [{}, {}], "exactly one"),
    "empty subject name": ("subject.0.name", "", "name is empty"),
    "no digest": ("subject.0.digest", {}, "sha256"),
    "digest in capitals": ("subject.0.digest.sha256", "A" * 64, "not hex"),
    "other digest is no hex": ("subject.0.digest.sha1", "xyz", "not hex"),
    "digest is a list": ("subject.0.digest", [], "digest set"),
    "no predicate": ("predicate", ..., "predicate"),
    "predicate has an extra field": ("predicate.extra", 1, "unknown field"),
    "no resource": ("predicate.resources", [], "at least one resource"),
    "resource twice": ("predicate.resources", [RESOURCE] * 2, "twice"),
    "resource name climbs": ("predicate.resources.0.name", "../a", "normal form"),
    "resource name is absolute": ("predicate.resources.0.name", "/a", "normal form"),
    "resource digest is short": ("predicate.resources.0.digest", "ab", "64 lower-case hex"),
    "resource algorithm": ("predicate.resources.0.algorithm", "blake3", "expected sha256; got blake3"),
    "method": ("predicate.serialization.method", "shards", "expected files; got shards"),
    "hash type": ("predicate.serialization.hash_type", "blake2b", "expected sha256; got blake2b"),
    "shard size with files": ("predicate.serialization.shard_size", 1, "unknown field"),
    "symlinks": ("predicate.serialization.allow_symlinks", "false", "true or false"),
    "no symlinks": ("predicate.serialization.allow_symlinks", ..., "allow_symlinks"),
    "ignore paths are null": ("predicate.serialization.ignore_paths", None, "unknown field"),
    "empty ignore path": ("predicate.serialization.ignore_paths", [""], "ignore path"),
    "ignore path is a number": ("predicate.serialization.ignore_paths", [1], "ignore path"),
}


@pytest.mark.parametrize("case", BAD_PAYLOADS)
def test_malformed_payloads_say_what_is_wrong(case: str) -> None:
    path, value, what = BAD_PAYLOADS[case]
    with pytest.raises(MalformedError, match=what):
        parse_oms_payload(changed_payload(path, value))


def test_what_oms_lets_others_add_is_passed_over() -> None:
    statement = parse_oms_payload(changed_payload("predicate.resources.0.mediaType", "text/csv"))
    assert statement.files == tuple(FILES)
    parse_oms_payload(changed_payload("subject.0.uri", "x"))
    assert parse_oms_payload(changed_payload("predicate.serialization.ignore_paths", ...)).ignore_paths == ()


def test_a_statement_that_disagrees_with_itself_is_refused() -> None:
    for path, value in (("predicate.resources.0.digest", "0" * 64), ("subject.0.digest.sha256", "0" * 64)):
        statement = parse_oms_payload(changed_payload(path, value))
        with pytest.raises(VerificationError, match="subject digest"):
            verify_oms_statement(statement)


def test_renaming_a_file_changes_the_payload_though_not_the_subject() -> None:
    renamed = oms_payload("table", [FILES[0], OmsResource("b/d.csv", FILES[1].digest)])
    assert parse_oms_payload(renamed).subject_digest == parse_oms_payload(PAYLOAD).subject_digest
    assert Digest.of(renamed) != Digest.of(PAYLOAD)


def test_only_the_three_curves_of_oms_are_keys() -> None:
    for curve, name in ((ec.SECP256R1(), "P-256"), (ec.SECP384R1(), "P-384"), (ec.SECP521R1(), "P-521")):
        assert parse_oms_key(_pem(curve)).curve == name
    with pytest.raises(MalformedError, match="unsupported curve"):
        parse_oms_key(_pem(ec.SECP256K1()))
    with pytest.raises(MalformedError, match="unsupported kind"):
        parse_oms_key(ed25519().public.pem)
    for text in ("", "é", b"\xff", "x" * 20_000):
        with pytest.raises(MalformedError):
            parse_oms_key(text)


def _pem(curve: ec.EllipticCurve) -> bytes:
    key = ec.derive_private_key(7, curve).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_a_certificate_that_is_none_is_named() -> None:
    material = {"x509CertificateChain": {"certificates": [CERTIFICATE]}}
    bundle = parse_oms(changed_bundle("verificationMaterial", material))
    assert bundle.certificates == (b"\0\0\0",)
    with pytest.raises(MalformedError, match="certificate cannot be read"):
        verify_oms(bundle)
