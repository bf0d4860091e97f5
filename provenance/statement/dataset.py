"""The dataset predicate, `urn:provenance-ledger:dataset:1`, inside an in-toto Statement v1.

Invariants: one subject, named `ns/name@version`, whose digest holds `sha256` only and is the SHA-256 of the
fingerprint document in the predicate; a parent is pinned by name, version, dataset digest and the SHA-256 of the very
envelope that registered it; no personal data, row content or file listing is in here.

Sources: in-toto attestation spec v1 (unknown fields of a predicate are ignored on reading, refused on submission).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeVar

from provenance.encoding import Digest, Fields, JsonValue, canonical_json, parse_json
from provenance.errors import MalformedError
from provenance.fingerprint import FingerprintDocument, Parameters, parse_document, parse_parameters
from provenance.limits import (
    MAX_ENTRY_BYTES,
    MAX_INPUTS,
    MAX_LICENSE_CHARS,
    MAX_SAFE_INTEGER,
    MAX_URI_CHARS,
    check_size,
)
from provenance.statement.license import check_license
from provenance.statement.names import PinnedName

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
DATASET_PREDICATE: Final = "urn:provenance-ledger:dataset:1"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_USER = re.compile(r"//[^/?#]*@|^[^:]*:/*[^/?#]*@")
_SECRET_PARAMETER = re.compile(
    r"[?&;#](?:[^=&;#]*[^a-z=&;#])?(?:passw(?:or)?d|pwd|secret|(?:access|auth|id)?token|sig(?:nature)?|credentials?"
    r"|api[_-]?key|access[_-]?key|awsaccesskeyid)(?:[^a-z=&;#][^=&;#]*)?=",
    re.IGNORECASE,
)
"""Names under which URLs carry what opens them: signed links of S3, Azure and Google, access tokens, API keys."""


class Sensitivity(StrEnum):
    """How sensitive the data is; decides the level that policy demands."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"


class Kind(StrEnum):
    """What the bytes are."""

    DATASET = "dataset"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Parent:
    """An input, pinned: its name and version, its dataset digest, and the SHA-256 of its envelope."""

    name: PinnedName
    digest: Digest
    envelope: Digest


@dataclass(frozen=True, slots=True)
class BlockReference:
    """A block that existed when the statement was signed: proof of *not before*."""

    chain_id: int
    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class OmsReference:
    """The OMS bundle made together with the statement: the SHA-256 of its payload and of the bundle file."""

    payload: Digest
    bundle: Digest


@dataclass(frozen=True, slots=True)
class DatasetStatement:
    """What a source says of one version of one dataset. `created` is its signer's own clock, RFC 3339 in UTC."""

    name: PinnedName
    fingerprint: FingerprintDocument
    manifest: Digest
    created: str
    kind: Kind = Kind.DATASET
    sensitivity: Sensitivity = Sensitivity.INTERNAL
    license: str | None = None
    origin: str | None = None
    parents: tuple[Parent, ...] = ()
    oms: OmsReference | None = None
    not_before: BlockReference | None = None
    parameters: Parameters = field(default_factory=Parameters)

    def __post_init__(self) -> None:
        if not _is_time(self.created):
            raise MalformedError("not a time", expected="RFC 3339 in UTC to the second", got=self.created)
        if self.license is not None:
            check_size("licence", len(self.license), MAX_LICENSE_CHARS, "characters")
            check_license(self.license)
        if self.origin is not None:
            check_size("origin", len(self.origin), MAX_URI_CHARS, "characters")
            if not _URI.fullmatch(self.origin) or _USER.search(self.origin):
                # What was given is not shown: it may hold a password.
                raise MalformedError("not an origin", expected="an absolute URI without user or password")
        check_size("parents", len(self.parents), MAX_INPUTS, "datasets")
        names = [parent.name for parent in self.parents]
        if self.name in names:
            raise MalformedError("dataset is its own parent", got=self.name)
        if len(set(names)) != len(names):
            raise MalformedError("parent is named twice", got=max(names, key=names.count))

    @property
    def digest(self) -> Digest:
        """The dataset's digest."""
        return self.fingerprint.digest


def encode_statement(statement: DatasetStatement) -> bytes:
    """The in-toto statement as canonical JSON: what is signed."""
    predicate: dict[str, JsonValue] = {
        "created": statement.created,
        "fingerprint": dict(statement.fingerprint.to_json()),
        "kind": str(statement.kind),
        "manifest": {"sha256": statement.manifest.hex},
        "parents": [_parent_json(parent) for parent in statement.parents],
        "sensitivity": str(statement.sensitivity),
    }
    if statement.license is not None:
        predicate["license"] = statement.license
    if statement.origin is not None:
        predicate["origin"] = statement.origin
    if statement.parameters:
        predicate["parameters"] = statement.parameters.to_json()
    if statement.oms is not None:
        predicate["oms"] = {
            "bundle": {"sha256": statement.oms.bundle.hex},
            "payload": {"sha256": statement.oms.payload.hex},
        }
    if statement.not_before is not None:
        block = statement.not_before
        predicate["notBefore"] = {"chainId": block.chain_id, "number": block.number, "hash": "0x" + block.hash.hex()}
    return canonical_json(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": str(statement.name), "digest": {"sha256": statement.digest.hex}}],
            "predicateType": DATASET_PREDICATE,
            "predicate": predicate,
        }
    )


def parse_statement(payload: bytes, *, strict: bool = False) -> DatasetStatement:
    """The dataset statement in a DSSE payload.

    With `strict`, as for whatever is yet to be signed or logged, unknown fields of the predicate are refused, and so is
    an origin that looks like a signed link.
    """
    fields = Fields(parse_json(payload, what="statement", max_bytes=MAX_ENTRY_BYTES), "statement")
    fields.constant("_type", STATEMENT_TYPE)
    fields.constant("predicateType", DATASET_PREDICATE)
    subjects = fields.array("subject", max_items=1)
    if not subjects:
        raise MalformedError("statement has no subject", expected="exactly one")
    subject = Fields(subjects[0], "statement.subject")
    name, digest = PinnedName.parse(subject.string("name")), subject.digest_set("digest")
    subject.end()
    predicate = fields.object("predicate")
    fields.end()
    statement = _parse_predicate(predicate, name)
    if strict:
        predicate.end()
        if statement.origin is not None and _SECRET_PARAMETER.search(statement.origin):
            raise MalformedError("origin holds a secret", expected="a URI without tokens, signatures or keys")
    if statement.digest != digest:
        raise MalformedError(
            "subject is not the fingerprint's digest", expected=statement.digest, got=digest, where="statement.subject"
        )
    return statement


def _parse_predicate(predicate: Fields, name: PinnedName) -> DatasetStatement:
    return DatasetStatement(
        name=name,
        fingerprint=parse_document(predicate.value("fingerprint"), "statement.predicate.fingerprint"),
        manifest=predicate.digest_set("manifest"),
        created=predicate.string("created", max_chars=20),
        kind=_choice(Kind, predicate.string("kind"), "kind"),
        sensitivity=_choice(Sensitivity, predicate.string("sensitivity"), "sensitivity"),
        license=predicate.optional_string("license", max_chars=MAX_LICENSE_CHARS),
        origin=predicate.optional_string("origin", max_chars=MAX_URI_CHARS),
        parents=tuple(_parse_parent(item) for item in predicate.array("parents", max_items=MAX_INPUTS)),
        oms=_parse_oms(predicate),
        not_before=_parse_block(predicate),
        parameters=(
            parse_parameters(predicate.value("parameters"), "statement.predicate.parameters")
            if "parameters" in predicate
            else Parameters()
        ),
    )


def parse_sensitivity(text: str) -> Sensitivity:
    """The sensitivity of this name; `MalformedError` that lists the four."""
    return _choice(Sensitivity, text, "sensitivity")


def parse_kind(text: str) -> Kind:
    """The kind of this name; `MalformedError` that lists them."""
    return _choice(Kind, text, "kind")


_Choice = TypeVar("_Choice", bound=StrEnum)


def _choice(enum: type[_Choice], text: str, what: str) -> _Choice:
    try:
        return enum(text)
    except ValueError:
        raise MalformedError(f"unknown {what}", expected=" | ".join(enum), got=text) from None


def _parent_json(parent: Parent) -> JsonValue:
    return {
        "name": str(parent.name),
        "digest": {"sha256": parent.digest.hex},
        "envelope": {"sha256": parent.envelope.hex},
    }


def _parse_parent(value: JsonValue) -> Parent:
    fields = Fields(value, "statement.predicate.parents")
    parent = Parent(PinnedName.parse(fields.string("name")), fields.digest_set("digest"), fields.digest_set("envelope"))
    fields.end()
    return parent


def _parse_oms(predicate: Fields) -> OmsReference | None:
    if not predicate.has("oms"):
        predicate.skip("oms")
        return None
    fields = predicate.object("oms")
    reference = OmsReference(payload=fields.digest_set("payload"), bundle=fields.digest_set("bundle"))
    fields.end()
    return reference


def _parse_block(predicate: Fields) -> BlockReference | None:
    if not predicate.has("notBefore"):
        predicate.skip("notBefore")
        return None
    fields = predicate.object("notBefore")
    text = fields.string("hash", max_chars=66)
    if not text.startswith("0x"):
        raise MalformedError("notBefore.hash is no block hash", expected="0x and 64 hex digits", got=text)
    block_hash = Digest.from_hex(text[2:], what="notBefore.hash").raw
    block = BlockReference(
        fields.integer("chainId", minimum=1, maximum=MAX_SAFE_INTEGER), fields.integer("number"), block_hash
    )
    fields.end()
    return block


def _is_time(text: str) -> bool:
    if not _TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
