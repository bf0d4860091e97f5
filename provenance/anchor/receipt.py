"""The anchor receipt: what is kept of an anchor, so that it can be checked with no chain at hand.

Invariants: a constructed receipt is well formed: byte fields have their lengths, addresses are lower-case, integers
fit canonical JSON; `parse_receipt(receipt.to_json()) == receipt`, and one receipt has one encoding. Well formed is not
verified: `provenance.anchor.inclusion.verify_receipt` says what a receipt proves.

Example and field list: docs/formats/anchor-receipt.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from provenance.anchor.calldata import origin_id
from provenance.anchor.header import MAX_HEADER_BYTES
from provenance.anchor.hexdata import ADDRESS_BYTES, encode_hex, parse_hex, parse_hex_exact
from provenance.anchor.trie import MAX_TRIE_ITEMS, MAX_TRIE_PROOF_NODES
from provenance.encoding import Fields, JsonValue, canonical_json, parse_json
from provenance.errors import MalformedError
from provenance.limits import MAX_SAFE_INTEGER, MAX_URI_CHARS, check_size

RECEIPT_MEDIA_TYPE: Final = "application/vnd.provenance-ledger.anchor-receipt.v1+json"
MAX_PROVEN_RECEIPT_BYTES: Final = 128 * 2**10
"""The consensus receipt of an anchoring transaction: about 500, more where a wallet contract bundles calls."""
MAX_ANCHOR_RECEIPT_BYTES: Final = 1 * 2**20
"""An anchor receipt's JSON: it holds the consensus receipt twice, in hex, and a header."""
MAX_CLIENT_CHARS: Final = 256

DEVELOPMENT_CHAIN_ID: Final = 1_886_547_830
"""EIP-155 chain id of every embedded chain: the bytes `prov`. Transactions for it are worthless anywhere else."""

CLAIMED_FIELDS: Final = ("chain_id", "client", "development", "finality", "transaction")
"""Fields that no block proves: whoever wrote the receipt says them. The others are covered by `block_hash`."""

_HASH_BYTES = 32
_MAX_NODE_BYTES = MAX_PROVEN_RECEIPT_BYTES + 64


@dataclass(frozen=True, slots=True)
class AnchorReceipt:
    """One anchored checkpoint and what leads from its event to a block hash. `MalformedError` if not well formed.

    chain_id           EIP-155 chain id, 1 or more
    client             the node's own name for its software
    contract           CheckpointAnchor, `0x` and 40 lower-case hex digits; `publisher`, who anchored, likewise
    origin, size, root the checkpoint: origin line, leaves (1 or more), 32 bytes that are not all zero
    sequence           how many times this (publisher, origin) has been anchored, this time included
    transaction        32-byte hash
    block_number, block_hash, block_time_s    the block, with its own time in Unix seconds
    transaction_index  position in the block;  log_index: position among that transaction's own logs, from 0 (not the
                       block-wide index of JSON-RPC, which nothing in the receipt could prove)
    finality           what the chain was said to promise for this block when the receipt was written
    development        True where a single operator can rewrite the chain
    header             RLP of the block header;  receipt: the transaction's consensus-encoded receipt
    receipt_proof      trie nodes from the header's receipts root to that receipt
    """

    chain_id: int
    client: str
    contract: str
    publisher: str
    origin: str
    size: int
    root: bytes
    sequence: int
    transaction: bytes
    block_number: int
    block_hash: bytes
    block_time_s: int
    log_index: int
    finality: str
    development: bool
    header: bytes
    receipt: bytes
    receipt_proof: tuple[bytes, ...]
    transaction_index: int

    def __post_init__(self) -> None:
        for name in ("chain_id", "size", "sequence"):
            _check_integer(name, getattr(self, name), 1, MAX_SAFE_INTEGER)
        for name in ("block_number", "block_time_s", "log_index"):
            _check_integer(name, getattr(self, name), 0, MAX_SAFE_INTEGER)
        _check_integer("transaction_index", self.transaction_index, 0, MAX_TRIE_ITEMS - 1)
        for name in ("contract", "publisher"):
            parse_hex_exact(getattr(self, name), what=f"anchor receipt {name}", size=ADDRESS_BYTES)
        for name in ("client", "finality"):
            _check_text(name, getattr(self, name))
        for name in ("root", "transaction", "block_hash"):
            _check_hash(name, getattr(self, name))
        if not any(self.root):
            raise MalformedError("anchor receipt root is zero", expected="a root that can be anchored")
        origin_id(self.origin)
        check_size("anchor receipt header", len(self.header), MAX_HEADER_BYTES)
        check_size("anchor receipt consensus receipt", len(self.receipt), MAX_PROVEN_RECEIPT_BYTES)
        check_size("anchor receipt proof", len(self.receipt_proof), MAX_TRIE_PROOF_NODES, "nodes")
        for node in self.receipt_proof:
            check_size("anchor receipt proof node", len(node), _MAX_NODE_BYTES)

    def to_json(self) -> dict[str, JsonValue]:
        """The receipt as a JSON object: camelCase names, bytes as `0x` and lower-case hex."""
        return {
            "mediaType": RECEIPT_MEDIA_TYPE,
            "chainId": self.chain_id,
            "client": self.client,
            "contract": self.contract,
            "publisher": self.publisher,
            "origin": self.origin,
            "size": self.size,
            "root": encode_hex(self.root),
            "sequence": self.sequence,
            "transaction": encode_hex(self.transaction),
            "blockNumber": self.block_number,
            "blockHash": encode_hex(self.block_hash),
            "blockTimeSeconds": self.block_time_s,
            "transactionIndex": self.transaction_index,
            "logIndex": self.log_index,
            "finality": self.finality,
            "development": self.development,
            "header": encode_hex(self.header),
            "receipt": encode_hex(self.receipt),
            "receiptProof": [encode_hex(node) for node in self.receipt_proof],
        }


def parse_receipt(value: JsonValue) -> AnchorReceipt:
    """The receipt in a parsed JSON object. `MalformedError` for a missing, unknown or ill-formed field."""
    fields = Fields(value, "anchor receipt")
    fields.constant("mediaType", RECEIPT_MEDIA_TYPE)
    receipt = AnchorReceipt(
        chain_id=fields.integer("chainId"),
        client=fields.string("client", max_chars=MAX_CLIENT_CHARS),
        contract=fields.string("contract"),
        publisher=fields.string("publisher"),
        origin=fields.string("origin", max_chars=MAX_URI_CHARS),
        size=fields.integer("size"),
        root=_parse_hash(fields, "root"),
        sequence=fields.integer("sequence"),
        transaction=_parse_hash(fields, "transaction"),
        block_number=fields.integer("blockNumber"),
        block_hash=_parse_hash(fields, "blockHash"),
        block_time_s=fields.integer("blockTimeSeconds"),
        log_index=fields.integer("logIndex"),
        finality=fields.string("finality", max_chars=MAX_CLIENT_CHARS),
        development=fields.boolean("development"),
        header=_parse_data(fields, "header", MAX_HEADER_BYTES),
        receipt=_parse_data(fields, "receipt", MAX_PROVEN_RECEIPT_BYTES),
        receipt_proof=tuple(
            parse_hex(node, what="anchor receipt.receiptProof", max_bytes=_MAX_NODE_BYTES)
            for node in fields.array("receiptProof", max_items=MAX_TRIE_PROOF_NODES)
        ),
        transaction_index=fields.integer("transactionIndex"),
    )
    fields.end()
    return receipt


def encode_receipt(receipt: AnchorReceipt) -> bytes:
    """The receipt as canonical JSON (RFC 8785), at most `MAX_ANCHOR_RECEIPT_BYTES`."""
    data = canonical_json(receipt.to_json())
    check_size("anchor receipt", len(data), MAX_ANCHOR_RECEIPT_BYTES)
    return data


def parse_receipt_bytes(data: bytes) -> AnchorReceipt:
    """The receipt that `encode_receipt` wrote; `MalformedError` for any other bytes, even of the same JSON value."""
    receipt = parse_receipt(parse_json(data, what="anchor receipt", max_bytes=MAX_ANCHOR_RECEIPT_BYTES))
    if encode_receipt(receipt) != data:
        raise MalformedError("anchor receipt is not canonical JSON", expected="RFC 8785", got="another encoding")
    return receipt


def _parse_hash(fields: Fields, name: str) -> bytes:
    return parse_hex_exact(fields.value(name), what=f"anchor receipt.{name}", size=_HASH_BYTES)


def _parse_data(fields: Fields, name: str, max_bytes: int) -> bytes:
    return parse_hex(fields.value(name), what=f"anchor receipt.{name}", max_bytes=max_bytes)


def _check_integer(name: str, value: int, minimum: int, maximum: int) -> None:
    if not minimum <= value <= maximum:
        raise MalformedError(f"anchor receipt {name} is out of range", expected=f"{minimum} to {maximum}", got=value)


def _check_hash(name: str, value: bytes) -> None:
    if len(value) != _HASH_BYTES:
        got = f"{len(value)} bytes"
        raise MalformedError(f"anchor receipt {name} has the wrong length", expected=f"{_HASH_BYTES} bytes", got=got)


def _check_text(name: str, value: str) -> None:
    check_size(f"anchor receipt {name}", len(value), MAX_CLIENT_CHARS, "characters")
    # These words are shown to people: what could redraw a terminal does not get that far.
    if not value or not value.isprintable():
        raise MalformedError(f"anchor receipt {name} is not text", expected="printable characters", got=repr(value))
