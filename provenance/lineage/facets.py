"""Facets of OpenLineage events that say who owns something and how good it is, as far as they mean that.

Invariants: what is taken over keeps the facet's own shape and names; what a facet has besides is left to the event's
bytes; a facet that is ill-formed says nothing, and the event is taken all the same; lists are cut at a stated length.

Bytes (canonical JSON, a facet): `{"assertions":[{"assertion":"not_null","column":"id","success":false}],"failed":1,
"passed":0}`, `{"owners":[{"name":"team:data","type":"MAINTAINER"}]}`, `{"columnMetrics":{"id":{"nullCount":3}},
"rowCount":1000}`, `{"failed":0,"passed":2,"skipped":1,"tests":[..]}`.

Source: OpenLineage 2-0-2, facets `ownership`, `dataQualityAssertions`, `dataQualityMetrics`, `test`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from provenance.encoding import JsonValue, canonical_json

MAX_SHOWN: Final = 200
"""Owners, assertions, tests or columns of one facet."""
_MAX_CHARS: Final = 500
Facets = tuple[tuple[str, bytes], ...]
_COUNTS: Final = ("rowCount", "bytes", "fileCount")
_COLUMN_COUNTS: Final = ("nullCount", "distinctCount", "count")


def read_facets(*given: Mapping[str, JsonValue]) -> Facets:
    """(name, canonical JSON) of what these objects of facets say of ownership and quality; the last of a name holds."""
    found: dict[str, bytes] = {}
    for facets in given:
        for name, read in _READERS.items():
            facet = facets.get(name)
            value = read(facet) if isinstance(facet, dict) else None
            if value is not None:
                found[name] = canonical_json(value)
    return tuple(found.items())


def _ownership(facet: dict[str, JsonValue]) -> JsonValue | None:
    owners = [_kept(one, ("name", "type")) for one in _objects(facet.get("owners")) if isinstance(one.get("name"), str)]
    return {"owners": list[JsonValue](owners[:MAX_SHOWN])} if owners else None


def _assertions(facet: dict[str, JsonValue]) -> JsonValue | None:
    stated = [one for one in _objects(facet.get("assertions")) if isinstance(one.get("success"), bool)]
    if not stated:
        return None
    # Those that failed first: where the list is cut, they are what matters.
    stated.sort(key=lambda one: bool(one["success"]))
    shown: list[JsonValue] = [
        {**_kept(one, ("assertion", "name", "column", "severity")), "success": one["success"]}
        for one in stated[:MAX_SHOWN]
    ]
    passed = sum(one["success"] is True for one in stated)
    return {"passed": passed, "failed": len(stated) - passed, "assertions": shown}


def _tests(facet: dict[str, JsonValue]) -> JsonValue | None:
    stated = [one for one in _objects(facet.get("tests")) if one.get("status") in ("pass", "fail", "skip")]
    if not stated:
        return None
    stated.sort(key=lambda one: one["status"] != "fail")
    shown: list[JsonValue] = [
        {**_kept(one, ("name", "severity", "type")), "status": one["status"]} for one in stated[:MAX_SHOWN]
    ]
    counts = {word: sum(one["status"] == status for one in stated) for word, status in _STATUSES}
    return {**counts, "tests": shown}


def _metrics(facet: dict[str, JsonValue]) -> JsonValue | None:
    found: dict[str, JsonValue] = {name: facet[name] for name in _COUNTS if _is_count(facet.get(name))}
    stated = facet.get("columnMetrics")
    columns: dict[str, JsonValue] = {}
    for name, given in list(stated.items())[:MAX_SHOWN] if isinstance(stated, dict) else ():
        counts = (
            {key: given[key] for key in _COLUMN_COUNTS if _is_count(given.get(key))} if isinstance(given, dict) else {}
        )
        if counts:
            columns[name[:_MAX_CHARS]] = counts
    if columns:
        found["columnMetrics"] = columns
    return found or None


def _is_count(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _objects(value: JsonValue) -> list[dict[str, JsonValue]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _kept(one: dict[str, JsonValue], names: tuple[str, ...]) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {}
    for name in names:
        text = one.get(name)
        if isinstance(text, str):
            found[name] = text[:_MAX_CHARS]
    return found


_STATUSES: Final = (("passed", "pass"), ("failed", "fail"), ("skipped", "skip"))
_READERS: Final[Mapping[str, Callable[[dict[str, JsonValue]], JsonValue | None]]] = {
    "ownership": _ownership,
    "dataQualityAssertions": _assertions,
    "dataQualityMetrics": _metrics,
    "test": _tests,
}
