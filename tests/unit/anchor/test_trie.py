"""The receipts trie against py-evm's HexaryTrie, and its proofs against every change."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import pytest
import rlp as canonical
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st
from trie.hexary import HexaryTrie

from provenance.anchor import trie
from provenance.errors import LimitError, MalformedError, ProvenanceError, VerificationError

EMPTY_ROOT = "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"


def receipts(count: int, size: int = 300) -> list[bytes]:
    """Distinct items as large as the smallest receipts."""
    return [b"\x02" + sha256(b"%d" % n).digest() * (size // 32 + n % 3) for n in range(count)]


def oracle(items: Sequence[bytes]) -> HexaryTrie:
    result = HexaryTrie({})
    for index, item in enumerate(items):
        result[canonical.encode(index)] = item
    return result


def oracle_proof(built: HexaryTrie, index: int) -> tuple[bytes, ...]:
    return tuple(canonical.encode(node) for node in built.get_proof(canonical.encode(index)))  # type: ignore[no-untyped-call]


def test_the_empty_trie() -> None:
    assert trie.root_of([]).hex() == EMPTY_ROOT


def test_the_example_of_the_module() -> None:
    assert trie.prove_inclusion([b"v"], 0) == (bytes.fromhex("c482208076"),)
    assert trie.root_of([b"v"]) == keccak(bytes.fromhex("c482208076"))


def test_roots_of_0_to_300_receipts() -> None:
    items = receipts(300, size=64)
    built = HexaryTrie({})
    for count in range(301):
        assert trie.root_of(items[:count]) == built.root_hash, count
        if count < 300:
            built[canonical.encode(count)] = items[count]


@pytest.mark.parametrize("size", [1, 2, 3, 20, 31, 32, 33])
def test_items_short_enough_to_lie_inside_their_parents(size: int) -> None:
    for count in (1, 2, 16, 17, 129, 257, 300):
        items = [sha256(b"%d" % n).digest()[:size] + bytes(max(size - 32, 0)) for n in range(count)]
        built = oracle(items)
        assert trie.root_of(items) == built.root_hash
        for index in {0, 1, count // 2, count - 1} & set(range(count)):
            trie.verify_inclusion(items[index], index, trie.prove_inclusion(items, index), built.root_hash)


@given(st.lists(st.binary(min_size=1, max_size=80), max_size=40))
@settings(deadline=None)
def test_roots_of_any_items(items: list[bytes]) -> None:
    assert trie.root_of(items) == oracle(items).root_hash


@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 127, 128, 129, 255, 256, 257, 300])
def test_proofs_are_the_oracle_s_and_it_accepts_ours(count: int) -> None:
    items = receipts(count)
    built = oracle(items)
    for index in sorted({0, 1, 15, 16, 127, 128, 129, 255, 256, count - 1} & set(range(count))):
        proof = trie.prove_inclusion(items, index)
        assert proof == oracle_proof(built, index)
        nodes = [canonical.decode(node) for node in proof]
        found = HexaryTrie.get_from_proof(built.root_hash, canonical.encode(index), nodes)  # type: ignore[no-untyped-call]
        assert found == items[index]


def test_every_index_of_300_proves_its_item_and_no_other() -> None:
    items = receipts(300)
    built = oracle(items)
    for index, item in enumerate(items):
        proof = oracle_proof(built, index)
        trie.verify_inclusion(item, index, proof, built.root_hash)
        for other in (index + 1, index ^ 1, index + 128, 0 if index else 1):
            with pytest.raises(VerificationError):
                trie.verify_inclusion(item, other, proof, built.root_hash)
            if other < 300:
                with pytest.raises(VerificationError):
                    trie.verify_inclusion(items[other], index, proof, built.root_hash)


@pytest.mark.parametrize(("count", "index"), [(1, 0), (2, 1), (17, 16), (200, 0), (200, 129)])
def test_any_byte_changed_is_refused(count: int, index: int) -> None:
    items = receipts(count)
    root, proof = trie.root_of(items), trie.prove_inclusion(items, index)
    trie.verify_inclusion(items[index], index, proof, root)
    for number, node in enumerate(proof):
        for changed in _changed(node):
            with pytest.raises(VerificationError):
                trie.verify_inclusion(items[index], index, (*proof[:number], changed, *proof[number + 1 :]), root)
    for changed in _changed(items[index]):
        with pytest.raises(VerificationError):
            trie.verify_inclusion(changed, index, proof, root)
    for changed in _changed(root):
        with pytest.raises(ProvenanceError):
            trie.verify_inclusion(items[index], index, proof, changed)


def _changed(data: bytes) -> list[bytes]:
    flips = [data[:at] + bytes((data[at] ^ bit,)) + data[at + 1 :] for at in range(len(data)) for bit in (1, 0x80)]
    return [*flips, data[:-1], data[1:], data + b"\0", b""]


def test_nodes_missing_added_repeated_or_out_of_order_are_refused() -> None:
    items = receipts(200)
    root, proof = trie.root_of(items), trie.prove_inclusion(items, 150)
    assert len(proof) >= 3
    wrong = [
        (),
        proof[:-1],
        proof[1:],
        proof[::-1],
        (*proof, proof[-1]),
        (*proof, b""),
        (proof[0], *proof),
        (proof[0], *proof[2:]),
    ]
    for nodes in wrong:
        with pytest.raises(VerificationError):
            trie.verify_inclusion(items[150], 150, nodes, root)


def test_the_item_is_compared_and_not_only_found() -> None:
    items = receipts(2)
    with pytest.raises(VerificationError, match="leads to another item"):
        trie.verify_inclusion(items[0], 1, trie.prove_inclusion(items, 1), trie.root_of(items))


def test_an_index_beyond_the_list_has_no_proof() -> None:
    items = receipts(20)
    root = trie.root_of(items)
    for proof in (trie.prove_inclusion(items, n) for n in range(20)):
        for index in (20, 21, 127, 128, 300, 65_535):
            with pytest.raises(VerificationError):
                trie.verify_inclusion(items[0], index, proof, root)


# Nodes of the right hash that are no trie nodes: what a hostile block could commit to.
HASH = b"h" * 32
BRANCH = [HASH] * 16


@pytest.mark.parametrize(
    ("name", "node"),
    [
        ("a byte string", b"node"),
        ("an empty list", []),
        ("one item", [b"\x20\x80"]),
        ("three items", [b"\x20\x80", b"v", b"v"]),
        ("16 items", BRANCH),
        ("18 items", [*BRANCH, b"", b""]),
        ("a branch with a value", [*BRANCH, b"v"]),
        ("a branch with a list for a value", [*BRANCH, [b"v"]]),
        ("a path that is a list", [[b"\x20\x80"], b"v"]),
        ("an empty path", [b"", b"v"]),
        ("an unknown flag", [b"\x40\x80", b"v"]),
        ("padding that is not zero", [b"\x21\x80", b"v"]),
        ("an extension of no nibble", [b"\x00", HASH]),
        ("a leaf with a list for a value", [b"\x20\x80", [b"v"]]),
        ("an extension to a short hash", [b"\x18", b"h" * 31]),
        ("an extension to a long hash", [b"\x18", b"h" * 33]),
        ("an extension to itself, held", [b"\x18", [b"\x18", [b"\x18", b"h"]]]),
        ("a node held where its hash belongs", [b"\x18", [b"\x30", b"v" * 40]]),
        ("a node held that is none", [b"\x18", [b"\x30"]]),
        ("nodes held in nodes", [b"\x18", [b"\x10", [b"\x18", [b"\x10", []]]]]),
    ],
)
def test_hostile_nodes(name: str, node: object) -> None:
    data = canonical.encode(node)
    with pytest.raises(ProvenanceError):
        trie.verify_inclusion(b"v", 0, (data,), keccak(data))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\xc0\xc0", b"\xf8\x01\x80", b"\xc1" * 5000, b"\xff" * 9])
def test_hostile_bytes(data: bytes) -> None:
    with pytest.raises(MalformedError):
        trie.verify_inclusion(b"v", 0, (data,), keccak(data))


def test_paths_that_end_early_or_go_on_are_refused() -> None:
    for path in (b"\x20", b"\x38", b"\x20\x80\x80", b"\x20\x81", b"\x30", b"\x38\x00"):
        data = canonical.encode([path, b"v"])
        with pytest.raises(VerificationError):
            trie.verify_inclusion(b"v", 0, (data,), keccak(data))
    inner = canonical.encode([*BRANCH, b""])
    outer = canonical.encode([b"\x00\x80", keccak(inner)])
    with pytest.raises(VerificationError, match="ends at a branch"):
        trie.verify_inclusion(b"v", 0, (outer, inner), keccak(outer))


LEAF = [b"\x30", b"v"]  # the rest of index 0's path is one nibble, 0
WIDE_LEAF = [b"\x30", b"v" * 40]


def branch(leaf: object, value: bytes = b"") -> list[object]:
    return [*[b""] * 8, leaf, *[HASH] * 7, value]


@pytest.mark.parametrize(
    ("name", "good", "bad", "item"),
    [
        ("a value in a branch on the way", branch(LEAF), branch(LEAF, b"w"), b"v"),
        ("an extension of another nibble", [b"\x18", LEAF], [b"\x19", LEAF], b"v"),
        ("an extension of no nibble", [b"\x18", LEAF], [b"\x00", [b"\x20\x80", b"v"]], b"v"),
        ("a held node that is too long", branch(LEAF), branch(WIDE_LEAF), WIDE_LEAF[1]),
    ],
)
def test_hostile_nodes_on_a_way_that_leads_to_the_item(name: str, good: object, bad: object, item: bytes) -> None:
    data = canonical.encode(good)
    trie.verify_inclusion(b"v", 0, (data,), keccak(data))
    data = canonical.encode(bad)
    with pytest.raises(ProvenanceError):
        trie.verify_inclusion(item, 0, (data,), keccak(data))


def test_limits() -> None:
    root = trie.root_of([b"v"])
    proof = trie.prove_inclusion([b"v"], 0)
    for index in (-1, trie.MAX_TRIE_ITEMS, 2**64):
        with pytest.raises(LimitError):
            trie.verify_inclusion(b"v", index, proof, root)
    with pytest.raises(LimitError):
        trie.verify_inclusion(b"v", 0, proof * (trie.MAX_TRIE_PROOF_NODES + 1), root)
    with pytest.raises(LimitError):
        trie.verify_inclusion(bytes(trie.MAX_TRIE_ITEM_BYTES + 1), 0, proof, root)
    with pytest.raises(LimitError):
        trie.root_of([b"v"] * (trie.MAX_TRIE_ITEMS + 1))
    with pytest.raises(LimitError):
        trie.root_of([bytes(trie.MAX_TRIE_ITEM_BYTES + 1)])
    for length in (0, 31, 33):
        with pytest.raises(MalformedError):
            trie.verify_inclusion(b"v", 0, proof, bytes(length))


def test_the_last_index_that_is_allowed_fits_the_node_limit() -> None:
    items = [b"%05d" % n * 8 for n in range(trie.MAX_TRIE_ITEMS)]
    last = trie.MAX_TRIE_ITEMS - 1
    root, proof = trie.root_of(items), trie.prove_inclusion(items, last)
    assert len(proof) <= trie.MAX_TRIE_PROOF_NODES
    trie.verify_inclusion(items[last], last, proof, root)


def test_empty_items_and_absent_indexes_are_refused() -> None:
    with pytest.raises(MalformedError, match="item 1"):
        trie.root_of([b"v", b""])
    for index in (-1, 2):
        with pytest.raises(MalformedError):
            trie.prove_inclusion([b"v", b"w"], index)
    with pytest.raises(MalformedError):
        trie.prove_inclusion([], 0)
