"""Registration: from bytes on disk to a signed statement, ready to publish.

Steps: 1 check the description; 2 fingerprint the source; 3 pin the parents; 4 make the OMS bundle if the key can;
5 sign the statement; 6 store the blobs. Invariants: nothing is written before everything is known to be well formed and
its name to be free; blobs are durable before the statement that names them is published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from provenance.encoding import Digest
from provenance.errors import LimitError, SignerError, StoreError
from provenance.fingerprint import Algorithm, Fingerprint, FingerprintDocument, encode_manifest
from provenance.ledger.publication import Publication, find_published
from provenance.ledger.reference import resolve
from provenance.limits import MAX_ENTRY_BYTES, MAX_INPUTS, MAX_MATERIALS, check_size
from provenance.signature import (
    ECDSA_P256,
    OmsResource,
    Signer,
    encode_envelope,
    oms_payload,
    sign_envelope,
    sign_oms,
)
from provenance.statement import (
    PAYLOAD_TYPE,
    BlockReference,
    DatasetStatement,
    Kind,
    OmsReference,
    Pin,
    PinnedName,
    Sensitivity,
    encode_statement,
    parse_statement,
)
from provenance.statement.materials import encode_materials, sorted_materials
from provenance.statement.standards import Standards
from provenance.stores import BlobStore, FileRow, StoreReader

_ENVELOPE_BYTES = 400
"""A DSSE envelope less its payload, at most: names, a key id and a P-256 signature in base64."""
_SECOND_SIGNATURE_BYTES = 3_400
"""How much the second signature of a pair adds to it, at most."""

NO_OMS = "no OMS bundle: that format needs a P-256 key, and this key is Ed25519"
NO_OMS_BLAKE3 = "no OMS bundle: files are hashed with BLAKE3, and other tools expect SHA-256 in it"


@dataclass(frozen=True, slots=True)
class Description:
    """What a registrant says of a dataset, besides its bytes. `parents` are references."""

    name: PinnedName
    parents: Sequence[str] = ()
    license: str | None = None
    origin: str | None = None
    sensitivity: Sensitivity = Sensitivity.INTERNAL
    kind: Kind = Kind.DATASET
    standards: Standards = field(default_factory=Standards)


@dataclass(frozen=True, slots=True)
class Clock:
    """The time a statement claims, RFC 3339, and the newest block known to exist."""

    now: str
    block: BlockReference | None = None


def pin_parents(store: StoreReader, references: Sequence[str]) -> tuple[Pin, ...]:
    """The pins of these references, in their order, each once. `NotFoundError` if one is not in the log."""
    check_size("parents", len(references), MAX_MATERIALS, "datasets")
    pins: dict[PinnedName, Pin] = {}
    for text in references:
        row = resolve(store, text)
        entry = store.entry(row.entry_index)
        if entry is None:
            raise StoreError("log entry is missing", where=f"entry {row.entry_index}")
        name = PinnedName.parse(f"{row.namespace}/{row.name}@{row.version}")
        pins[name] = Pin(name, row.digest, Digest.of(entry.envelope))
    return tuple(pins.values())


def check_description(store: StoreReader, description: Description, now: str) -> None:
    """Raise what `sign_dataset` would raise for the description, before a byte of the dataset is read."""
    anything = Digest.of(b"")
    fingerprint = Fingerprint(FingerprintDocument(1, anything, 0), ())
    parents = pin_parents(store, description.parents)
    _encode(_statement(fingerprint, anything, None, description, parents, Clock(now))[0])


def sign_dataset(
    store: StoreReader,
    blobs: BlobStore,
    fingerprint: Fingerprint,
    description: Description,
    signer: Signer,
    clock: Clock,
    *,
    blobs_besides: Sequence[bytes] = (),
) -> tuple[Publication, tuple[str, ...]]:
    """A signed statement, its blobs stored, and notes for the registrant. `ConflictError` if its name is taken.

    `blobs_besides` are what the fingerprint names by digest, besides the manifest: a schema, a chunk map.
    """
    manifest = encode_manifest(fingerprint)
    oms, oms_bundle, notes = _sign_oms(fingerprint, description.name, signer)
    parents = pin_parents(store, description.parents)
    around = _around(signer)
    statement, materials = _statement(fingerprint, Digest.of(manifest), oms, description, parents, clock, around)
    envelope = _sign(statement, signer)
    find_published(store, statement, signer.public.keyid)
    for data in (manifest, oms_bundle, materials, *blobs_besides):
        if data is not None:
            blobs.put(data)
    files = tuple(FileRow(entry.digest, entry.path) for entry in fingerprint.files)
    return Publication(envelope, statement, signer.public.keyid, files), notes


def _statement(
    fingerprint: Fingerprint,
    manifest: Digest,
    oms: OmsReference | None,
    description: Description,
    parents: tuple[Pin, ...],
    clock: Clock,
    around: int = _ENVELOPE_BYTES,
) -> tuple[DatasetStatement, bytes | None]:
    """The statement, and the list of its parents if they do not fit into it, with `around` bytes of envelope."""
    statement = partial(
        DatasetStatement,
        name=description.name,
        fingerprint=fingerprint.document,
        parameters=fingerprint.parameters,
        manifest=manifest,
        created=clock.now,
        kind=description.kind,
        sensitivity=description.sensitivity,
        license=description.license,
        origin=description.origin,
        oms=oms,
        not_before=clock.block,
        standards=description.standards,
    )
    if len(parents) <= MAX_INPUTS:
        named = statement(parents=parents)
        if not parents or _fits(encode_statement(named), around):
            return named, None
    listed = sorted_materials(parents)
    data, materials = encode_materials(listed)
    return statement(parents=listed, materials=materials), data


def _around(signer: Signer) -> int:
    return _ENVELOPE_BYTES + (0 if signer.public.ml_dsa is None else _SECOND_SIGNATURE_BYTES)


def _fits(payload: bytes, around: int = _ENVELOPE_BYTES) -> bool:
    """Whether a log entry has room for it in base64, with as much around it as the longest signatures need."""
    return len(payload) * 4 // 3 + around <= MAX_ENTRY_BYTES


def _sign(statement: DatasetStatement, signer: Signer) -> bytes:
    payload = _encode(statement)
    try:
        return encode_envelope(sign_envelope(payload, PAYLOAD_TYPE, signer))
    except LimitError as error:
        raise _too_large(payload) from error


def _encode(statement: DatasetStatement) -> bytes:
    payload = encode_statement(statement)
    if not _fits(payload):
        raise _too_large(payload)
    parse_statement(payload, strict=True)  # what others could not read back is never signed
    return payload


def _too_large(payload: bytes) -> LimitError:
    return LimitError(
        "statement is too large for a log entry",
        expected=f"at most {MAX_ENTRY_BYTES} bytes when signed",
        got=f"{len(payload)} bytes unsigned",
        hint="say less of it: shorter notes in --standards",
    )


def _sign_oms(
    fingerprint: Fingerprint, name: PinnedName, signer: Signer
) -> tuple[OmsReference | None, bytes | None, tuple[str, ...]]:
    if signer.public.algorithm != ECDSA_P256:
        return None, None, (NO_OMS,)
    if fingerprint.document.algorithm is not Algorithm.SHA256:
        return None, None, (NO_OMS_BLAKE3,)
    resources = [OmsResource(entry.path, entry.digest) for entry in fingerprint.files]
    try:
        payload = oms_payload(str(name), resources, ignore_paths=(".provenance",))
    except SignerError as error:  # for example a dataset of git's own files only, which that format leaves out
        return None, None, (f"no OMS bundle: {error.what}",)
    bundle = sign_oms(payload, signer)
    return OmsReference(payload=Digest.of(payload), bundle=Digest.of(bundle)), bundle, ()
