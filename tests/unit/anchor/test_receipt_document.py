"""docs/formats/anchor-receipt.md says what the code does."""

from __future__ import annotations

import json
import re
from functools import cache

from provenance.anchor import receipt, trie
from provenance.anchor.calldata import ANCHORED_TOPIC
from provenance.anchor.header import MAX_HEADER_BYTES
from provenance.anchor.inclusion import verify_receipt
from provenance.anchor.receipt import CLAIMED_FIELDS, encode_receipt, parse_receipt
from provenance.encoding import canonical_json
from tests.paths import PROJECT
from tests.unit.anchor.anchored_block import documented_receipt


@cache
def page() -> str:
    return (PROJECT / "docs/formats/anchor-receipt.md").read_text("utf-8")


def example() -> object:
    found = re.findall(r"^```json\n(.*?)^```$", page(), re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return json.loads(found[0])


def table() -> dict[str, str]:
    """Field name to the column that says whether a block proves it."""
    return dict(re.findall(r"^\| `(\w+)` \|.*\| (proven|claimed|format) \|$", page(), re.MULTILINE))


def test_the_example_is_what_the_code_makes_and_verifies() -> None:
    value = example()
    expected = documented_receipt()
    assert canonical_json(value) == encode_receipt(expected)
    shown = json.dumps(expected.to_json(), indent=2, sort_keys=True)
    assert f"```json\n{shown}\n```" in page(), f"the example should be\n{shown}"
    verify_receipt(parse_receipt(json.loads(shown)))


def test_the_table_names_every_field_and_what_proves_it() -> None:
    names = documented_receipt().to_json()
    assert set(table()) == set(names)
    assert table().pop("mediaType") == "format"
    claimed = {re.sub("_([a-z])", lambda match: match[1].upper(), name) for name in CLAIMED_FIELDS}
    assert {name for name, kind in table().items() if kind == "claimed"} == claimed


def test_limits_and_constants_are_those_of_the_code() -> None:
    for number in (
        MAX_HEADER_BYTES,
        receipt.MAX_PROVEN_RECEIPT_BYTES,
        receipt.MAX_ANCHOR_RECEIPT_BYTES,
        trie.MAX_TRIE_PROOF_NODES,
        trie.MAX_TRIE_ITEMS - 1,
    ):
        assert f"{number:,}" in page()
    assert ANCHORED_TOPIC.hex() in page()
    assert receipt.RECEIPT_MEDIA_TYPE in page()
