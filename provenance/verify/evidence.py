"""Evidence: everything a verification needs, and the offline bundle that carries it.

Invariants: evidence is only bytes from outside, nothing in it is believed; the bundle is one strict JSON text; every
entry carries a tlog-proof of its own, so that other people's tools can check each one alone; `parse_bundle` accepts
exactly the bytes that `encode_bundle` gives, and no entry, key, anchor or header twice; entries are read and written
one by one, so that memory does not grow to many times the bundle.

Bytes (canonical JSON): `{"anchors":[..],"blobs":{"<sha256>":"<base64>"},"entries":[{"envelope":"<base64>",
"proof":"c2sp.org/tlog-proof@v1\\n.."}],"headers":["0x.."],"keys":["-----BEGIN PUBLIC KEY-----.."],
"mediaType":"application/vnd.provenance-ledger.bundle.v1+json","target":"<sha256 of an envelope>"}`, and `"map":[..]`
where there are answers of the log's map.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from provenance.anchor import AnchorReceipt, parse_receipt
from provenance.encoding import Digest, Fields, JsonValue, b64decode, b64encode, canonical_json, parse_json
from provenance.errors import MalformedError
from provenance.fingerprint import Fingerprint
from provenance.fingerprint.chunks import Damage
from provenance.limits import (
    MAX_BUNDLE_BYTES,
    MAX_ENTRY_BYTES,
    MAX_KEY_BYTES,
    MAX_LINEAGE_NODES,
    MAX_NOTE_BYTES,
    check_size,
)
from provenance.log.map import MapAnswer, answer_json, read_answer
from provenance.signature import PublicKey, parse_public_key

MEDIA_TYPE: Final = "application/vnd.provenance-ledger.bundle.v1+json"
_MAX_HEADER_BYTES = 64 * 2**10
_MAX_ANCHORS = 1_000
_NO_ENTRIES: Final = b',"entries":[]'
"""In canonical JSON a quotation mark within a text is escaped: this stands where the entries of a bundle do, or a
bundle with it elsewhere is none."""
_FIRST_ENTRY: Final = _NO_ENTRIES[:-1] + b'{"envelope":"'
_ENTRY = re.compile(rb'\{"envelope":"[^"\\]*+","proof":"[^"\\]*+(?:\\.[^"\\]*+)*+"\}')
_MAX_EXPLAINED_BYTES: Final = 32 * 2**20
_MAX_ENTRY_TEXT: Final = 2 * MAX_ENTRY_BYTES + 6 * MAX_NOTE_BYTES


@dataclass(frozen=True, slots=True)
class EvidenceEntry:
    """A log entry: the DSSE envelope's bytes as logged, and its tlog-proof."""

    envelope: bytes
    proof: bytes

    @property
    def digest(self) -> Digest:
        """SHA-256 of the envelope."""
        return Digest.of(self.envelope)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The entries of a lineage (`target` names one by envelope digest) and what proves them.

    `keys` are offered, not trusted; `headers` are RLP block headers that statements name as *not before*; `blobs`
    are manifests and chunk maps by their SHA-256, for naming the file that differs, and where it does; `answers` are
    the log's, that nothing said about the lineage was left out.
    """

    target: Digest
    entries: tuple[EvidenceEntry, ...]
    keys: tuple[PublicKey, ...] = ()
    anchors: tuple[AnchorReceipt, ...] = ()
    headers: tuple[bytes, ...] = ()
    blobs: Mapping[Digest, bytes] = field(default_factory=dict)
    answers: tuple[MapAnswer, ...] = ()


@dataclass(frozen=True, slots=True)
class ContentFinding:
    """What was found where an artefact's bytes are: a whole fingerprint, or only a digest somebody computed.

    `is_part`: only some of the artefact's files are meant to be there. `damage`: where files differ from what was
    stated, path -> ranges of bytes, as far as somebody compared them chunk by chunk.
    """

    digest: Digest
    where: str
    fingerprint: Fingerprint | None = None
    is_part: bool = False
    damage: Mapping[str, tuple[Damage, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BlockFinding:
    """What a chain, asked now, says of a height: the canonical block's hash and the finalised height."""

    chain_id: int
    number: int
    hash: bytes | None
    finalized: int
    source: str


def encode_bundle(evidence: Evidence) -> bytes:
    """The offline bundle: canonical JSON and a newline. `LimitError` if it could not be read back."""
    rest = _encode_rest(evidence)
    if not evidence.entries:
        return rest
    head, tail = _split(rest, rest.index(_NO_ENTRIES) + len(_NO_ENTRIES) - 1)
    data = bytearray(head)
    for entry in evidence.entries:
        data += _encode_entry(entry)
        data += b","
        check_size("bundle", len(data) + len(tail) - 1, MAX_BUNDLE_BYTES)
    data[-1:] = tail
    return bytes(data)


def _split(data: bytes, place: int) -> tuple[bytes, bytes]:
    return data[:place], data[place:]


def _encode_entry(entry: EvidenceEntry) -> bytes:
    return canonical_json({"envelope": b64encode(entry.envelope), "proof": entry.proof.decode("utf-8")})


def _encode_rest(evidence: Evidence) -> bytes:
    """The bundle without entries."""
    value: dict[str, JsonValue] = {
        "mediaType": MEDIA_TYPE,
        "target": evidence.target.hex,
        "entries": [],
        "keys": [key.pem for key in evidence.keys],
        "anchors": [receipt.to_json() for receipt in evidence.anchors],
        "headers": ["0x" + header.hex() for header in evidence.headers],
        "blobs": {digest.hex: b64encode(data) for digest, data in evidence.blobs.items()},
    }
    if evidence.answers:
        value["map"] = [answer_json(answer) for answer in evidence.answers]
    data = canonical_json(value) + b"\n"
    check_size("bundle", len(data), MAX_BUNDLE_BYTES)
    return data


def parse_bundle(data: bytes) -> Evidence:
    """The evidence in a bundle's bytes; `MalformedError` says what is wrong. Nothing is verified."""
    check_size("bundle", len(data), MAX_BUNDLE_BYTES)
    start = data.find(_FIRST_ENTRY)
    if start < 0:
        entries, rest = tuple[EvidenceEntry, ...](), data
    else:
        begin = start + len(_NO_ENTRIES) - 1
        entries, end = _parse_entries(data, begin)
        rest = data[:begin] + data[end:]
    evidence = replace(_parse_rest(rest), entries=entries)
    _check_once("an entry", [entry.digest for entry in evidence.entries])
    if evidence.target not in {entry.digest for entry in evidence.entries}:
        raise MalformedError("bundle does not hold its target", expected=f"an envelope with SHA-256 {evidence.target}")
    return evidence


def _parse_entries(data: bytes, place: int) -> tuple[tuple[EvidenceEntry, ...], int]:
    """The entries from this place on, and where they end."""
    entries: list[EvidenceEntry] = []
    while True:
        found = _ENTRY.match(data, place, place + _MAX_ENTRY_TEXT)
        if found is None:
            if len(data) <= _MAX_EXPLAINED_BYTES:  # whether it is JSON at all, and where not
                parse_json(data, what="bundle", max_bytes=_MAX_EXPLAINED_BYTES)
            raise MalformedError("bundle is not canonical JSON", expected="an entry", where=f"byte {place}")
        entry = _parse_entry(parse_json(found[0], what="bundle.entries", max_bytes=_MAX_ENTRY_TEXT))
        if _encode_entry(entry) != found[0]:
            raise MalformedError("bundle is not canonical JSON", expected="RFC 8785", where=f"byte {place}")
        entries.append(entry)
        check_size("bundle", len(entries), MAX_LINEAGE_NODES, "entries")
        place = found.end()
        if data[place : place + 1] != b",":
            return tuple(entries), place
        place += 1


def _parse_rest(data: bytes) -> Evidence:
    """What a bundle holds beside its entries."""
    fields = Fields(parse_json(data, what="bundle", max_bytes=MAX_BUNDLE_BYTES), "bundle")
    fields.constant("mediaType", MEDIA_TYPE)
    if fields.array("entries", max_items=MAX_LINEAGE_NODES):
        raise MalformedError("bundle is not canonical JSON", expected="RFC 8785 and a newline", got="another encoding")
    evidence = Evidence(
        target=fields.digest("target"),
        entries=(),
        keys=tuple(_parse_key(item) for item in fields.array("keys", max_items=MAX_LINEAGE_NODES)),
        anchors=tuple(parse_receipt(item) for item in fields.array("anchors", max_items=_MAX_ANCHORS)),
        headers=tuple(_parse_header(item) for item in fields.array("headers", max_items=MAX_LINEAGE_NODES)),
        blobs=_parse_blobs(fields.value("blobs")),
        answers=_parse_answers(fields),
    )
    fields.end()
    _check_once("a key", [key.keyid for key in evidence.keys])
    _check_once("an anchor", evidence.anchors)
    _check_once("a header", evidence.headers)
    _check_once("an answer", [answer.key for answer in evidence.answers])
    if _encode_rest(evidence) != data:
        raise MalformedError("bundle is not canonical JSON", expected="RFC 8785 and a newline", got="another encoding")
    return evidence


def _check_once(what: str, items: Sequence[Hashable]) -> None:
    if len(set(items)) != len(items):
        raise MalformedError(f"bundle holds {what} twice", expected="each once")


def _parse_entry(value: JsonValue) -> EvidenceEntry:
    fields = Fields(value, "bundle.entries")
    envelope = fields.base64("envelope", max_bytes=MAX_ENTRY_BYTES)
    entry = EvidenceEntry(envelope, fields.string("proof", max_chars=MAX_NOTE_BYTES).encode("utf-8"))
    fields.end()
    return entry


def _parse_answers(fields: Fields) -> tuple[MapAnswer, ...]:
    if not fields.has("map"):
        fields.skip("map")
        return ()
    return tuple(read_answer(item) for item in fields.array("map", max_items=2 * MAX_LINEAGE_NODES))


def _parse_key(value: JsonValue) -> PublicKey:
    if not isinstance(value, str) or len(value) > MAX_KEY_BYTES:
        raise MalformedError("key is not PEM text", where="bundle.keys")
    return parse_public_key(value)


def _parse_header(value: JsonValue) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x") or len(value) > 2 * _MAX_HEADER_BYTES:
        raise MalformedError("header is not hex", expected="0x and hex digits", where="bundle.headers")
    try:
        raw = bytes.fromhex(value[2:])
    except ValueError as error:
        raise MalformedError("header is not hex", expected="0x and hex digits", where="bundle.headers") from error
    if "0x" + raw.hex() != value:
        raise MalformedError("header is not lower-case hex", where="bundle.headers")
    return raw


def _parse_blobs(value: JsonValue) -> dict[Digest, bytes]:
    if not isinstance(value, dict):
        raise MalformedError("blobs are not an object", where="bundle.blobs")
    blobs = {}
    for name, text in value.items():
        digest = Digest.from_hex(name, what="bundle.blobs name")
        blobs[digest] = b64decode(text, what=f"blob {name}", max_bytes=MAX_BUNDLE_BYTES)
        if Digest.of(blobs[digest]) != digest:
            raise MalformedError("blob is not what its name says", expected=name, got=Digest.of(blobs[digest]))
    return blobs
