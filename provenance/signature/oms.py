"""OMS v1.0 bundles: a DSSE envelope over a list of files, with what is needed to check it.

Invariants: what is written here is strictly OMS v1.0 by key: media type v0.3, `publicKey.hint` = `keyid` = hex SHA-256
of the PEM key, `tlogEntries` empty, exactly one DER ECDSA P-256 signature; other tools verify it unchanged. What is
read is every current form: by key, by certificate chain and by Sigstore, on P-256, P-384 and P-521; whatever
`parse_oms` accepts, the published schemas accept. A certificate's signature is checked with the key inside the
certificate; who owns that certificate is never judged here, and the result says so.

    {"dsseEnvelope":{"payload":"eyJf...","payloadType":"application/vnd.in-toto+json","signatures":[{"keyid":"<64 hex>",
    "sig":"MEQC..."}]},"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":
    {"hint":"<64 hex>"},"tlogEntries":[]}}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from provenance.encoding import Digest, Fields, JsonValue, canonical_json, parse_json
from provenance.errors import MalformedError, SignerError, VerificationError
from provenance.limits import MAX_OMS_BYTES, MAX_TEXT_CHARS, check_size
from provenance.signature.dsse import IN_TOTO_PAYLOAD_TYPE, Envelope, Signature, envelope_json, pae, sign_alone
from provenance.signature.ecdsa import MAX_SIGNATURE_BYTES
from provenance.signature.keys import ECDSA_P256, PublicKey, Signer
from provenance.signature.oms_key import OmsKey, certificate_key, parse_oms_key
from provenance.signature.oms_statement import (
    OMS_DEFAULT_IGNORES,
    OMS_PREDICATE_TYPE,
    OmsResource,
    OmsStatement,
    oms_payload,
    oms_subject_digest,
    parse_oms_payload,
    verify_oms_statement,
)

__all__ = [
    "OMS_DEFAULT_IGNORES",
    "OMS_MEDIA_TYPE",
    "OMS_PREDICATE_TYPE",
    "OmsBundle",
    "OmsKey",
    "OmsMethod",
    "OmsResource",
    "OmsSigner",
    "OmsStatement",
    "oms_payload",
    "oms_subject_digest",
    "oms_sums",
    "parse_oms",
    "parse_oms_key",
    "parse_oms_payload",
    "sign_oms",
    "verify_oms",
    "verify_oms_statement",
]

OMS_MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"

OmsMethod: TypeAlias = Literal["key", "certificate", "sigstore"]
_Shape: TypeAlias = "type[str] | list[_Shape] | dict[str, _Shape]"

_MAX_CERTIFICATES: Final = 32
_MAX_CERTIFICATE_BYTES: Final = 64 * 2**10
_MAX_MATERIAL_ITEMS: Final = 1_000
_MATERIAL: Final[dict[str, OmsMethod]] = {
    "publicKey": "key",
    "x509CertificateChain": "certificate",
    "certificate": "sigstore",
}
_TLOG_ENTRY: Final[_Shape] = {
    "logIndex": str,
    "logId": {"keyId": str},
    "kindVersion": {"kind": str, "version": str},
    "integratedTime": str,
    "inclusionPromise": {"signedEntryTimestamp": str},
    "inclusionProof": {
        "logIndex": str,
        "rootHash": str,
        "treeSize": str,
        "hashes": [str],
        "checkpoint": {"envelope": str},
    },
    "canonicalizedBody": str,
}
_TIMESTAMPS: Final[_Shape] = {"rfc3161Timestamps": [{"signedTimestamp": str}]}


@dataclass(frozen=True, slots=True)
class OmsBundle:
    """A parsed bundle. Nothing about it is verified until `verify_oms` returned.

    `hint`: the key id of method "key", if it names one. `certificates`: DER, leaf first, of the other two methods.
    """

    method: OmsMethod
    hint: str | None
    certificates: tuple[bytes, ...]
    envelope: Envelope
    statement: OmsStatement
    has_timestamps: bool


@dataclass(frozen=True, slots=True)
class OmsSigner:
    """What a verified bundle proves about its signer, and what nobody looked at."""

    method: OmsMethod
    keyid: str
    curve: str
    not_judged: tuple[str, ...]


def sign_oms(payload: bytes, signer: Signer) -> bytes:
    """The bundle of an OMS payload by a P-256 key: canonical JSON. `SignerError` for any other kind of key."""
    if signer.public.algorithm != ECDSA_P256:
        hint = "OMS v1.0 has no Ed25519 signatures: without a P-256 key there is no OMS bundle"
        raise SignerError("key cannot sign OMS", expected=ECDSA_P256, got=signer.public.algorithm, hint=hint)
    verify_oms_statement(parse_oms_payload(payload))
    envelope = sign_alone(payload, IN_TOTO_PAYLOAD_TYPE, signer)
    bundle = canonical_json(
        {
            "mediaType": OMS_MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": signer.public.keyid}, "tlogEntries": []},
            "dsseEnvelope": envelope_json(envelope),
        }
    )
    check_size("OMS bundle", len(bundle), MAX_OMS_BYTES)
    return bundle


def parse_oms(data: bytes) -> OmsBundle:
    """The bundle that `data` holds, whoever wrote it. `MalformedError` names the first thing that OMS v1.0 forbids."""
    fields = Fields(parse_json(data, what="OMS bundle", max_bytes=MAX_OMS_BYTES), "OMS bundle")
    fields.constant("mediaType", OMS_MEDIA_TYPE)
    material = fields.object("verificationMaterial")
    envelope = _parse_envelope(fields.object("dsseEnvelope"))
    fields.end()
    present = [name for name in _MATERIAL if material.has(name)]
    if len(present) != 1:
        got = " and ".join(present) or "none of them"
        expected = f"exactly one of {', '.join(_MATERIAL)}"
        raise MalformedError("OMS bundle does not name one signing method", expected=expected, got=got)
    method = _MATERIAL[present[0]]
    hint = _parse_hint(material.object("publicKey")) if method == "key" else None
    certificates = _parse_certificates(material, method)
    _parse_log_entries(material, method)
    has_timestamps = material.has("timestampVerificationData")
    if has_timestamps:
        _check_shape(material.value("timestampVerificationData"), _TIMESTAMPS, "OMS timestampVerificationData")
    material.end()
    return OmsBundle(method, hint, certificates, envelope, parse_oms_payload(envelope.payload), has_timestamps)


def oms_sums(data: bytes, key: OmsKey | None = None) -> dict[str, Digest]:
    """Path -> SHA-256 of the files that a bundle lists; with `key`, only if its signature is that key's.

    Without, nobody was asked whose list it is: what it says is declared, and no more.
    """
    bundle = parse_oms(data)
    if key is not None:
        verify_oms(bundle, key)
    else:
        verify_oms_statement(bundle.statement)
    return {one.name: one.digest for one in bundle.statement.files}


def verify_oms(bundle: OmsBundle, key: PublicKey | OmsKey | None = None) -> OmsSigner:
    """What the bundle proves: its signature is the key's, and its statement agrees with itself.

    Method "key" needs `key`: the bundle names it and does not hold it. The other methods hold a certificate; with `key`
    given, the certificate must be that key's. `VerificationError` says which of these fails. Steps: OMS 8.2 and 8.3;
    8.4 (the files themselves) is the caller's, with `statement.files`.
    """
    given = parse_oms_key(key.pem) if isinstance(key, PublicKey) else key
    if bundle.method == "key":
        verifier = _named_key(bundle, given)
    else:
        verifier = certificate_key(bundle.certificates[0])
        if given is not None and given.keyid != verifier.keyid:
            what = "OMS bundle is signed by another key"
            raise VerificationError(what, expected=given.keyid, got=verifier.keyid, where="leaf certificate")
    verifier.verify(bundle.envelope.signatures[0].sig, pae(bundle.envelope.payload_type, bundle.envelope.payload))
    verify_oms_statement(bundle.statement)
    return OmsSigner(bundle.method, verifier.keyid, verifier.curve, _not_judged(bundle))


def _named_key(bundle: OmsBundle, key: OmsKey | None) -> OmsKey:
    if key is None:
        raise VerificationError("OMS bundle cannot be verified without its public key", expected=bundle.hint)
    if bundle.hint is not None and bundle.hint != key.keyid:
        raise VerificationError("OMS bundle is signed by another key", expected=key.keyid, got=bundle.hint)
    keyid = bundle.envelope.signatures[0].keyid
    if keyid not in ("", key.keyid):
        raise VerificationError("OMS bundle's signature names another key", expected=key.keyid, got=keyid)
    return key


def _not_judged(bundle: OmsBundle) -> tuple[str, ...]:
    parts: list[str] = []
    if bundle.method != "key":
        parts.append("certificate chain")
    if bundle.method == "sigstore":
        parts.append("transparency log entries")
    if bundle.has_timestamps:
        parts.append("timestamps")
    return tuple(parts)


def _parse_envelope(fields: Fields) -> Envelope:
    payload = fields.base64("payload", max_bytes=MAX_OMS_BYTES)
    fields.constant("payloadType", IN_TOTO_PAYLOAD_TYPE)
    signatures = fields.array("signatures", max_items=_MAX_MATERIAL_ITEMS)
    fields.end()
    if len(signatures) != 1:
        what = "OMS bundle has the wrong number of signatures"
        raise MalformedError(what, expected="exactly one", got=len(signatures))
    inner = Fields(signatures[0], "OMS signature")
    signature = inner.base64("sig", max_bytes=MAX_SIGNATURE_BYTES)
    inner.skip("keyid")
    keyid = inner.value("keyid") if inner.has("keyid") else ""
    inner.end()
    if not isinstance(keyid, str) or len(keyid) > MAX_TEXT_CHARS:
        raise MalformedError("OMS signature's keyid is not a key id", expected="text, null or nothing")
    if not payload or not signature:
        empty = "payload" if not payload else "signature"
        raise MalformedError(f"OMS bundle's {empty} is empty", expected="at least one byte")
    return Envelope(payload, IN_TOTO_PAYLOAD_TYPE, (Signature(keyid, signature),))


def _parse_hint(fields: Fields) -> str | None:
    hint = fields.string("hint") if fields.has("hint") else None
    raw = fields.string("rawBytes") if fields.has("rawBytes") else None
    if hint is None and raw is None:
        raise MalformedError("OMS public key is not named", expected="publicKey.hint")
    return hint


def _parse_certificates(material: Fields, method: OmsMethod) -> tuple[bytes, ...]:
    if method == "key":
        return ()
    if method == "sigstore":
        rows: list[JsonValue] = [material.value("certificate")]
    else:
        rows = material.object("x509CertificateChain").array("certificates", max_items=_MAX_CERTIFICATES)
    found = tuple(Fields(row, "OMS certificate").base64("rawBytes", max_bytes=_MAX_CERTIFICATE_BYTES) for row in rows)
    if not found or not all(found):
        raise MalformedError("OMS certificate chain is empty", expected="the signer's certificate")
    return found


def _parse_log_entries(material: Fields, method: OmsMethod) -> None:
    if method != "sigstore" and not material.has("tlogEntries"):
        return
    entries = material.array("tlogEntries", max_items=_MAX_MATERIAL_ITEMS)
    if method == "sigstore" and not entries:
        raise MalformedError("OMS bundle by Sigstore lacks its log entry", expected="tlogEntries with an entry")
    _check_shape(list(entries), [_TLOG_ENTRY], "OMS tlogEntries")


def _check_shape(value: JsonValue, shape: _Shape, what: str) -> None:
    """`MalformedError` unless every known field has its type; unknown fields are Sigstore's to add."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise MalformedError(f"{what} has the wrong type", expected="an object")
        for name, inner in shape.items():
            if name in value:
                _check_shape(value[name], inner, f"{what}.{name}")
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise MalformedError(f"{what} has the wrong type", expected="a list")
        for index, item in enumerate(value):
            _check_shape(item, shape[0], f"{what}[{index}]")
    elif not isinstance(value, str):
        raise MalformedError(f"{what} has the wrong type", expected="a string")
