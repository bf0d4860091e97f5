"""The frame of every statement: in-toto Statement v1, and what all of ours have in common.

Invariants: canonical JSON; every subject has a name and a digest that holds `sha256` only; a registered statement is
pinned by name, version, dataset digest and the SHA-256 of the very envelope that registered it; no personal data, row
content or file listing is in a statement.

Source: in-toto attestation framework, spec v1.

Bytes (canonical JSON): `{"_type":"https://in-toto.io/Statement/v1","predicate":{..},"predicateType":"<URI>",
"subject":[{"digest":{"sha256":"<64 hex>"},"name":"ns/name@1"}]}`
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeVar

from provenance.encoding import Digest, Fields, JsonValue, canonical_json, parse_json
from provenance.errors import MalformedError
from provenance.limits import MAX_ENTRY_BYTES, MAX_SAFE_INTEGER, MAX_URI_CHARS, check_size
from provenance.statement.names import PinnedName

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
MAX_SUBJECTS: Final = 256
MAX_SUBJECT_CHARS: Final = 512
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_USER = re.compile(r"//[^/?#]*@|^[^:]*:/*[^/?#]*@")


@dataclass(frozen=True, slots=True)
class Pin:
    """A registered statement, pinned: its name and version, its dataset digest, and the SHA-256 of its envelope."""

    name: PinnedName
    digest: Digest
    envelope: Digest

    def to_json(self) -> dict[str, JsonValue]:
        """The pin as a JSON object."""
        return {
            "name": str(self.name),
            "digest": {"sha256": self.digest.hex},
            "envelope": {"sha256": self.envelope.hex},
        }


@dataclass(frozen=True, slots=True)
class BlockReference:
    """A block that existed when the statement was signed: proof of *not before*."""

    chain_id: int
    number: int
    hash: bytes

    def to_json(self) -> dict[str, JsonValue]:
        """The block as a JSON object."""
        return {"chainId": self.chain_id, "number": self.number, "hash": "0x" + self.hash.hex()}


@dataclass(frozen=True, slots=True)
class Subject:
    """What a statement is about: a name and a SHA-256."""

    name: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class Frame:
    """A statement whose predicate is yet to be read."""

    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: Fields

    def subject(self) -> Subject:
        """The one subject. `MalformedError` if there are several."""
        if len(self.subjects) != 1:
            got = f"{len(self.subjects)} subjects"
            raise MalformedError("statement has another number of subjects", expected="exactly one", got=got)
        return self.subjects[0]


def encode_frame(subjects: Sequence[Subject], predicate_type: str, predicate: JsonValue) -> bytes:
    """The statement as canonical JSON: what is signed."""
    return canonical_json(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": subject.name, "digest": {"sha256": subject.digest.hex}} for subject in subjects],
            "predicateType": predicate_type,
            "predicate": predicate,
        }
    )


def open_frame(payload: bytes) -> Frame:
    """The frame in a DSSE payload. `MalformedError` for anything but an in-toto Statement v1 with subjects as ours."""
    fields = Fields(parse_json(payload, what="statement", max_bytes=MAX_ENTRY_BYTES), "statement")
    fields.constant("_type", STATEMENT_TYPE)
    predicate_type = fields.string("predicateType", max_chars=MAX_URI_CHARS)
    subjects = tuple(_parse_subject(item) for item in fields.array("subject", max_items=MAX_SUBJECTS))
    if not subjects:
        raise MalformedError("statement has no subject", expected="one at least")
    predicate = fields.object("predicate")
    fields.end()
    return Frame(subjects, predicate_type, predicate)


def _parse_subject(value: JsonValue) -> Subject:
    fields = Fields(value, "statement.subject")
    subject = Subject(fields.string("name", max_chars=MAX_SUBJECT_CHARS), fields.digest_set("digest"))
    fields.end()
    return subject


def parse_pin(value: JsonValue, what: str) -> Pin:
    """The pin in a parsed JSON object."""
    fields = Fields(value, what)
    pin = Pin(PinnedName.parse(fields.string("name")), fields.digest_set("digest"), fields.digest_set("envelope"))
    fields.end()
    return pin


def parse_block(predicate: Fields, name: str = "notBefore") -> BlockReference | None:
    """The block in a field; None if there is none."""
    if not predicate.has(name):
        predicate.skip(name)
        return None
    fields = predicate.object(name)
    text = fields.string("hash", max_chars=66)
    if not text.startswith("0x"):
        raise MalformedError(f"{name}.hash is no block hash", expected="0x and 64 hex digits", got=text)
    block_hash = Digest.from_hex(text[2:], what=f"{name}.hash").raw
    chain_id = fields.integer("chainId", minimum=1, maximum=MAX_SAFE_INTEGER)
    block = BlockReference(chain_id, fields.integer("number"), block_hash)
    fields.end()
    return block


def check_time(text: str) -> None:
    """Raise `MalformedError` unless this is a time as statements write it."""
    try:
        if _TIME.fullmatch(text):
            datetime.fromisoformat(text)
            return
    except ValueError:
        pass
    raise MalformedError("not a time", expected="RFC 3339 in UTC to the second", got=text)


def check_uri(text: str, what: str) -> None:
    """Raise `MalformedError` unless this is an absolute URI without user or password."""
    check_size(what, len(text), MAX_URI_CHARS, "characters")
    if not _URI.fullmatch(text) or _USER.search(text):
        # What was given is not shown: it may hold a password.
        raise MalformedError(f"not a URI: {what}", expected="an absolute URI without user or password")


_Choice = TypeVar("_Choice", bound=StrEnum)


def parse_choice(enum: type[_Choice], text: str, what: str) -> _Choice:
    """The member of this name; `MalformedError` that lists them."""
    try:
        return enum(text)
    except ValueError:
        raise MalformedError(f"unknown {what}", expected=" | ".join(enum), got=text) from None
