"""JSON views of what the ledger keeps, for the answers that no stage gives as JSON itself.

Invariants: digests are lower-case hex under the name of their algorithm, bytes are standard base64; nothing says where
on this machine anything lies.
"""

from __future__ import annotations

from collections.abc import Sequence

from provenance.encoding import Digest, JsonValue, b64encode, parse_json
from provenance.ledger import pinned_name
from provenance.limits import MAX_BUNDLE_BYTES, MAX_ENTRY_BYTES
from provenance.log import entry_leaf
from provenance.signature import parse_envelope
from provenance.stores import DatasetRow, EntryRow, OutboxRow


def dataset_json(row: DatasetRow) -> JsonValue:
    """One version of one dataset."""
    return {
        "name": pinned_name(row),
        "digest": {"sha256": row.digest.hex},
        "index": row.entry_index,
        "kind": row.kind,
        "sensitivity": row.sensitivity,
        "license": row.license,
        "signer": row.keyid,
        "created": row.created,
        "fileRoot": row.file_root.hex(),
        "manifest": {"sha256": row.manifest.hex} if row.manifest is not None else None,
        "omsBundle": {"sha256": row.oms.hex} if row.oms is not None else None,
    }


def entry_json(row: EntryRow, proof: bytes) -> JsonValue:
    """One log entry: its exact bytes, what they say, and its tlog-proof."""
    envelope = parse_json(row.envelope, what="envelope", max_bytes=MAX_ENTRY_BYTES)
    payload = parse_envelope(row.envelope).payload
    return {
        "index": row.index,
        "leafHash": entry_leaf(row.envelope).hex(),
        "envelope": {
            "sha256": Digest.of(row.envelope).hex,
            "base64": b64encode(row.envelope),
            "json": envelope,
            "statement": parse_json(payload, what="statement", max_bytes=MAX_ENTRY_BYTES),
        },
        "proof": proof.decode("utf-8"),
    }


def anchor_json(row: OutboxRow) -> JsonValue:
    """One anchored checkpoint: the transaction and, once it is mined, the anchor receipt."""
    receipt = parse_json(row.receipt, what="receipt", max_bytes=MAX_BUNDLE_BYTES) if row.receipt is not None else None
    return {
        "id": row.id,
        "state": row.state,
        "chainId": row.chain_id,
        "contract": row.contract,
        "publisher": row.publisher,
        "origin": row.origin,
        "size": row.size,
        "root": row.root.hex() if row.root is not None else None,
        "transaction": f"0x{row.transaction.hex()}",
        "receipt": receipt,
    }


def page_json(items: Sequence[JsonValue], next_cursor: str | None) -> dict[str, JsonValue]:
    """One page of a list."""
    return {"items": list(items), "nextCursor": next_cursor}
