"""Fingerprints of datasets: file leaves, the document, manifests and differences."""

from provenance.fingerprint.diff import Change, ChangeKind, diff_files
from provenance.fingerprint.document import Fingerprint, FingerprintDocument, fingerprint_files, parse_document
from provenance.fingerprint.files import FileEntry, check_path, encode_leaf, file_root, parse_leaf, sort_entries
from provenance.fingerprint.manifest import encode_manifest, open_manifest, parse_manifest

__all__ = [
    "Change",
    "ChangeKind",
    "FileEntry",
    "Fingerprint",
    "FingerprintDocument",
    "check_path",
    "diff_files",
    "encode_leaf",
    "encode_manifest",
    "file_root",
    "fingerprint_files",
    "open_manifest",
    "parse_document",
    "parse_leaf",
    "parse_manifest",
    "sort_entries",
]
