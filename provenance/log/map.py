"""The log's map: which entries there are about a name, subject, statement or signer, and that there are no others.

Invariants: the map of a size is a function of the first entries of the log and of nothing else, so that whoever has
them can derive its root; an answer shows every entry about a key, below that size, or that there is none; nothing of an
answer is believed before `verify_answer` returned.

A *key* is SHA-256(kind || 0x00 || value), both UTF-8; `keys_of` says which keys an entry has. Of each key there is a
list of the indexes of its entries, growing, and an RFC 9162 tree over them: each leaf's data is an index as a
big-endian u64. Keys are put in 2^d buckets by their first d bits, d being what `bucket_bits` says for the log's size. A
bucket's bytes are its keys in order: key (32) || entries (u64) || root of its list (32), and so on. The root of the map
is the RFC 9162 root over all buckets, the empty ones too. The *head* is a signed note whose text is a checkpoint of the
origin `<origin>/map`, with the log's size, and for a root SHA-256(0x01 || root of the log || root of the map):

    ledger.example/main/map
    70000
    qINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=

    — ledger.example/main IgRPDy...

One head is signed for each published checkpoint, and for each size that somebody asks at. A wrong one convicts the log:
its signature, and the entries.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

from provenance.encoding import Fields, JsonValue, b64decode, b64encode, canonical_json, parse_json
from provenance.errors import MalformedError, ProvenanceError, VerificationError
from provenance.limits import MAX_ENTRY_BYTES, MAX_NOTE_BYTES, MAX_PROOF_HASHES, MAX_SAFE_INTEGER, check_size
from provenance.log.algorithm import ALGORITHMS
from provenance.log.body import Checkpoint, encode_checkpoint, parse_checkpoint
from provenance.log.checkpoint import CheckpointSigner
from provenance.log.keys import LogKey
from provenance.log.note import encode_note, open_note
from provenance.merkle import CompactRange, leaf_hash, node_hash, root_from_inclusion
from provenance.signature import parse_envelope
from provenance.statement.failed_run import FailedRun
from provenance.statement.frame import open_frame
from provenance.statement.usage import Usage
from provenance.statement.verdict import Verdict

FORMAT: Final = "urn:provenance-ledger:map-answer:1"
MAX_ANSWER_BYTES: Final = 64 * 2**20
MAX_LISTED: Final = 2**20
"""Entries that one answer lists."""
KEY_BYTES: Final = 32
ITEM_BYTES: Final = KEY_BYTES + 8 + 32
"""A key in a bucket: key, number of entries, root of its list."""
_SPREAD_BITS = 3
"""A bucket has the keys of 2^3 to 2^4 entries, about."""
_MAX_BUCKET_BYTES = 16 * 2**20
_SUFFIX: Final = "/map"
_USES: Final = (Usage.TYPE, FailedRun.TYPE, Verdict.TYPE)
"""What bears on no verdict: uses, runs that failed, and the verdicts of policies."""
_HEX_64 = re.compile(r"[0-9a-f]{64}")


class KeyKind(StrEnum):
    """What entries are looked up by."""

    NAME = "name"
    SUBJECT = "subject"
    ABOUT = "about"
    USE = "use"
    SIGNER = "signer"


@dataclass(frozen=True, slots=True)
class MapKey:
    """A kind and a value: `name` a dataset's `namespace/name`; `subject` the SHA-256 of a subject (a dataset's digest,
    a key's id); `about` and `use` the SHA-256 of an envelope that is spoken of, or used; `signer` a key's id. Digests
    are 64 lower-case hex digits."""

    kind: KeyKind
    value: str

    def __post_init__(self) -> None:
        check_size("map key", len(self.value), MAX_ENTRY_BYTES, "characters")
        if not self.value or (self.kind is not KeyKind.NAME and not _HEX_64.fullmatch(self.value)):
            raise MalformedError("map key has no such value", expected="64 lower-case hex digits", got=self.value)

    @property
    def digest(self) -> bytes:
        """The key's 32 bytes."""
        return sha256(f"{self.kind}\0{self.value}".encode("utf-8", "surrogatepass")).digest()


def keys_of(envelope: bytes) -> tuple[MapKey, ...]:
    """The keys of an entry, each once: none of what is no DSSE envelope with an in-toto statement in it.

    `signer`: who signed it. `subject` and `name`: each subject's digest, and its name without a version. `about`: the
    envelope that the predicate's `statement` names; of a usage, a failed run or a policy's verdict, `use` instead.
    """
    try:
        parsed = parse_envelope(envelope)
        frame = open_frame(parsed.payload)
        keys = [MapKey(KeyKind.SIGNER, parsed.signatures[0].keyid)]
        for subject in frame.subjects:
            keys.append(MapKey(KeyKind.SUBJECT, subject.digest.hex))
            keys.append(MapKey(KeyKind.NAME, subject.name.rpartition("@")[0] or subject.name))
        if frame.predicate.has("statement"):
            kind = KeyKind.USE if frame.predicate_type in _USES else KeyKind.ABOUT
            keys.append(MapKey(kind, frame.predicate.digest_set("statement").hex))
    except ProvenanceError:
        return ()
    return tuple(dict.fromkeys(keys))


def bucket_bits(size: int) -> int:
    """How many bits of a key say which bucket it is in, for a log of `size` entries."""
    return max(0, size.bit_length() - _SPREAD_BITS)


def bucket_of(key: bytes, bits: int) -> int:
    """The number of a key's bucket: its first `bits` bits, big-endian."""
    return int.from_bytes(key[:8], "big") >> (64 - bits)


def index_leaf(index: int) -> bytes:
    """The leaf hash of an entry's index in a key's list."""
    return leaf_hash(index.to_bytes(8, "big"))


def list_root(indexes: Iterable[int]) -> bytes:
    """The root of a list of entries' indexes."""
    tree = CompactRange()
    for index in indexes:
        tree.append(index_leaf(index))
    return tree.root()


@dataclass(frozen=True, slots=True)
class BucketItem:
    """A key in a bucket: how many entries it has, and the root of their list."""

    key: bytes
    count: int
    root: bytes


def encode_bucket(items: Iterable[BucketItem]) -> bytes:
    """A bucket's bytes. The items are in the order of their keys."""
    return b"".join(item.key + item.count.to_bytes(8, "big") + item.root for item in items)


def parse_bucket(data: bytes) -> tuple[BucketItem, ...]:
    """The items of a bucket. `MalformedError` unless whole, in order, each key once, and each with an entry."""
    check_size("bucket", len(data), _MAX_BUCKET_BYTES)
    if len(data) % ITEM_BYTES:
        raise MalformedError("bucket is cut", expected=f"a multiple of {ITEM_BYTES} bytes", got=len(data))
    items: list[BucketItem] = []
    for at in range(0, len(data), ITEM_BYTES):
        key, count = data[at : at + KEY_BYTES], int.from_bytes(data[at + KEY_BYTES : at + KEY_BYTES + 8], "big")
        if items and items[-1].key >= key:
            raise MalformedError("bucket is out of order", where=f"item {len(items)}")
        if not count:
            raise MalformedError("bucket holds a key without entries", where=f"item {len(items)}")
        items.append(BucketItem(key, count, data[at + KEY_BYTES + 8 : at + ITEM_BYTES]))
    return tuple(items)


def head_root(log_root: bytes, map_root: bytes) -> bytes:
    """What a head is signed over: both roots, 32 bytes each."""
    return node_hash(log_root, map_root)


def sign_head(signer: CheckpointSigner, size: int, log_root: bytes, map_root: bytes) -> bytes:
    """The signed head of a log of `size` entries (one at least)."""
    head = Checkpoint(signer.name + _SUFFIX, size, head_root(log_root, map_root))
    return encode_note(encode_checkpoint(head), signer.sign_lines(head))


def open_head(data: bytes, log: Sequence[LogKey]) -> Checkpoint:
    """The head of a signed note, by the log's keys (of one name, its origin), under the rules for checkpoints: a line
    by one of every type that has a key for the head's size.

    `VerificationError` for a missing or wrong signature, or another log's head.
    """
    if not log:
        raise VerificationError("no log is trusted", expected="a log's key")
    name = log[0].verifier.name
    note = open_note(data, [key.verifier for key in log])
    head = parse_checkpoint(note.text)
    if head.origin != name + _SUFFIX or head.extensions:
        raise VerificationError("head is of another log", expected=name + _SUFFIX, got=head.origin)
    good = {(line.name, line.key_id) for line in note.verified}
    holding = [key.verifier for key in log if key.holds(head.size)]
    signed = {one.type_byte for one in holding if (one.name, one.key_id) in good}
    owed = {one.type_byte for one in holding}
    if not owed or owed - signed:
        raise VerificationError(
            "head lacks a signature by a key that holds for its size",
            expected=" and ".join(ALGORITHMS[kind].label for kind in sorted(owed)) or f"a key for size {head.size}",
            got=" and ".join(ALGORITHMS[kind].label for kind in sorted(signed)) or "none",
        )
    return head


def head_origin(data: bytes) -> str:
    """The origin of the log that a head says it is of. Nothing is verified. `MalformedError` for any other note."""
    origin = data.partition(b"\n")[0].decode("utf-8", "replace")
    if not origin.endswith(_SUFFIX):
        raise MalformedError("note is not the head of a map", expected=f"an origin and {_SUFFIX}", got=origin)
    return origin.removesuffix(_SUFFIX)


@dataclass(frozen=True, slots=True)
class MapAnswer:
    """What a log says about a key: the whole bucket, its place under the head, and the entries if there are any.

    `hashes` is the RFC 9162 inclusion proof of the bucket among all buckets, `log_root` the log's root at the head's
    size, `head` the signed note.
    """

    key: MapKey
    bucket: bytes
    hashes: tuple[bytes, ...]
    log_root: bytes
    head: bytes
    entries: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """A verified answer: all entries about a key among the first `size` of the log `origin`, whose root is
    `log_root`."""

    key: MapKey
    origin: str
    size: int
    log_root: bytes
    entries: tuple[int, ...]


def verify_answer(answer: MapAnswer, log: Sequence[LogKey]) -> Listed:
    """What the answer shows, by the keys of the log that it is of. `VerificationError` or `MalformedError` if it does
    not."""
    head = open_head(answer.head, log)
    bits, digest = bucket_bits(head.size), answer.key.digest
    leaf = leaf_hash(answer.bucket)
    map_root = root_from_inclusion(leaf, bucket_of(digest, bits), 1 << bits, answer.hashes)
    if head_root(answer.log_root, map_root) != head.root:
        raise VerificationError("answer does not lead to its head", expected=head.root.hex())
    item = next((item for item in parse_bucket(answer.bucket) if item.key == digest), None)
    found = (0, list_root(())) if item is None else (item.count, item.root)
    if (len(answer.entries), list_root(answer.entries)) != found:
        got = f"{len(answer.entries)} entries"
        raise VerificationError("list is not the one in the map", expected=f"{found[0]} entries", got=got)
    if any(low >= high for low, high in zip(answer.entries, (*answer.entries[1:], head.size), strict=False)):
        raise VerificationError("list is out of order, or has an entry that the log has not")
    return Listed(answer.key, log[0].verifier.name, head.size, answer.log_root, answer.entries)


def encode_answer(answer: MapAnswer) -> bytes:
    """The answer as canonical JSON and a newline."""
    return canonical_json(answer_json(answer)) + b"\n"


def answer_json(answer: MapAnswer) -> dict[str, JsonValue]:
    """The answer as a JSON value."""
    return {
        "format": FORMAT,
        "kind": str(answer.key.kind),
        "value": answer.key.value,
        "entries": list(answer.entries),
        "bucket": b64encode(answer.bucket),
        "hashes": [b64encode(one) for one in answer.hashes],
        "logRoot": b64encode(answer.log_root),
        "head": answer.head.decode("utf-8"),
    }


def parse_answer(data: bytes) -> MapAnswer:
    """The answer in its bytes. `MalformedError` or `LimitError` for anything that `encode_answer` does not give."""
    answer = read_answer(parse_json(data, what="answer", max_bytes=MAX_ANSWER_BYTES))
    if encode_answer(answer) != data:
        raise MalformedError("answer is not canonical JSON", expected="RFC 8785 and a newline", got="another encoding")
    return answer


def read_answer(value: JsonValue) -> MapAnswer:
    """The answer in a JSON value."""
    fields = Fields(value, "answer")
    fields.constant("format", FORMAT)
    kind = fields.string("kind", max_chars=16)
    if kind not in list(KeyKind):
        raise MalformedError("unknown kind of map key", expected=" | ".join(KeyKind), got=kind)
    entries = fields.array("entries", max_items=MAX_LISTED)
    if not all(isinstance(one, int) and not isinstance(one, bool) and 0 <= one <= MAX_SAFE_INTEGER for one in entries):
        raise MalformedError("entry is not an index", expected="integers from 0", where="answer.entries")
    hashes = [b64decode(one, what="answer.hashes", max_bytes=32) for one in fields.array("hashes", max_items=64)]
    answer = MapAnswer(
        key=MapKey(KeyKind(kind), fields.string("value", max_chars=MAX_ENTRY_BYTES)),
        bucket=fields.base64("bucket", max_bytes=_MAX_BUCKET_BYTES),
        hashes=tuple(hashes),
        log_root=fields.base64("logRoot", max_bytes=32),
        head=fields.string("head", max_chars=MAX_NOTE_BYTES).encode("utf-8", "surrogatepass"),
        entries=tuple(one for one in entries if isinstance(one, int)),
    )
    fields.end()
    if any(len(one) != 32 for one in (*hashes, answer.log_root)) or len(hashes) > MAX_PROOF_HASHES:
        raise MalformedError("answer has a hash of a wrong length", expected="32 bytes")
    return answer
