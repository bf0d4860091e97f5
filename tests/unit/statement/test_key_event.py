"""What is said of keys: read back as written, by the schema, and nothing else is."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from provenance.encoding import Digest, canonical_json
from provenance.errors import MalformedError
from provenance.statement.frame import BlockReference, open_frame
from provenance.statement.key_event import (
    KEY_TYPE,
    KeyAction,
    KeyEvent,
    KeyReason,
    NamedKey,
    encode_key_event,
    read_key_event,
)
from tests.paths import PROJECT
from tests.unit.signature.keys_for_tests import ed25519, p256

CREATED = "2026-11-20T12:00:00Z"
KEY, OTHER = NamedKey.of(p256().public.pem), NamedKey.of(ed25519().public.pem)
EVENTS = [
    KeyEvent(KEY, KeyAction.INTRODUCED, CREATED, not_before=BlockReference(1, 2, bytes(32))),
    KeyEvent(KEY, KeyAction.ROTATED, CREATED, successor=OTHER),
    KeyEvent(OTHER, KeyAction.REVOKED, CREATED, reason=KeyReason.COMPROMISED),
    KeyEvent(OTHER, KeyAction.REVOKED, CREATED, reason=KeyReason.RETIRED, since="2026-11-01T00:00:00Z"),
]
SCHEMA = json.loads((PROJECT / "docs" / "schemas" / "key-1.json").read_bytes())


def _read(data: bytes) -> KeyEvent:
    frame = open_frame(data)
    if frame.predicate_type != KEY_TYPE:
        raise MalformedError("statement is of another kind")
    return read_key_event(frame, strict=True)


@pytest.mark.parametrize("event", EVENTS)
def test_what_is_written_is_read_back_and_is_what_the_schema_says(event: KeyEvent) -> None:
    data = encode_key_event(event)
    assert _read(data) == event
    assert canonical_json(json.loads(data)) == data
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads(data), SCHEMA)
    assert event.key.keyid.hex == p256().public.keyid or event.key is OTHER
    assert open_frame(data).predicate_type == KEY_TYPE


@pytest.mark.parametrize("event", EVENTS)
def test_every_mutation_is_another_event_or_an_error(event: KeyEvent) -> None:
    data = encode_key_event(event)
    for place in range(len(data)):
        mutated = bytearray(data)
        mutated[place] ^= 1
        try:
            found = _read(bytes(mutated))
        except MalformedError:
            continue
        assert found != event


@pytest.mark.parametrize(
    "edit",
    [
        {"action": "rotated"},
        {"action": "revoked"},
        {"action": "trusted"},
        {"reason": "retired"},
        {"since": CREATED},
        {"successor": {"keyid": {"sha256": OTHER.keyid.hex}, "publicKey": OTHER.pem}},
        {"publicKey": OTHER.pem},
        {"publicKey": "x"},
        {"created": "yesterday"},
        {"more": 1},
    ],
)
def test_what_does_not_fit_together_is_refused(edit: dict[str, Any]) -> None:
    value = json.loads(encode_key_event(EVENTS[0]))
    value["predicate"] |= edit
    with pytest.raises(MalformedError):
        _read(canonical_json(value))


def test_a_key_is_not_its_own_successor() -> None:
    with pytest.raises(MalformedError, match="its own place"):
        KeyEvent(KEY, KeyAction.ROTATED, CREATED, successor=KEY)
    with pytest.raises(MalformedError, match="not the key's"):
        NamedKey(Digest.of(b"x"), KEY.pem)
    for subject in ("keys", "h/a@1"):
        value = json.loads(encode_key_event(EVENTS[0]))
        value["subject"][0]["name"] = subject
        with pytest.raises(MalformedError):
            _read(canonical_json(value))
