"""The caps that several modules share, with their units. A cap of one format alone stands beside its parser.

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
MAX_BUNDLE_BYTES: Final = 512 * 2**20
MAX_MANIFEST_BYTES: Final = 1 * 2**30
MAX_OMS_BYTES: Final = 512 * 2**20
MAX_TRUST_BYTES: Final = 16 * 2**20
MAX_KEY_BYTES: Final = 16 * 2**10
MAX_NOTE_BYTES: Final = 1_000_000
MAX_NOTE_SIGNATURES: Final = 100
MAX_TLOG_POLICY_BYTES: Final = 1 * 2**20
MAX_TLOG_POLICY_ITEMS: Final = 256
"""Logs, witnesses and groups of a witness policy (C2SP tlog-policy), of each so many."""
MAX_PROOF_HASHES: Final = 64
MAX_INPUTS: Final = 256
"""Parents a statement names itself; more go into a material list."""
MAX_MATERIALS: Final = 2**17 - 1
"""Parents in a material list: with the statement itself, a lineage may have as many."""

MAX_PATH_BYTES: Final = 4_096
MAX_FILES: Final = 10_000_000
MAX_NAMESPACE_CHARS: Final = 64
MAX_NAME_CHARS: Final = 128
MAX_VERSION_CHARS: Final = 64
MAX_URI_CHARS: Final = 2_048
MAX_LICENSE_CHARS: Final = 256
MAX_TEXT_CHARS: Final = 4_096
MAX_LINEAGE_NODES: Final = 2**17

MAX_REQUEST_BYTES: Final = 64 * 2**20
"""An HTTP request body, decompressed."""
MAX_UPLOAD_BYTES: Final = 1 * 2**30
MAX_JSON_NODES: Final = 1_000_000
"""Values in the JSON of an HTTP request, about: brackets and commas."""
MAX_HELD_BYTES: Final = 256 * 2**20
"""HTTP request bodies in a server's memory, all together."""
MAX_HEAD_BYTES: Final = 32 * 2**10
"""An HTTP request line and its header fields."""
MAX_URL_BYTES: Final = 4_096
"""An HTTP request's path and query, as sent."""
MAX_CONNECTIONS: Final = 512
MAX_REQUESTS: Final = 64
"""HTTP requests that a server answers at a time; more are told to come back."""
MAX_HEAVY_REQUESTS: Final = 16
"""Of those, such as verify a lineage or write a bundle."""
MAX_UPLOADS: Final = 8
"""Of those, file uploads."""
MAX_PAGE_ITEMS: Final = 1_000
MAX_HTTP_RESPONSE_BYTES: Final = 64 * 2**20
MAX_CONFIG_BYTES: Final = 1 * 2**20
MAX_SCHEMA_BYTES: Final = 64 * 2**20


def check_size(what: str, size: int, max_size: int, unit: str = "bytes") -> None:
    """Raise `LimitError` if `size` is above `max_size`."""
    if size > max_size:
        raise LimitError(f"{what} is too large", expected=f"at most {max_size} {unit}", got=f"{size} {unit}")
