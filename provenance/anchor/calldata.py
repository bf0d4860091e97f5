"""What is said to the CheckpointAnchor contract, and what it answers.

Invariants: every word is 32 bytes, integers big-endian with zeros on the left; padding that is not zero is refused,
so that one value has one encoding; an anchor has a size and a root that are not zero, as the contract demands; an
event does not say who emitted it: only the address of its log does, and whoever reads an event checks that.

    anchor(bytes32 origin, uint64 size, bytes32 root)        70c127c6 || origin || size || root
    head(address publisher, bytes32 origin)                  24e8393d || publisher || origin
    its answer (uint64 size, uint64 sequence, bytes32 root)  size || sequence || root
    Anchored(address indexed publisher, bytes32 indexed origin, uint64 size, uint64 sequence, bytes32 root)
                                                             topics 2254...56d1, publisher, origin; data as head's

Source: Solidity contract ABI specification; contracts/src/interfaces/ICheckpointAnchor.sol.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from provenance.anchor.hexdata import ADDRESS_BYTES, encode_hex, parse_address
from provenance.errors import MalformedError
from provenance.limits import MAX_UINT64, MAX_URI_CHARS, check_size

ANCHOR_SIGNATURE: Final = "anchor(bytes32,uint64,bytes32)"
HEAD_SIGNATURE: Final = "head(address,bytes32)"
ANCHORED_SIGNATURE: Final = "Anchored(address,bytes32,uint64,uint64,bytes32)"
ANCHOR_SELECTOR: Final = bytes.fromhex("70c127c6")
HEAD_SELECTOR: Final = bytes.fromhex("24e8393d")
ANCHORED_TOPIC: Final = bytes.fromhex("2254327f21520d973e2b3eda17b33f2afb50acc8fafee16e3b81e067087156d1")
"""First four bytes, or all, of the Keccak-256 of the signatures above."""

_WORD_BYTES = 32
_ZERO_WORD = bytes(_WORD_BYTES)
_TOPICS = 3
_DATA_WORDS = 3


class EventLog(Protocol):
    """Any log: a chain's or a consensus receipt's."""

    @property
    def topics(self) -> Sequence[bytes]:
        """Up to four 32-byte topics; the first names the event."""

    @property
    def data(self) -> bytes:
        """The ABI encoding of what is not indexed."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is anchored for a (publisher, origin): `size` leaves under `root`, the `sequence`-th anchor, all uint64.

    All zero where nothing is anchored yet.
    """

    size: int
    sequence: int
    root: bytes


@dataclass(frozen=True, slots=True)
class AnchoredEvent:
    """One change of a head: `publisher` as lower-case 0x hex, `origin_id` and `root` of 32 bytes, the rest uint64."""

    publisher: str
    origin_id: bytes
    size: int
    sequence: int
    root: bytes


def origin_id(origin: str) -> bytes:
    """The 32 bytes under which the contract knows a log: SHA-256 of its checkpoints' origin line in UTF-8.

    `MalformedError` for an origin that no checkpoint can have: empty, too long, with control characters, not UTF-8.
    """
    check_size("origin", len(origin), MAX_URI_CHARS, "characters")
    if not origin or any(ord(character) < 0x20 or ord(character) == 0x7F for character in origin):
        raise MalformedError("origin is empty or holds control characters", expected="one line of text", got=origin)
    try:
        return hashlib.sha256(origin.encode("utf-8")).digest()
    except UnicodeEncodeError as error:
        raise MalformedError("origin is not UTF-8", expected="Unicode scalar values", got=repr(origin)) from error


def encode_anchor(origin_id: bytes, size: int, root: bytes) -> bytes:
    """The call data that anchors a checkpoint; `MalformedError` for what the contract would reject as malformed."""
    if not 1 <= size <= MAX_UINT64:
        raise MalformedError("checkpoint size cannot be anchored", expected=f"1 to {MAX_UINT64}", got=size)
    if root == _ZERO_WORD:
        raise MalformedError("checkpoint root cannot be anchored", expected="a root that is not zero", got=root.hex())
    return ANCHOR_SELECTOR + _word(origin_id, "origin id") + _uint_word(size) + _word(root, "root")


def encode_head(publisher: str, origin_id: bytes) -> bytes:
    """The call data that asks for the head of (publisher, origin); the address in any form `parse_address` takes."""
    padded = bytes(_WORD_BYTES - ADDRESS_BYTES) + parse_address(publisher, what="publisher")
    return HEAD_SELECTOR + padded + _word(origin_id, "origin id")


def decode_head(data: bytes) -> Head:
    """The head that the contract returned; `MalformedError` for anything a CheckpointAnchor cannot return."""
    if not data:
        raise MalformedError(
            "contract returned nothing",
            expected=f"{_DATA_WORDS * _WORD_BYTES} bytes",
            hint="check that a CheckpointAnchor is deployed at this address on this chain",
        )
    head = _parse_state(data, "head")
    if (head.size == 0) != (head.sequence == 0) or (head.size == 0) != (head.root == _ZERO_WORD):
        raise MalformedError("head is contradictory", expected="size, sequence and root all zero or none", got=head)
    return head


def decode_anchored(log: EventLog) -> AnchoredEvent:
    """The event that `log` holds; `MalformedError` if it is no `Anchored` event. Who emitted it is for the caller."""
    if len(log.topics) != _TOPICS or log.topics[0] != ANCHORED_TOPIC:
        got = log.topics[0].hex() if log.topics else "no topic"
        raise MalformedError("log is no Anchored event", expected=f"3 topics, {ANCHORED_TOPIC.hex()} first", got=got)
    publisher, origin = _word(log.topics[1], "publisher topic"), _word(log.topics[2], "origin topic")
    if any(publisher[: _WORD_BYTES - ADDRESS_BYTES]):
        raise MalformedError("publisher topic is no address", expected="12 bytes of zero first", got=publisher.hex())
    state = _parse_state(log.data, "Anchored event")
    if state.size == 0 or state.sequence == 0 or state.root == _ZERO_WORD:
        raise MalformedError("Anchored event is empty", expected="size, sequence and root that are not zero", got=state)
    address = encode_hex(publisher[_WORD_BYTES - ADDRESS_BYTES :])
    return AnchoredEvent(address, origin, state.size, state.sequence, state.root)


def _parse_state(data: bytes, what: str) -> Head:
    if len(data) != _DATA_WORDS * _WORD_BYTES:
        expected = f"{_DATA_WORDS * _WORD_BYTES} bytes"
        raise MalformedError(f"{what} has the wrong length", expected=expected, got=f"{len(data)} bytes")
    return Head(_uint64(data[:32], f"{what} size"), _uint64(data[32:64], f"{what} sequence"), bytes(data[64:]))


def _uint64(word: bytes, what: str) -> int:
    value = int.from_bytes(word, "big")
    if value > MAX_UINT64:
        raise MalformedError(f"{what} is out of range", expected=f"at most {MAX_UINT64}", got=value)
    return value


def _uint_word(value: int) -> bytes:
    return value.to_bytes(_WORD_BYTES, "big")


def _word(data: bytes, what: str) -> bytes:
    if len(data) != _WORD_BYTES:
        raise MalformedError(f"{what} has the wrong length", expected=f"{_WORD_BYTES} bytes", got=f"{len(data)} bytes")
    return bytes(data)
