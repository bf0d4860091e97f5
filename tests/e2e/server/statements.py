"""Statements as a source elsewhere makes them: on its own machine, with its own key."""

from __future__ import annotations

from collections.abc import Sequence

from provenance.encoding import Digest
from provenance.fingerprint import FileEntry, fingerprint_files
from provenance.signature import PrivateKey, derive_private_key, encode_envelope, sign_envelope
from provenance.signature.keys import SEED_BYTES, Algorithm
from provenance.statement import PAYLOAD_TYPE, DatasetStatement, Pin, PinnedName, encode_statement, parse_statement

FILE_NAME = "data.csv"


def source_key(number: int, algorithm: Algorithm = "ed25519") -> PrivateKey:
    """A source's key, the same at every run."""
    return derive_private_key(algorithm, bytes([number]) * SEED_BYTES[algorithm])


def statement_of(name: str, content: bytes, parents: Sequence[Pin] = ()) -> DatasetStatement:
    """A statement on a dataset of one file, `data.csv`."""
    fingerprint = fingerprint_files([FileEntry(FILE_NAME, len(content), Digest.of(content))])
    return DatasetStatement(
        name=PinnedName.parse(name),
        fingerprint=fingerprint.document,
        manifest=Digest.of(b"manifest of " + content),
        created="2026-01-02T03:04:05Z",
        origin="https://example.org/data",
        parents=tuple(parents),
    )


def envelope_of(key: PrivateKey, name: str, content: bytes = b"a,b\n1,2\n", parents: Sequence[Pin] = ()) -> bytes:
    """The signed envelope of `statement_of`."""
    payload = encode_statement(statement_of(name, content, parents))
    parse_statement(payload, strict=True)
    return encode_envelope(sign_envelope(payload, PAYLOAD_TYPE, key))


def as_parent(name: str, content: bytes, envelope: bytes) -> Pin:
    """The pin of a dataset as a parent."""
    return Pin(PinnedName.parse(name), statement_of(name, content).digest, Digest.of(envelope))
