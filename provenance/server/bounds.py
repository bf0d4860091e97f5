"""What one server takes on: sizes, counts and times.

Invariants: every input has a bound here, and what is over a bound is refused with a problem document, never dropped
in silence; the values are those of `provenance.limits` unless the operator chose others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from provenance.limits import (
    MAX_CONNECTIONS,
    MAX_HEAD_BYTES,
    MAX_HEAVY_REQUESTS,
    MAX_HELD_BYTES,
    MAX_REQUEST_BYTES,
    MAX_REQUESTS,
    MAX_UPLOAD_BYTES,
    MAX_UPLOADS,
    MAX_URL_BYTES,
)


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Bytes, counts and seconds.

    max_request_bytes     a JSON body of /v1/verify;  max_upload_bytes: an uploaded file with what is around it
    max_held_bytes        bodies in memory, all requests together (uploads are hashed and not held)
    max_requests          answered at a time; of those `max_heavy_requests` that walk a lineage, and `max_uploads`
    head_timeout_s        for a request's head;  keep_alive_s: between two requests of one connection
    body_timeout_s        for a body, and one second more for every `min_body_bytes_per_s` that have come
    send_timeout_s        for a client to take what was written, 128 KiB at most at a time
    *_threads             how many calls of the ledger run at a time, by kind
    """

    max_request_bytes: int = MAX_REQUEST_BYTES
    max_upload_bytes: int = MAX_UPLOAD_BYTES
    max_held_bytes: int = MAX_HELD_BYTES
    max_url_bytes: int = MAX_URL_BYTES
    max_head_bytes: int = MAX_HEAD_BYTES
    max_connections: int = MAX_CONNECTIONS
    max_requests: int = MAX_REQUESTS
    max_heavy_requests: int = MAX_HEAVY_REQUESTS
    max_uploads: int = MAX_UPLOADS
    head_timeout_s: float = 10
    body_timeout_s: float = 30
    min_body_bytes_per_s: int = 64 * 2**10
    send_timeout_s: float = 30
    keep_alive_s: int = 5
    shutdown_timeout_s: int = 15
    retry_after_s: int = 1
    reading_threads: int = 16
    writing_threads: int = 4
    heavy_threads: int = 4


DEFAULT_LIMITS: Final = ServerLimits()
