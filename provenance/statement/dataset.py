"""The dataset predicate, `urn:provenance-ledger:dataset:1`, inside an in-toto Statement v1.

Invariants: one subject, named `ns/name@version`, whose digest holds `sha256` only and is the SHA-256 of the
fingerprint document in the predicate; a parent is pinned by name, version, dataset digest and the SHA-256 of the very
envelope that registered it; no personal data, row content or file listing is in here; parents that are too many to be
named here are in a material list (`materials`), which the statement commits to in their place.

Sources: in-toto attestation spec v1 (unknown fields of a predicate are ignored on reading, refused on submission).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from provenance.encoding import Digest, Fields, JsonValue
from provenance.errors import MalformedError
from provenance.fingerprint import FingerprintDocument, Parameters, parse_document, parse_parameters
from provenance.limits import MAX_INPUTS, MAX_LICENSE_CHARS, MAX_URI_CHARS, check_size
from provenance.statement.credentials import check_no_secret
from provenance.statement.frame import (
    BlockReference,
    Frame,
    Pin,
    Subject,
    check_time,
    check_uri,
    encode_frame,
    open_frame,
    parse_block,
    parse_choice,
    parse_pin,
)
from provenance.statement.license import check_license
from provenance.statement.materials import MaterialList, parse_commitment, parse_materials
from provenance.statement.names import PinnedName
from provenance.statement.standards import Standards, parse_standards

DATASET_PREDICATE: Final = "urn:provenance-ledger:dataset:1"


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
    parents: tuple[Pin, ...] = ()
    oms: OmsReference | None = None
    not_before: BlockReference | None = None
    parameters: Parameters = field(default_factory=Parameters)
    standards: Standards = field(default_factory=Standards)
    materials: MaterialList | None = None
    """The list that holds the parents; `parents` is empty until `with_materials` has read it."""

    def __post_init__(self) -> None:
        check_time(self.created)
        if self.license is not None:
            check_size("licence", len(self.license), MAX_LICENSE_CHARS, "characters")
            check_license(self.license)
        if self.origin is not None:
            check_uri(self.origin, "origin")
        limit = MAX_INPUTS if self.materials is None else self.materials.count
        check_size("parents", len(self.parents), limit, "datasets")
        names = [parent.name for parent in self.parents]
        if self.name in names:
            raise MalformedError("dataset is its own parent", got=self.name)
        if len(set(names)) != len(names):
            raise MalformedError("parent is named twice", got=max(names, key=names.count))

    @property
    def digest(self) -> Digest:
        """The dataset's digest."""
        return self.fingerprint.digest

    @property
    def names_parents(self) -> bool:
        """Whether `parents` are all there are: no list of them is yet to be read."""
        return self.materials is None or bool(self.parents)

    def with_materials(self, data: bytes) -> DatasetStatement:
        """The same with the parents that its material list names. `MalformedError` if this is not that list."""
        if self.materials is None:
            return self
        return replace(self, parents=parse_materials(data, self.materials))


def encode_statement(statement: DatasetStatement) -> bytes:
    """The in-toto statement as canonical JSON: what is signed."""
    predicate: dict[str, JsonValue] = {
        "created": statement.created,
        "fingerprint": dict(statement.fingerprint.to_json()),
        "kind": str(statement.kind),
        "manifest": {"sha256": statement.manifest.hex},
        "parents": (
            [parent.to_json() for parent in statement.parents]
            if statement.materials is None
            else statement.materials.to_json()
        ),
        "sensitivity": str(statement.sensitivity),
    }
    if statement.license is not None:
        predicate["license"] = statement.license
    if statement.origin is not None:
        predicate["origin"] = statement.origin
    if statement.parameters:
        predicate["parameters"] = statement.parameters.to_json()
    if statement.standards:
        predicate["standards"] = statement.standards.to_json()
    if statement.oms is not None:
        predicate["oms"] = {
            "bundle": {"sha256": statement.oms.bundle.hex},
            "payload": {"sha256": statement.oms.payload.hex},
        }
    if statement.not_before is not None:
        predicate["notBefore"] = statement.not_before.to_json()
    return encode_frame([Subject(str(statement.name), statement.digest)], DATASET_PREDICATE, predicate)


def parse_statement(payload: bytes, *, strict: bool = False) -> DatasetStatement:
    """The dataset statement in a DSSE payload.

    With `strict`, as for whatever is yet to be signed or logged, unknown fields of the predicate are refused, and so is
    an origin that looks like a signed link.
    """
    frame = open_frame(payload)
    if frame.predicate_type != DATASET_PREDICATE:
        raise MalformedError("statement is of another kind", expected=DATASET_PREDICATE, got=frame.predicate_type)
    return read_dataset(frame, strict=strict)


def read_dataset(frame: Frame, *, strict: bool = False) -> DatasetStatement:
    """The dataset statement in a frame, as `parse_statement`."""
    subject, predicate = frame.subject(), frame.predicate
    name, digest = PinnedName.parse(subject.name), subject.digest
    statement = _parse_predicate(predicate, name)
    if strict:
        predicate.end()
        if statement.origin is not None:
            check_no_secret(statement.origin, "origin")
    if statement.digest != digest:
        raise MalformedError(
            "subject is not the fingerprint's digest", expected=statement.digest, got=digest, where="statement.subject"
        )
    return statement


def _parse_predicate(predicate: Fields, name: PinnedName) -> DatasetStatement:
    where = "statement.predicate.parents"
    parents, materials, stated = tuple[Pin, ...](), None, predicate.value("parents")
    if isinstance(stated, dict):
        materials = parse_commitment(stated, where)
    else:
        parents = tuple(parse_pin(item, where) for item in predicate.array("parents", max_items=MAX_INPUTS))
    return DatasetStatement(
        name=name,
        fingerprint=parse_document(predicate.value("fingerprint"), "statement.predicate.fingerprint"),
        manifest=predicate.digest_set("manifest"),
        created=predicate.string("created", max_chars=20),
        kind=parse_choice(Kind, predicate.string("kind"), "kind"),
        sensitivity=parse_choice(Sensitivity, predicate.string("sensitivity"), "sensitivity"),
        license=predicate.optional_string("license", max_chars=MAX_LICENSE_CHARS),
        origin=predicate.optional_string("origin", max_chars=MAX_URI_CHARS),
        parents=parents,
        materials=materials,
        oms=_parse_oms(predicate),
        not_before=parse_block(predicate),
        parameters=(
            parse_parameters(predicate.value("parameters"), "statement.predicate.parameters")
            if "parameters" in predicate
            else Parameters()
        ),
        standards=(
            parse_standards(predicate.value("standards"), "statement.predicate.standards")
            if "standards" in predicate
            else Standards()
        ),
    )


def parse_sensitivity(text: str) -> Sensitivity:
    """The sensitivity of this name; `MalformedError` that lists the four."""
    return parse_choice(Sensitivity, text, "sensitivity")


def parse_kind(text: str) -> Kind:
    """The kind of this name; `MalformedError` that lists them."""
    return parse_choice(Kind, text, "kind")


def _parse_oms(predicate: Fields) -> OmsReference | None:
    if not predicate.has("oms"):
        predicate.skip("oms")
        return None
    fields = predicate.object("oms")
    reference = OmsReference(payload=fields.digest_set("payload"), bundle=fields.digest_set("bundle"))
    fields.end()
    return reference
