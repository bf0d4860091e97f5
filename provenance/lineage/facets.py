"""Facets of OpenLineage events that say who owns something, how good it is and what else it is called.

Invariants: what is taken over keeps the facet's own shape and names; what a facet has besides is left to the event's
bytes; a facet that is ill-formed says nothing, and the event is taken all the same; lists are cut at a stated length.

Bytes (canonical JSON, a facet): `{"assertions":[{"assertion":"not_null","column":"id","success":false}],"failed":1,
"passed":0}`, `{"owners":[{"name":"team:data","type":"MAINTAINER"}]}`, `{"columnMetrics":{"id":{"nullCount":3}},
"rowCount":1000}`, `{"failed":0,"passed":2,"skipped":1,"tests":[..]}`.

`{"identifiers":[{"name":"db.t","namespace":"hive://h","type":"TABLE"}]}`, `{"lifecycleStateChange":"RENAME",
"previousIdentifier":{"name":"old","namespace":"n"}}`: names of datasets are whole, or their identifier is left out.

Source: OpenLineage 2-0-2, facets `ownership`, `dataQualityAssertions`, `dataQualityMetrics`, `test`, `symlinks`,
`lifecycleStateChange`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from provenance.encoding import JsonValue, canonical_json

MAX_SHOWN: Final = 200
"""Owners, assertions, tests or columns of one facet."""
_MAX_CHARS: Final = 500
_MAX_NAME_CHARS: Final = 4_096
Facets = tuple[tuple[str, bytes], ...]
SYMLINKS: Final = "symlinks"
LIFECYCLE: Final = "lifecycleStateChange"
LIFECYCLE_STATES: Final = ("ALTER", "CREATE", "DROP", "OVERWRITE", "RENAME", "TRUNCATE")
_Reader: TypeAlias = "Callable[[dict[str, JsonValue]], JsonValue | None]"
_COUNTS: Final = ("rowCount", "bytes", "fileCount")
_COLUMN_COUNTS: Final = ("nullCount", "distinctCount", "count")


def read_facets(*given: Mapping[str, JsonValue]) -> Facets:
    """(name, canonical JSON) of what these objects of facets say of ownership and quality; the last of a name holds."""
    return _read(_READERS, given)


def read_dataset_facets(*given: Mapping[str, JsonValue]) -> Facets:
    """As `read_facets`, and what facets of a dataset say of its names and of what became of it."""
    return _read(_DATASET_READERS, given)


def _read(readers: Mapping[str, _Reader], given: Sequence[Mapping[str, JsonValue]]) -> Facets:
    found: dict[str, bytes] = {}
    for facets in given:
        for name, read in readers.items():
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


def _symlinks(facet: dict[str, JsonValue]) -> JsonValue | None:
    found = [
        {**name, **_kept(one, ("type",))} for one in _objects(facet.get("identifiers")) if (name := _identifier(one))
    ]
    return {"identifiers": list[JsonValue](found[:MAX_SHOWN])} if found else None


def _lifecycle(facet: dict[str, JsonValue]) -> JsonValue | None:
    state, previous = facet.get(LIFECYCLE), facet.get("previousIdentifier")
    if state not in LIFECYCLE_STATES:
        return None
    name = _identifier(previous) if isinstance(previous, dict) and state == "RENAME" else None
    return {LIFECYCLE: state, **({"previousIdentifier": name} if name else {})}


def _identifier(one: dict[str, JsonValue]) -> dict[str, JsonValue] | None:
    """A dataset's namespace and name."""
    found: dict[str, JsonValue] = {}
    for key in ("namespace", "name"):
        text = one.get(key)
        if not isinstance(text, str) or not 0 < len(text) <= _MAX_NAME_CHARS:
            return None
        found[key] = text
    return found


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
_READERS: Final[Mapping[str, _Reader]] = {
    "ownership": _ownership,
    "dataQualityAssertions": _assertions,
    "dataQualityMetrics": _metrics,
    "test": _tests,
}
_DATASET_READERS: Final[Mapping[str, _Reader]] = {**_READERS, SYMLINKS: _symlinks, LIFECYCLE: _lifecycle}
