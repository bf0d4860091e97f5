"""What is anchored on an EVM chain, and the receipt that proves it without one."""

from provenance.anchor.calldata import (
    AnchoredEvent,
    Head,
    decode_anchored,
    decode_head,
    encode_anchor,
    encode_head,
    origin_id,
)
from provenance.anchor.header import BlockHeader, parse_header
from provenance.anchor.hexdata import checksum_address, parse_address
from provenance.anchor.inclusion import build_receipt, verify_receipt
from provenance.anchor.receipt import (
    CLAIMED_FIELDS,
    DEVELOPMENT_CHAIN_ID,
    AnchorReceipt,
    encode_receipt,
    parse_receipt,
    parse_receipt_bytes,
)

__all__ = [
    "CLAIMED_FIELDS",
    "DEVELOPMENT_CHAIN_ID",
    "AnchorReceipt",
    "AnchoredEvent",
    "BlockHeader",
    "Head",
    "build_receipt",
    "checksum_address",
    "decode_anchored",
    "decode_head",
    "encode_anchor",
    "encode_head",
    "encode_receipt",
    "origin_id",
    "parse_address",
    "parse_header",
    "parse_receipt",
    "parse_receipt_bytes",
    "verify_receipt",
]
