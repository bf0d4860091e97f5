"""Evidence made to measure: any statements, signed by any keys, in logs that sign whatever they are told to.

Keys are derived from constants. Nothing here reads a clock or a disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from provenance.encoding import Digest
from provenance.fingerprint import FileEntry, encode_manifest, fingerprint_files
from provenance.limits import MAX_INPUTS
from provenance.log import (
    Checkpoint,
    CheckpointSigner,
    Cosigner,
    NoteSigner,
    TileReader,
    TlogProof,
    add_signatures,
    encode_proof,
    encode_vkey,
    entry_leaf,
    integrate,
    sign_checkpoint,
)
from provenance.merkle import prove_inclusion
from provenance.policy import TrustedSource, TrustRoots
from provenance.signature import PrivateKey, encode_envelope, sign_envelope
from provenance.signature.keys import derive_private_key
from provenance.statement import (
    PAYLOAD_TYPE,
    BlockReference,
    DatasetName,
    DatasetStatement,
    Pin,
    PinnedName,
    encode_statement,
)
from provenance.statement.materials import encode_materials
from provenance.verify import ContentFinding, Evidence, EvidenceEntry

CREATED = "2026-01-02T03:04:05Z"


def key(number: int) -> PrivateKey:
    """A fixed Ed25519 key."""
    return derive_private_key("ed25519", Digest.of(b"forge %d" % number).raw)


def name(text: str) -> PinnedName:
    """`forge/<text>@1`."""
    return PinnedName(DatasetName("forge", text), "1")


def files(text: str) -> tuple[FileEntry, ...]:
    """One file whose content is `text`."""
    return (FileEntry("data", len(text), Digest.of(text.encode())),)


def pin(statement: DatasetStatement, envelope: bytes) -> Pin:
    """What a child writes of a parent."""
    return Pin(statement.name, statement.digest, Digest.of(envelope))


def statement(
    text: str,
    parents: Iterable[Pin] = (),
    *,
    origin: str | None = "https://forge.example",
    content: str | None = None,
    not_before: BlockReference | None = None,
) -> DatasetStatement:
    """A statement on `forge/<text>@1`, whose one file holds `content` (its name, if that is not given)."""
    fingerprint = fingerprint_files(files(text if content is None else content))
    pins = tuple(parents)
    materials = encode_materials(pins)[1] if len(pins) > MAX_INPUTS else None
    return DatasetStatement(
        name=name(text),
        fingerprint=fingerprint.document,
        manifest=Digest.of(encode_manifest(fingerprint)),
        created=CREATED,
        origin=origin,
        parents=pins,
        materials=materials,
        not_before=not_before,
    )


def sign(what: DatasetStatement, signer: PrivateKey) -> bytes:
    """The envelope's bytes."""
    return encode_envelope(sign_envelope(encode_statement(what), PAYLOAD_TYPE, signer))


@dataclass(slots=True)
class Log:
    """A log that appends anything."""

    signer: CheckpointSigner = field(default_factory=lambda: NoteSigner("forge.example/log", b"\x07" * 32))
    tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)
    envelopes: list[bytes] = field(default_factory=list)
    cosigners: tuple[Cosigner, ...] = ()

    def append(self, envelope: bytes) -> int:
        """The new entry's index."""
        grown = integrate(self._tile, len(self.envelopes), [entry_leaf(envelope)])
        self.tiles.update(grown.tiles)
        self.envelopes.append(envelope)
        return len(self.envelopes) - 1

    def checkpoint(self, size: int | None = None) -> bytes:
        """The signed checkpoint at a size; now, without one."""
        size = len(self.envelopes) if size is None else size
        checkpoint = Checkpoint(self.signer.name, size, self._reader().root_at(size))
        lines = [witness.cosign(checkpoint, 1_700_000_000) for witness in self.cosigners]
        return add_signatures(sign_checkpoint(checkpoint, self.signer), lines)

    def entry(self, index: int, size: int | None = None) -> EvidenceEntry:
        """The entry with its proof."""
        return self.entries_at([index], size)[0]

    def entries_at(self, indexes: Iterable[int], size: int | None = None) -> list[EvidenceEntry]:
        """The entries with their proofs in one tree."""
        size = len(self.envelopes) if size is None else size
        reader, checkpoint = self._reader(), self.checkpoint(size)
        proofs = [TlogProof(index, tuple(prove_inclusion(index, size, reader.read)), checkpoint) for index in indexes]
        return [EvidenceEntry(self.envelopes[proof.index], encode_proof(proof)) for proof in proofs]

    @property
    def vkey(self) -> str:
        """What a verifier trusts."""
        return encode_vkey(self.signer.verifiers[0])

    def _reader(self) -> TileReader:
        return TileReader(self._tile, len(self.envelopes))

    def _tile(self, level: int, index: int) -> bytes:
        return self.tiles.get((level, index), b"")


@dataclass(slots=True)
class Lineage:
    """Statements in one log, by the name they were added under."""

    log: Log = field(default_factory=Log)
    statements: dict[str, DatasetStatement] = field(default_factory=dict)
    indexes: dict[str, int] = field(default_factory=dict)

    def add(
        self,
        text: str,
        parents: Sequence[str] = (),
        *,
        signer: PrivateKey | None = None,
        origin: str | None = "https://forge.example",
        content: str | None = None,
    ) -> Digest:
        """Append a statement made from earlier ones; its envelope's digest."""
        made = statement(text, [self.pin(parent) for parent in parents], origin=origin, content=content)
        return self.add_made(text, made, signer)

    def add_made(self, label: str, made: DatasetStatement, signer: PrivateKey | None = None) -> Digest:
        """As `add`, for a statement that is made already."""
        envelope = sign(made, signer or key(1))
        self.statements[label], self.indexes[label] = made, self.log.append(envelope)
        return Digest.of(envelope)

    def pin(self, label: str) -> Pin:
        """The pin of an earlier statement."""
        return pin(self.statements[label], self.log.envelopes[self.indexes[label]])

    def entry(self, label: str, size: int | None = None) -> EvidenceEntry:
        """Its entry and proof."""
        return self.log.entry(self.indexes[label], size)

    def evidence(self, target: str, *others: str) -> Evidence:
        """The evidence for `target` with these other entries; with all of them, if none is named."""
        labels = (target, *(others or (label for label in self.statements if label != target)))
        entries = tuple(self.log.entries_at(self.indexes[label] for label in labels))
        return Evidence(entries[0].digest, entries, keys=(key(1).public,))

    def trust(self, *numbers: int, **changes: object) -> TrustRoots:
        """Trust in this log and in the keys of these numbers (1, if none)."""
        sources = tuple(TrustedSource(f"key {number}", key(number).public) for number in numbers or (1,))
        return replace(TrustRoots(sources=sources, logs=(self.log.vkey,)), **changes)  # type: ignore[arg-type]

    def content(self, label: str) -> dict[str, ContentFinding]:
        """Its bytes, found."""
        made = self.statements[label]
        return {str(made.name): ContentFinding(made.digest, "in hand")}
