"""Canonical bytes for values, and strict values from bytes."""

from provenance.encoding.digest import Digest, b64decode, b64encode
from provenance.encoding.fields import Fields
from provenance.encoding.items import items_of
from provenance.encoding.json import JsonValue, canonical_json, parse_foreign_json, parse_json

__all__ = [
    "Digest",
    "Fields",
    "JsonValue",
    "b64decode",
    "b64encode",
    "canonical_json",
    "items_of",
    "parse_foreign_json",
    "parse_json",
]
