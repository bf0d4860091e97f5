"""Manifests: the file leaves of a dataset, one canonical JSON line each.

Invariants: lines are in leaf order and end in one newline; a manifest re-encodes to the same bytes; the root over its
lines is the file root of the fingerprint document that it belongs to.
"""

from __future__ import annotations

from dataclasses import replace

from provenance.encoding import Digest
from provenance.errors import MalformedError, VerificationError
from provenance.fingerprint.document import Fingerprint, FingerprintDocument, fingerprint_files
from provenance.fingerprint.files import encode_leaf, parse_leaf
from provenance.limits import MAX_MANIFEST_BYTES, check_size


def encode_manifest(fingerprint: Fingerprint) -> bytes:
    """The manifest's bytes."""
    return b"".join(encode_leaf(entry) + b"\n" for entry in fingerprint.files)


def parse_manifest(data: bytes) -> Fingerprint:
    """The fingerprint a manifest describes; `MalformedError` with the line that is wrong."""
    check_size("manifest", len(data), MAX_MANIFEST_BYTES)
    if not data.endswith(b"\n"):
        raise MalformedError("manifest does not end in a newline", got=f"{len(data)} bytes")
    entries = []
    for number, line in enumerate(data[:-1].split(b"\n"), 1):
        try:
            entries.append(parse_leaf(line))
        except MalformedError as error:
            raise MalformedError(error.what, expected=error.expected, got=error.got, where=f"line {number}") from error
    fingerprint = fingerprint_files(entries)
    if encode_manifest(fingerprint) != data:
        raise MalformedError("manifest is not in order", expected="lines sorted by the UTF-8 bytes of their paths")
    return fingerprint


def open_manifest(data: bytes, document: FingerprintDocument) -> Fingerprint:
    """The fingerprint in a manifest that belongs to `document`; `VerificationError` if its root is another."""
    fingerprint = parse_manifest(data)
    # A manifest lists files; the records under the document's other root are no part of it.
    if fingerprint.document != replace(document, records=None):
        found: Digest = fingerprint.document.file_root
        raise VerificationError("manifest is another dataset's", expected=document.file_root, got=found)
    return fingerprint
