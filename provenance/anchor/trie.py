"""The Merkle-Patricia trie over an ordered list, as a block commits to its receipts.

Invariants: the key of item i is the RLP encoding of i, so no key is a prefix of another and no branch holds a value;
items are never empty, because in this trie an empty value means absent; a proof is the nodes from the root to the
leaf, each named by its hash in the one before, and nothing else: changing, adding or removing a byte breaks it.

A node is RLP: a branch is 16 references and an empty value, a leaf or extension is a path and a value or reference.
A reference is the Keccak-256 of the node, or the node itself where that is shorter than 32 bytes.

Example: over one item b"v" the only node is the leaf c4 82 20 80 76: path 20 80 is the key 80 of index 0 with the
leaf's flag before it; the root is that node's Keccak-256.

Source: Ethereum yellow paper, appendices C and D; EIP-2718 for the items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from provenance.anchor import rlp
from provenance.anchor.keccak import keccak256
from provenance.errors import LimitError, MalformedError, VerificationError
from provenance.limits import check_size

MAX_TRIE_ITEMS: Final = 65_536
"""Transactions of one block: at 21,000 gas each, a block of 1.3 billion gas."""
MAX_TRIE_ITEM_BYTES: Final = 8 * 2**20
"""One receipt: logs cost 8 gas a byte, and EIP-7825 caps a transaction at 2**24 gas."""
MAX_TRIE_PROOF_NODES: Final = 8
"""Nodes of a proof: the key of index 65,535 has six nibbles, so that a path has at most six branches and a leaf."""

_BRANCH_WIDTH = 16
_NODE_OVERHEAD_BYTES = 64
"""What a leaf adds to its item: prefixes and the rest of the path."""
_HASH_BYTES = 32

_Pair = tuple[bytes, bytes]
"""Nibbles of a key, one in each byte, and the item under it."""
_Fetch = Callable[[bytes], bytes]
"""The node that has this hash."""


def root_of(items: Sequence[bytes]) -> bytes:
    """The 32-byte root over `items` in order. Of no items: the Keccak-256 of the empty string's RLP."""
    root, _ = _build(items)
    return root


def prove_inclusion(items: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The nodes from the root to the leaf of `items[index]`; `MalformedError` if there is no such item."""
    if not 0 <= index < len(items):
        raise MalformedError("no such item in the trie", expected=f"0 to {len(items) - 1}", got=index)
    root, nodes = _build(items)
    trail: list[bytes] = []

    def fetch(name: bytes) -> bytes:
        trail.append(nodes[name])
        return nodes[name]

    _descend(root, _key_nibbles(index), fetch)
    return tuple(trail)


def verify_inclusion(item: bytes, index: int, proof: Sequence[bytes], root: bytes) -> None:
    """Return if `proof` leads from `root` to `item` at `index`.

    `VerificationError` if a node is not the one its parent names, if the path ends elsewhere, if another item lies
    there or if nodes are left over; `MalformedError` for a node of the right hash that is no trie node.
    """
    if not 0 <= index < MAX_TRIE_ITEMS:
        raise LimitError("trie index is out of range", expected=f"0 to {MAX_TRIE_ITEMS - 1}", got=index)
    if len(root) != _HASH_BYTES:
        raise MalformedError("trie root has the wrong length", expected="32 bytes", got=f"{len(root)} bytes")
    check_size("trie item", len(item), MAX_TRIE_ITEM_BYTES)
    check_size("trie proof", len(proof), MAX_TRIE_PROOF_NODES, "nodes")
    used = 0

    def fetch(name: bytes) -> bytes:
        nonlocal used
        where = f"node {used}"
        if used == len(proof):
            raise VerificationError("trie proof ends early", expected=f"node {name.hex()}", got="nothing", where=where)
        node = proof[used]
        check_size("trie node", len(node), MAX_TRIE_ITEM_BYTES + _NODE_OVERHEAD_BYTES)
        if keccak256(node) != name:
            raise VerificationError(
                "trie proof does not lead from the root", expected=name.hex(), got=keccak256(node).hex(), where=where
            )
        used += 1
        return node

    found = _descend(root, _key_nibbles(index), fetch)
    if used != len(proof):
        raise VerificationError("trie proof has nodes left over", expected=f"{used} nodes", got=f"{len(proof)} nodes")
    if found != item:
        raise VerificationError(
            "trie proof leads to another item", expected=keccak256(item).hex(), got=keccak256(found).hex()
        )


def _descend(root: bytes, path: bytes, fetch: _Fetch) -> bytes:
    """The value under `path`. Each turn consumes nibbles, so that a proof cannot make it loop."""
    node = _parse_node(fetch(root))
    while True:
        if len(node) == 2:
            nibbles, is_leaf = _parse_path(rlp.as_bytes(node[0], what="trie path"))
            if is_leaf:
                if nibbles != path:
                    raise VerificationError("trie path leads to another key", expected=path.hex(), got=nibbles.hex())
                return rlp.as_bytes(node[1], what="trie value")
            if path[: len(nibbles)] != nibbles:
                raise VerificationError("trie has no item at this index", expected=path.hex(), got=nibbles.hex())
            reference, path = node[1], path[len(nibbles) :]
        else:
            if node[_BRANCH_WIDTH] != b"":
                raise MalformedError("trie branch holds a value", expected="keys of which none is another's prefix")
            if not path:
                raise VerificationError("trie path ends at a branch", expected="a leaf", got="a branch")
            reference, path = node[path[0]], path[1:]
        node = _resolve(reference, fetch)


def _resolve(reference: rlp.RlpItem, fetch: _Fetch) -> tuple[rlp.RlpItem, ...]:
    if isinstance(reference, tuple):
        if len(rlp.encode(reference)) >= _HASH_BYTES:
            raise MalformedError("trie node is held where its hash belongs", expected="a node shorter than 32 bytes")
        return _check_node(reference)
    if not reference:
        raise VerificationError("trie has no item at this index", expected="a node", got="an empty reference")
    return _parse_node(fetch(rlp.as_bytes(reference, what="trie reference", size=_HASH_BYTES)))


def _parse_node(data: bytes) -> tuple[rlp.RlpItem, ...]:
    return _check_node(
        rlp.parse_list(data, what="trie node", max_bytes=MAX_TRIE_ITEM_BYTES + _NODE_OVERHEAD_BYTES),
    )


def _check_node(node: tuple[rlp.RlpItem, ...]) -> tuple[rlp.RlpItem, ...]:
    if len(node) not in (2, _BRANCH_WIDTH + 1):
        raise MalformedError("not a trie node", expected="2 or 17 items", got=f"{len(node)} items")
    return node


def _build(items: Sequence[bytes]) -> tuple[bytes, dict[bytes, bytes]]:
    """The root, and every node that is named by a hash."""
    check_size("trie", len(items), MAX_TRIE_ITEMS, "items")
    for index, item in enumerate(items):
        check_size("trie item", len(item), MAX_TRIE_ITEM_BYTES)
        if not item:
            raise MalformedError("trie item is empty", expected="at least one byte", where=f"item {index}")
    nodes: dict[bytes, bytes] = {}
    if not items:
        return keccak256(rlp.encode(b"")), nodes
    pairs = sorted((_key_nibbles(index), item) for index, item in enumerate(items))
    top = rlp.encode(_node(pairs, 0, nodes))
    root = keccak256(top)
    nodes[root] = top
    return root, nodes


def _node(pairs: Sequence[_Pair], depth: int, nodes: dict[bytes, bytes]) -> tuple[rlp.RlpItem, ...]:
    """The node over sorted `pairs` that agree in their first `depth` nibbles."""
    first, last = pairs[0][0], pairs[-1][0]
    if len(pairs) == 1:
        return _encode_path(first[depth:], is_leaf=True), pairs[0][1]
    fork = depth
    while first[fork] == last[fork]:
        fork += 1
    if fork > depth:
        return _encode_path(first[depth:fork], is_leaf=False), _reference(_node(pairs, fork, nodes), nodes)
    groups: list[list[_Pair]] = [[] for _ in range(_BRANCH_WIDTH)]
    for pair in pairs:
        groups[pair[0][depth]].append(pair)
    return (*(_reference(_node(group, depth + 1, nodes), nodes) if group else b"" for group in groups), b"")


def _reference(node: tuple[rlp.RlpItem, ...], nodes: dict[bytes, bytes]) -> rlp.RlpItem:
    data = rlp.encode(node)
    if len(data) < _HASH_BYTES:
        return node
    name = keccak256(data)
    nodes[name] = data
    return name


def _key_nibbles(index: int) -> bytes:
    """The nibbles of the RLP encoding of `index`, high one first."""
    return _nibbles(rlp.encode(rlp.encode_uint(index)))


def _nibbles(data: bytes) -> bytes:
    return bytes(nibble for byte in data for nibble in (byte >> 4, byte & 15))


def _encode_path(nibbles: bytes, *, is_leaf: bool) -> bytes:
    """Hex-prefix encoding (yellow paper, appendix C): flags 2 for a leaf and 1 for an odd number of nibbles."""
    flag = 2 * is_leaf + len(nibbles) % 2
    padded = bytes((flag,)) + nibbles if len(nibbles) % 2 else bytes((flag, 0)) + nibbles
    return bytes(high << 4 | low for high, low in zip(padded[::2], padded[1::2], strict=True))


def _parse_path(data: bytes) -> tuple[bytes, bool]:
    """The nibbles of a hex-prefix path, and whether it is a leaf's."""
    nibbles = _nibbles(data)
    if not nibbles or nibbles[0] > 3 or (nibbles[0] % 2 == 0 and nibbles[1] != 0):
        raise MalformedError("trie path has wrong flags", expected="hex-prefix encoding", got=data.hex())
    is_leaf, is_odd = nibbles[0] >= 2, nibbles[0] % 2 == 1
    path = nibbles[1:] if is_odd else nibbles[2:]
    if not path and not is_leaf:
        raise MalformedError("trie extension has no path", expected="at least one nibble", got=data.hex())
    return path, is_leaf
