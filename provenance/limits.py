"""Every cap of the system, with its unit. A limit that is not here does not exist.

Invariants: each value is a plain integer; what exceeds it is a `LimitError` that names the limit and the size found.
"""

from __future__ import annotations

from typing import Final

from provenance.errors import LimitError

MAX_UINT64: Final = 2**64 - 1
MAX_SAFE_INTEGER: Final = 2**53 - 1
"""Largest integer that RFC 8785 canonical JSON carries exactly."""

MAX_ENTRY_BYTES: Final = 65_535
"""A log entry: its length is a big-endian u16 in an entry bundle (C2SP tlog-tiles)."""
MAX_JSON_DEPTH: Final = 32
MAX_BUNDLE_BYTES: Final = 256 * 2**20
MAX_MANIFEST_BYTES: Final = 1 * 2**30
MAX_OMS_BYTES: Final = 512 * 2**20
MAX_TRUST_BYTES: Final = 16 * 2**20
MAX_KEY_BYTES: Final = 16 * 2**10
MAX_NOTE_BYTES: Final = 1_000_000
MAX_NOTE_SIGNATURES: Final = 100
MAX_PROOF_HASHES: Final = 64
MAX_INPUTS: Final = 256
"""Parents a statement names itself; more go into a material list."""

MAX_PATH_BYTES: Final = 4_096
MAX_FILES: Final = 10_000_000
MAX_NAMESPACE_CHARS: Final = 64
MAX_NAME_CHARS: Final = 128
MAX_VERSION_CHARS: Final = 64
MAX_URI_CHARS: Final = 2_048
MAX_LICENSE_CHARS: Final = 256
MAX_TEXT_CHARS: Final = 4_096
MAX_LINEAGE_NODES: Final = 100_000

MAX_REQUEST_BYTES: Final = 64 * 2**20
"""An HTTP request body, decompressed."""
MAX_UPLOAD_BYTES: Final = 1 * 2**30
MAX_PAGE_ITEMS: Final = 1_000
MAX_HTTP_RESPONSE_BYTES: Final = 64 * 2**20
MAX_CONFIG_BYTES: Final = 1 * 2**20


def check_size(what: str, size: int, max_size: int, unit: str = "bytes") -> None:
    """Raise `LimitError` if `size` is above `max_size`."""
    if size > max_size:
        raise LimitError(f"{what} is too large", expected=f"at most {max_size} {unit}", got=f"{size} {unit}")
