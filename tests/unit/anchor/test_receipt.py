"""The anchor receipt as a value and as JSON: one encoding, and nothing ill-formed."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from provenance.anchor.header import MAX_HEADER_BYTES
from provenance.anchor.receipt import (
    MAX_ANCHOR_RECEIPT_BYTES,
    MAX_CLIENT_CHARS,
    MAX_PROVEN_RECEIPT_BYTES,
    AnchorReceipt,
    encode_receipt,
    parse_receipt,
    parse_receipt_bytes,
)
from provenance.anchor.trie import MAX_TRIE_ITEMS, MAX_TRIE_PROOF_NODES
from provenance.encoding import canonical_json
from provenance.errors import LimitError, MalformedError
from provenance.limits import MAX_SAFE_INTEGER, MAX_URI_CHARS
from tests.unit.anchor.anchored_block import built_receipt, changed


def as_json() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(encode_receipt(built_receipt()))
    return value


def test_round_trip() -> None:
    receipt = built_receipt()
    assert parse_receipt(receipt.to_json()) == receipt
    assert parse_receipt_bytes(encode_receipt(receipt)) == receipt
    assert encode_receipt(parse_receipt_bytes(encode_receipt(receipt))) == encode_receipt(receipt)


def test_it_holds_every_field_and_its_media_type() -> None:
    assert len(as_json()) == len(fields(AnchorReceipt)) + 1
    assert as_json()["mediaType"] == "application/vnd.provenance-ledger.anchor-receipt.v1+json"


def test_every_truncation_is_refused() -> None:
    data = encode_receipt(built_receipt())
    for length in range(len(data)):
        with pytest.raises(MalformedError):
            parse_receipt_bytes(data[:length])


def test_no_byte_can_change_without_changing_the_receipt() -> None:
    receipt = built_receipt()
    data = encode_receipt(receipt)
    for at in range(len(data)):
        changed = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
        try:
            assert parse_receipt_bytes(changed) != receipt
        except MalformedError:
            continue


def test_other_encodings_of_the_same_value_are_refused() -> None:
    data = encode_receipt(built_receipt())
    reordered = json.dumps(dict(reversed(as_json().items())), separators=(",", ":")).encode()
    variants = [
        data + b"\n",
        b" " + data,
        json.dumps(as_json()).encode(),
        reordered,
        data.replace(b'"py-evm"', b'"py\\u002devm"'),
        data.replace(b'"size":1017', b'"size":1017.0'),
        data.replace(b'"size":1017', b'"size":1.017e3'),
        data.replace(b'"size":1017', b'"size":1017,"size":1017'),
        b"\xef\xbb\xbf" + data,
    ]
    for variant in variants:
        assert variant != data
        with pytest.raises(MalformedError):
            parse_receipt_bytes(variant)


def test_every_field_is_required_and_typed() -> None:
    for name in as_json():
        _check_required_and_typed(name)


def _check_required_and_typed(name: str) -> None:
    value = as_json()
    del value[name]
    with pytest.raises(MalformedError):
        parse_receipt(value)
    wrong: Any
    for wrong in (None, {}, [], [[]], "", "text", -1, 0.5, 2**60, "0x", "0xAB", "0x0", "a\nb", "\ud800"):
        value = as_json() | {name: wrong}
        if name in ("client", "finality", "origin") and wrong in ("text", "0x", "0xAB", "0x0"):
            continue
        if name in ("header", "receipt") and wrong == "0x":
            continue  # empty bytes have a form; they verify nothing
        if name == "receiptProof" and wrong == []:
            continue
        with pytest.raises(MalformedError):
            parse_receipt(value)


def test_true_is_no_number_and_1_no_truth() -> None:
    for name in ("chainId", "size", "sequence", "blockNumber"):
        with pytest.raises(MalformedError):
            parse_receipt(as_json() | {name: True})
    with pytest.raises(MalformedError):
        parse_receipt(as_json() | {"development": 1})


@pytest.mark.parametrize("value", [None, [], "text", 5, True])
def test_only_an_object_is_a_receipt(value: Any) -> None:
    with pytest.raises(MalformedError):
        parse_receipt(value)


def test_unknown_fields_and_versions_are_refused() -> None:
    with pytest.raises(MalformedError, match="unknown field"):
        parse_receipt(as_json() | {"note": "text"})
    with pytest.raises(MalformedError):
        parse_receipt(as_json() | {"mediaType": "application/vnd.provenance-ledger.anchor-receipt.v2+json"})


@pytest.mark.parametrize("name", ["contract", "publisher"])
def test_addresses_have_one_form(name: str) -> None:
    good = getattr(built_receipt(), name)
    for wrong in ("0x" + good[2:].upper(), good[2:], good[:-2], good + "00", good[:-1] + "g", ""):
        with pytest.raises(MalformedError):
            changed(built_receipt(), name, wrong)


@pytest.mark.parametrize("name", ["root", "transaction", "block_hash"])
def test_hashes_have_32_bytes(name: str) -> None:
    for wrong in (b"", bytes(31), bytes(33)):
        with pytest.raises(MalformedError):
            changed(built_receipt(), name, wrong)


@pytest.mark.parametrize(
    ("name", "minimum", "maximum"),
    [
        ("chain_id", 1, MAX_SAFE_INTEGER),
        ("size", 1, MAX_SAFE_INTEGER),
        ("sequence", 1, MAX_SAFE_INTEGER),
        ("block_number", 0, MAX_SAFE_INTEGER),
        ("block_time_s", 0, MAX_SAFE_INTEGER),
        ("log_index", 0, MAX_SAFE_INTEGER),
        ("transaction_index", 0, MAX_TRIE_ITEMS - 1),
    ],
)
def test_integers_are_bounded(name: str, minimum: int, maximum: int) -> None:
    for good in (minimum, maximum):
        receipt = changed(built_receipt(), name, good)
        assert parse_receipt_bytes(encode_receipt(receipt)) == receipt
    for wrong in (minimum - 1, maximum + 1, 2**64, 2**256):
        with pytest.raises(MalformedError, match="out of range"):
            changed(built_receipt(), name, wrong)


@pytest.mark.parametrize("name", ["client", "finality"])
def test_words_shown_to_people_cannot_redraw_a_terminal(name: str) -> None:
    for wrong in ("", "a\x1b[2J", "a\nb", "a\u202eb", "\ud800", "c" * (MAX_CLIENT_CHARS + 1)):
        with pytest.raises(MalformedError):
            changed(built_receipt(), name, wrong)
    assert changed(built_receipt(), name, "Geth/v1.16 (große Kette)")


def test_limits() -> None:
    receipt = built_receipt()
    too_large: list[dict[str, Any]] = [
        {"header": bytes(MAX_HEADER_BYTES + 1)},
        {"receipt": bytes(MAX_PROVEN_RECEIPT_BYTES + 1)},
        {"receipt_proof": (b"",) * (MAX_TRIE_PROOF_NODES + 1)},
        {"receipt_proof": (bytes(MAX_PROVEN_RECEIPT_BYTES + 65),)},
        {"origin": "o" * (MAX_URI_CHARS + 1)},
    ]
    for change in too_large:
        with pytest.raises(LimitError):
            replace(receipt, **change)
    with pytest.raises(LimitError):
        parse_receipt_bytes(b" " * (MAX_ANCHOR_RECEIPT_BYTES + 1))
    with pytest.raises(LimitError):
        encode_receipt(replace(receipt, receipt_proof=(bytes(MAX_PROVEN_RECEIPT_BYTES),) * MAX_TRIE_PROOF_NODES))


def test_the_largest_receipt_with_its_proof_can_be_encoded() -> None:
    leaf = bytes(MAX_PROVEN_RECEIPT_BYTES)
    branches = (bytes(532),) * (MAX_TRIE_PROOF_NODES - 1)
    largest = replace(
        built_receipt(), header=bytes(MAX_HEADER_BYTES), receipt=leaf, receipt_proof=(*branches, leaf + bytes(64))
    )
    assert parse_receipt_bytes(encode_receipt(largest)) == largest


def test_json_bombs_are_refused() -> None:
    deep = b'{"mediaType":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for data in (deep, b"\xff\xfe", b"", b"null", b"[]", b'{"size":1e999}', b'{"size":' + b"9" * 5000 + b"}"):
        with pytest.raises(MalformedError):
            parse_receipt_bytes(data)
    nested: Any = as_json()
    nested["receiptProof"] = [[["0x00"]]]
    with pytest.raises(MalformedError):
        parse_receipt_bytes(canonical_json(nested))
