"""Fingerprints of datasets: file leaves, the document, manifests and differences."""

from provenance.fingerprint.algorithm import Algorithm, Hasher, new_hasher, parse_algorithm
from provenance.fingerprint.diff import Change, ChangeKind, diff_files
from provenance.fingerprint.document import (
    Fingerprint,
    FingerprintDocument,
    fingerprint_files,
    fingerprint_list,
    parse_document,
    same_files,
)
from provenance.fingerprint.files import (
    FileEntry,
    FileList,
    check_path,
    encode_leaf,
    file_root,
    leaf_text,
    leaf_texts,
    parse_leaf,
    sort_entries,
)
from provenance.fingerprint.manifest import encode_manifest, open_manifest, parse_manifest
from provenance.fingerprint.parameters import Parameters, parse_parameters
from provenance.fingerprint.records import RecordFingerprint, parse_record_fingerprint

__all__ = [
    "Algorithm",
    "Change",
    "ChangeKind",
    "FileEntry",
    "FileList",
    "Fingerprint",
    "FingerprintDocument",
    "Hasher",
    "Parameters",
    "RecordFingerprint",
    "check_path",
    "diff_files",
    "encode_leaf",
    "encode_manifest",
    "file_root",
    "fingerprint_files",
    "fingerprint_list",
    "leaf_text",
    "leaf_texts",
    "new_hasher",
    "open_manifest",
    "parse_algorithm",
    "parse_document",
    "parse_leaf",
    "parse_manifest",
    "parse_parameters",
    "parse_record_fingerprint",
    "same_files",
    "sort_entries",
]
