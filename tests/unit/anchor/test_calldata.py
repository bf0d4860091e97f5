"""Call data against the ABI of the committed artifact, eth_abi and a running contract."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256

import pytest
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.anchor import calldata
from provenance.anchor.calldata import (
    Head,
    decode_anchored,
    decode_head,
    encode_anchor,
    encode_head,
    origin_id,
)
from provenance.anchor.hexdata import checksum_address
from provenance.errors import LimitError, MalformedError
from provenance.limits import MAX_UINT64, MAX_URI_CHARS
from tests.paths import PROJECT
from tests.unit.anchor.evm import Call, Evm

ORIGIN = sha256(b"ledger.example/main").digest()
ROOT = sha256(b"root").digest()
PUBLISHER = "0x" + "ab" * 20

words = st.binary(min_size=32, max_size=32)
uint64s = st.integers(0, MAX_UINT64)


@dataclass(frozen=True)
class Event:
    topics: tuple[bytes, ...]
    data: bytes


def event(
    *,
    topic: bytes = calldata.ANCHORED_TOPIC,
    publisher: bytes = bytes(12) + b"\xab" * 20,
    origin: bytes = ORIGIN,
    data: bytes | None = None,
) -> Event:
    if data is None:
        data = encode(["uint64", "uint64", "bytes32"], [1000, 7, ROOT])
    return Event((topic, publisher, origin), data)


def test_constants_are_the_hashes_of_their_signatures() -> None:
    assert keccak(text=calldata.ANCHOR_SIGNATURE)[:4] == calldata.ANCHOR_SELECTOR
    assert keccak(text=calldata.HEAD_SIGNATURE)[:4] == calldata.HEAD_SELECTOR
    assert keccak(text=calldata.ANCHORED_SIGNATURE) == calldata.ANCHORED_TOPIC


def test_signatures_are_those_of_the_artifact() -> None:
    abi = json.loads((PROJECT / "provenance/chains/artifacts/CheckpointAnchor.json").read_text("utf-8"))["abi"]
    found = {f"{entry['name']}({','.join(part['type'] for part in entry['inputs'])})": entry for entry in abi}
    outputs = [part["type"] for part in found[calldata.HEAD_SIGNATURE]["outputs"]]
    assert outputs == ["uint64", "uint64", "bytes32"]
    assert calldata.ANCHOR_SIGNATURE in found
    anchored = found[calldata.ANCHORED_SIGNATURE]
    assert [part["name"] for part in anchored["inputs"]] == ["publisher", "origin", "size", "sequence", "root"]
    assert [part["indexed"] for part in anchored["inputs"]] == [True, True, False, False, False]


@given(words, st.integers(1, MAX_UINT64), words.filter(any))
@settings(deadline=None)
def test_anchor_as_eth_abi_encodes_it(origin: bytes, size: int, root: bytes) -> None:
    expected = calldata.ANCHOR_SELECTOR + encode(["bytes32", "uint64", "bytes32"], [origin, size, root])
    assert encode_anchor(origin, size, root) == expected


@given(st.binary(min_size=20, max_size=20), words)
@settings(deadline=None)
def test_head_as_eth_abi_encodes_it(publisher: bytes, origin: bytes) -> None:
    expected = calldata.HEAD_SELECTOR + encode(["address", "bytes32"], [publisher, origin])
    assert encode_head("0x" + publisher.hex(), origin) == expected
    assert encode_head(checksum_address(publisher), origin) == expected


@given(st.integers(1, MAX_UINT64), st.integers(1, MAX_UINT64), words.filter(any))
@settings(deadline=None)
def test_heads_and_events_round_trip(size: int, sequence: int, root: bytes) -> None:
    data = encode(["uint64", "uint64", "bytes32"], [size, sequence, root])
    assert decode_head(data) == Head(size, sequence, root)
    found = decode_anchored(event(data=data))
    assert (found.publisher, found.origin_id) == (PUBLISHER, ORIGIN)
    assert (found.size, found.sequence, found.root) == (size, sequence, root)


@given(st.binary(max_size=130))
@settings(deadline=None)
def test_what_is_decoded_encodes_to_the_same_bytes(data: bytes) -> None:
    try:
        head = decode_head(data)
    except MalformedError:
        return
    assert encode(["uint64", "uint64", "bytes32"], [head.size, head.sequence, head.root]) == data


def test_nothing_anchored_is_an_empty_head() -> None:
    assert decode_head(bytes(96)) == Head(0, 0, bytes(32))


@pytest.mark.parametrize(
    ("size", "sequence", "root"),
    [(0, 1, ROOT), (1, 0, ROOT), (1, 1, bytes(32)), (0, 0, ROOT), (0, 1, bytes(32)), (1, 0, bytes(32))],
)
def test_contradictory_states_are_refused(size: int, sequence: int, root: bytes) -> None:
    data = encode(["uint64", "uint64", "bytes32"], [size, sequence, root])
    with pytest.raises(MalformedError, match="contradictory"):
        decode_head(data)
    with pytest.raises(MalformedError, match="empty"):
        decode_anchored(event(data=data))


@pytest.mark.parametrize("length", [1, 31, 32, 64, 95, 97, 128, 1_000_000])
def test_wrong_lengths_are_refused(length: int) -> None:
    with pytest.raises(MalformedError, match="wrong length"):
        decode_head(b"\1" * length)
    with pytest.raises(MalformedError, match="wrong length"):
        decode_anchored(event(data=b"\1" * length))


def test_an_address_without_contract_says_so() -> None:
    with pytest.raises(MalformedError) as caught:
        decode_head(b"")
    assert caught.value.hint is not None and "deployed" in caught.value.hint
    with pytest.raises(MalformedError):
        decode_anchored(event(data=b""))


@pytest.mark.parametrize("word", [0, 1])
def test_padding_of_integers_is_checked(word: int) -> None:
    data = bytearray(encode(["uint64", "uint64", "bytes32"], [1000, 7, ROOT]))
    for at in range(24):
        changed = bytearray(data)
        changed[32 * word + at] = 1
        with pytest.raises(MalformedError, match="out of range"):
            decode_head(bytes(changed))


@pytest.mark.parametrize("at", range(12))
def test_padding_of_the_publisher_is_checked(at: int) -> None:
    publisher = bytearray(32)
    publisher[at] = 1
    with pytest.raises(MalformedError, match="no address"):
        decode_anchored(event(publisher=bytes(publisher)))


def test_other_events_are_refused() -> None:
    good = event()
    for topics in ((), good.topics[:2], (*good.topics, ROOT), (ROOT, *good.topics[1:]), good.topics[::-1]):
        with pytest.raises(MalformedError, match="no Anchored event"):
            decode_anchored(Event(topics, good.data))
    for topic in (b"", b"t" * 31, b"t" * 33):
        with pytest.raises(MalformedError):
            decode_anchored(event(publisher=topic))
        with pytest.raises(MalformedError):
            decode_anchored(event(origin=topic))


@pytest.mark.parametrize("size", [0, -1, 2**64, 2**256])
def test_sizes_that_cannot_be_anchored(size: int) -> None:
    with pytest.raises(MalformedError):
        encode_anchor(ORIGIN, size, ROOT)


@pytest.mark.parametrize("word", [b"", ROOT[:31], ROOT + b"\0"])
def test_words_have_32_bytes(word: bytes) -> None:
    with pytest.raises(MalformedError):
        encode_anchor(word, 1, ROOT)
    with pytest.raises(MalformedError):
        encode_anchor(ORIGIN, 1, word)
    with pytest.raises(MalformedError):
        encode_head(PUBLISHER, word)


def test_the_zero_root_cannot_be_anchored() -> None:
    with pytest.raises(MalformedError, match="not zero"):
        encode_anchor(ORIGIN, 1, bytes(32))


def test_origin_ids() -> None:
    assert origin_id("ledger.example/main") == ORIGIN
    assert origin_id("ledger.example/möbius") == sha256("ledger.example/möbius".encode()).digest()
    for text in ("", "two\nlines", "tab\t", "nul\0", "del\x7f", "\ud800"):
        with pytest.raises(MalformedError):
            origin_id(text)
    origin_id("o" * MAX_URI_CHARS)
    with pytest.raises(LimitError):
        origin_id("o" * (MAX_URI_CHARS + 1))


def test_the_contract_understands_us_and_we_it() -> None:
    evm = Evm(1)
    contract = evm.deploy(0)
    publisher = "0x" + evm.address(0).hex()
    ask = Call(0, contract, encode_head(publisher, ORIGIN))
    assert decode_head(evm.mine([ask]).returned[0]) == Head(0, 0, bytes(32))
    anchored = evm.mine([Call(0, contract, encode_anchor(ORIGIN, MAX_UINT64, ROOT)), ask])
    assert decode(["uint64"], anchored.returned[0]) == (1,)
    assert decode_head(anchored.returned[1]) == Head(MAX_UINT64, 1, ROOT)
