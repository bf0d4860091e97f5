"""Registration: from bytes on disk to a signed statement, ready to publish.

Steps: 1 fingerprint the source; 2 pin the parents; 3 make the OMS bundle if the key can; 4 sign the statement; 5 store
the blobs. Invariant: blobs are durable before the statement that names them is published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from provenance.encoding import Digest
from provenance.errors import LimitError, SignerError, StoreError
from provenance.fingerprint import Fingerprint, encode_manifest
from provenance.ledger.publication import Publication
from provenance.ledger.reference import resolve
from provenance.limits import MAX_ENTRY_BYTES, MAX_INPUTS, check_size
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
    Parent,
    PinnedName,
    Sensitivity,
    encode_statement,
    parse_statement,
)
from provenance.stores import BlobStore, FileRow, StoreReader

NO_OMS = "no OMS bundle: that format needs a P-256 key, and this key is Ed25519"


@dataclass(frozen=True, slots=True)
class Description:
    """What a registrant says of a dataset, besides its bytes. `parents` are references."""

    name: PinnedName
    parents: Sequence[str] = ()
    license: str | None = None
    origin: str | None = None
    sensitivity: Sensitivity = Sensitivity.INTERNAL
    kind: Kind = Kind.DATASET


@dataclass(frozen=True, slots=True)
class Clock:
    """The time a statement claims, RFC 3339, and the newest block known to exist."""

    now: str
    block: BlockReference | None = None


def pin_parents(store: StoreReader, references: Sequence[str]) -> tuple[Parent, ...]:
    """The pins of these references, in their order, each once. `NotFoundError` if one is not in the log."""
    check_size("parents", len(references), MAX_INPUTS, "datasets")
    pins: dict[PinnedName, Parent] = {}
    for text in references:
        row = resolve(store, text)
        entry = store.entry(row.entry_index)
        if entry is None:
            raise StoreError("log entry is missing", where=f"entry {row.entry_index}")
        name = PinnedName.parse(f"{row.namespace}/{row.name}@{row.version}")
        pins[name] = Parent(name, row.digest, Digest.of(entry.envelope))
    return tuple(pins.values())


def sign_dataset(
    store: StoreReader,
    blobs: BlobStore,
    fingerprint: Fingerprint,
    description: Description,
    signer: Signer,
    clock: Clock,
) -> tuple[Publication, tuple[str, ...]]:
    """A signed statement, its blobs stored, and notes for the registrant."""
    oms, notes = _sign_oms(blobs, fingerprint, description.name, signer)
    statement = DatasetStatement(
        name=description.name,
        fingerprint=fingerprint.document,
        manifest=blobs.put(encode_manifest(fingerprint)),
        created=clock.now,
        kind=description.kind,
        sensitivity=description.sensitivity,
        license=description.license,
        origin=description.origin,
        parents=pin_parents(store, description.parents),
        oms=oms,
        not_before=clock.block,
    )
    payload = encode_statement(statement)
    parse_statement(payload, strict=True)  # what others could not read back is never signed
    envelope = encode_envelope(sign_envelope(payload, PAYLOAD_TYPE, signer))
    if len(envelope) > MAX_ENTRY_BYTES:
        raise LimitError(
            "statement is too large for a log entry",
            expected=f"at most {MAX_ENTRY_BYTES} bytes",
            got=f"{len(envelope)} bytes with {len(statement.parents)} parents",
            hint="name fewer parents: register an intermediate dataset made from some of them",
        )
    files = tuple(FileRow(entry.digest, entry.path) for entry in fingerprint.files)
    return Publication(envelope, statement, signer.public.keyid, files), notes


def _sign_oms(
    blobs: BlobStore, fingerprint: Fingerprint, name: PinnedName, signer: Signer
) -> tuple[OmsReference | None, tuple[str, ...]]:
    if signer.public.algorithm != ECDSA_P256:
        return None, (NO_OMS,)
    resources = [OmsResource(entry.path, entry.digest) for entry in fingerprint.files]
    try:
        payload = oms_payload(str(name), resources, ignore_paths=(".provenance",))
    except SignerError as error:  # for example a dataset of git's own files only, which that format leaves out
        return None, (f"no OMS bundle: {error.what}",)
    return OmsReference(payload=Digest.of(payload), bundle=blobs.put(sign_oms(payload, signer))), ()
