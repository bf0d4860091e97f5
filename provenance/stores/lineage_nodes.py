"""What is shown of nodes of the graph: of many at a time, one query for each kind of thing.

Invariants: a dataset's version is one that was written, never one that was read; its fields are those that a writer
said last, else a reader; a run that failed wrote nothing; of two things said at one instant the greater text holds.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from provenance.lineage.event_time import format_time_us
from provenance.lineage.facets import LIFECYCLE
from provenance.lineage.openlineage import NodeKey
from provenance.stores.lineage_schema import EVENT_RUN, FAILED, FIELDS, READ, STATE, WRITTEN

MAX_VERSIONS: Final = 5
_MAX_LOOKED_AT: Final = 50
_AMONG: Final = "(SELECT value FROM json_each(?))"
_DECLARED: Final = f"""SELECT DISTINCT shape_io.dataset, text_sources.source, shapes.trust, 1 FROM shape_io
    JOIN shapes ON shapes.id = shape_io.shape JOIN text_sources ON text_sources.text = shape_io.lineage
    WHERE shape_io.dataset IN {_AMONG} AND shapes.runs > 0"""  # noqa: S608 - words of this project
_INFERRED: Final = f"""SELECT DISTINCT made.dataset, used.dataset, shapes.trust, 0 FROM shape_io made
    JOIN shapes ON shapes.id = made.shape JOIN shape_io used ON used.shape = made.shape AND used.role = {READ}
    WHERE made.dataset IN {_AMONG} AND made.role = {WRITTEN} AND made.lineage IS NULL AND shapes.runs > 0
    AND used.dataset <> made.dataset"""  # noqa: S608 - likewise
_HAVING: Final = (
    "SELECT each.value FROM json_each(?) each WHERE EXISTS (SELECT 1 FROM {} WHERE dataset = each.value {})"
)
_HAVE_VERSIONS: Final = _HAVING.format("versions", "")
_HAVE_SAID: Final = {kind: _HAVING.format("said", f"AND kind = '{kind}'") for kind in (FIELDS, STATE)}
_SAID: Final = f"""SELECT said.trust, said.time, texts.value, speakers.name FROM said
    CROSS JOIN runs ON runs.id = said.run CROSS JOIN texts ON texts.id = said.text
    LEFT JOIN speakers ON speakers.id = said.speaker WHERE said.dataset = ? AND said.kind = ?
    AND (said.role = {READ} OR runs.state NOT IN {FAILED})
    ORDER BY said.trust DESC, said.role DESC, said.time DESC, texts.value DESC LIMIT 1"""  # noqa: S608 - likewise
_WRITTEN: Final = f"""SELECT versions.trust, versions.time, versions.version, runs.run, runs.id, speakers.name
    FROM versions CROSS JOIN runs ON runs.id = versions.run LEFT JOIN speakers ON speakers.id = versions.speaker
    WHERE versions.dataset = ? AND versions.role = {WRITTEN} AND runs.state NOT IN {FAILED}
    ORDER BY versions.trust DESC, versions.time DESC, versions.version DESC LIMIT {_MAX_LOOKED_AT}"""  # noqa: S608 - likewise
_FACETS: Final = f"""SELECT node, facet, value, speakers.name FROM facets
    LEFT JOIN speakers ON speakers.id = facets.speaker WHERE node IN {_AMONG} ORDER BY node, facet"""  # noqa: S608
_READ: Final = f"""SELECT version FROM versions WHERE dataset = ? AND role = {READ}
    ORDER BY trust DESC, time DESC, version DESC LIMIT {_MAX_LOOKED_AT}"""  # noqa: S608 - likewise
_INPUTS: Final = f"""SELECT versions.run, nodes.key, versions.version FROM versions
    JOIN nodes ON nodes.id = versions.dataset WHERE versions.run IN {_AMONG} AND versions.role = {READ}
    ORDER BY versions.run, nodes.key, versions.version"""  # noqa: S608 - likewise
Rows = Callable[[str, Sequence[int]], list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A job or dataset with its edges, as node ids; `facets` are what was said last of its owners and quality.

    `said_by` says of version, schema and each facet who said it: the keyid of a key that signed it, `import` for what
    this ledger imported, None for what anybody may have sent. `version` was written last, `versions` are the last that
    were written, each with the run and the versions of what that run read, `read_versions` the last that were read.
    `same_as` are other names of the dataset, `state` is what became of it last, such as DROP.
    """

    id: str
    type: str
    namespace: str
    name: str
    created: str
    updated: str
    version: str | None
    versions: list[dict[str, Any]]
    read_versions: list[str]
    fields: list[dict[str, Any]]
    sources: list[dict[str, Any]]
    before: list[str]
    after: list[str]
    same_as: list[str]
    state: str | None
    facets: dict[str, Any]
    said_by: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class FieldsSaid:
    """The fields of a dataset, when they were said, by whom, and whether that was signed or imported."""

    trust: int
    time: int
    fields: list[dict[str, Any]]
    speaker: str | None

    def has(self, name: str) -> bool:
        """Whether there is this field, or the one that this is a part of, whatever the case."""
        wanted = name.casefold()
        return any(
            wanted == known or wanted.startswith((f"{known}.", f"{known}["))
            for known in (str(one["name"]).casefold() for one in self.fields)
        )


@dataclass(slots=True)
class Edges:
    """Edges by either end; `same` are pairs of names of one dataset, `renames` as of `NameReader.renames`."""

    before: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    after: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    same: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    renames: set[tuple[int, int, int]] = field(default_factory=set)

    def add(self, origin: int, destination: int) -> None:
        """Add an edge."""
        self.after[origin].add(destination)
        self.before[destination].add(origin)


@dataclass(frozen=True, slots=True)
class _Written:
    trust: int
    time: int
    version: str
    run: str
    number: int
    speaker: str | None


@dataclass(slots=True)
class _Versions:
    written: list[dict[str, Any]]
    read: list[str]


class NodeReader:
    """Reads over one connection; `rows` gives the rows of a query about some ids, of which it bounds the number."""

    def __init__(self, db: sqlite3.Connection, rows: Rows) -> None:
        self._db, self._rows = db, rows

    def shown(self, nodes: set[int], edges: Edges) -> Iterator[GraphNode]:
        """These nodes, with those edges that lead to and from them."""
        ids = sorted(nodes)
        sources, versions, fields = self._sources(ids), self._versions(ids), self.fields(ids)
        states = self._said(STATE, ids)
        for previous, dataset, trust in edges.renames:
            sources[dataset][previous] = max(sources[dataset].get(previous, (0, 0)), (trust, 1))
        said, by = defaultdict[int, dict[str, Any]](dict), defaultdict[int, dict[str, str | None]](dict)
        for number, name, value, speaker in self._rows(_FACETS, ids):
            said[number][name], by[number][name] = json.loads(value), speaker
        ends = {end for one in ids for end in (*edges.before[one], *edges.after[one], *edges.same[one])}
        ends |= {source for one in sources.values() for source in one}
        keys = self._keys(sorted(ends | nodes))
        query = f"SELECT id, created, updated FROM nodes WHERE id IN {_AMONG}"  # noqa: S608 - words of this project
        for number, created, updated in self._rows(query, ids):
            node, told, found = keys[number], fields.get(number), versions.get(number) or _Versions([], [])
            if told is not None:
                by[number][FIELDS] = told.speaker
            if number in states:
                by[number][LIFECYCLE] = states[number][3]
            if found.written:
                by[number]["version"] = found.written[0]["saidBy"]
            yield GraphNode(
                id=node.id,
                type=node.kind.upper(),
                namespace=node.namespace,
                name=node.name,
                created=format_time_us(created),
                updated=format_time_us(updated),
                version=found.written[0]["version"] if found.written else None,
                versions=found.written,
                read_versions=found.read,
                fields=told.fields if told else [],
                sources=sorted(
                    (
                        {"origin": keys[source].id, "declared": bool(declared), "signed": bool(trust)}
                        for source, (trust, declared) in sources[number].items()
                    ),
                    key=lambda one: str(one["origin"]),
                ),
                before=sorted(keys[one].id for one in edges.before[number]),
                after=sorted(keys[one].id for one in edges.after[number]),
                same_as=sorted(keys[one].id for one in edges.same[number]),
                state=json.loads(states[number][2]) if number in states else None,
                facets=said[number],
                said_by=by[number],
            )

    def fields(self, datasets: Sequence[int]) -> dict[int, FieldsSaid]:
        """The fields of those of these datasets that have any."""
        said = self._said(FIELDS, datasets).items()
        return {
            dataset: FieldsSaid(trust, time, json.loads(value), speaker)
            for dataset, (trust, time, value, speaker) in said
        }

    def _said(self, kind: str, datasets: Sequence[int]) -> dict[int, tuple[int, int, str, str | None]]:
        """(trust, time, text, speaker) of what counts of this kind, of those datasets of which it was said."""
        found = {}
        for (dataset,) in self._rows(_HAVE_SAID[kind], datasets):
            row = self._db.execute(_SAID, (dataset, kind)).fetchone()
            if row is not None:
                found[dataset] = row
        return found

    def _keys(self, ids: Sequence[int]) -> dict[int, NodeKey]:
        query = f"SELECT id, key FROM nodes WHERE id IN {_AMONG}"  # noqa: S608 - words of this project
        return {number: NodeKey.parse(key) for number, key in self._rows(query, ids)}

    def _sources(self, ids: Sequence[int]) -> defaultdict[int, dict[int, tuple[int, int]]]:
        """What datasets were made from; whether that was signed or imported, and whether it was declared of a run or
        inferred from all that it read: the best of what is said of each."""
        found = defaultdict[int, dict[int, tuple[int, int]]](dict)
        for dataset, source, *how in (*self._rows(_INFERRED, ids), *self._rows(_DECLARED, ids)):
            found[dataset][source] = max(found[dataset].get(source, (0, 0)), (how[0], how[1]))
        return found

    def _versions(self, ids: Sequence[int]) -> dict[int, _Versions]:
        datasets = [dataset for (dataset,) in self._rows(_HAVE_VERSIONS, ids)]
        written = {dataset: self._written(dataset) for dataset in datasets}
        inputs = defaultdict[int, list[dict[str, str]]](list)
        runs = sorted({one.number for rows in written.values() for one in rows})
        for run, key, version in self._rows(_INPUTS, runs):
            inputs[run].append({"origin": NodeKey.parse(key).id, "version": version})
        found = {}
        for dataset, rows in written.items():
            read = [version for (version,) in self._db.execute(_READ, (dataset,))]
            shown = [
                {
                    "version": one.version,
                    "time": format_time_us(one.time),
                    "run": one.run if is_run(one.run) else None,
                    "saidBy": one.speaker,
                    "inputs": inputs[one.number],
                }
                for one in rows
            ]
            found[dataset] = _Versions(shown, list(dict.fromkeys(read))[:MAX_VERSIONS])
        return found

    def _written(self, dataset: int) -> list[_Written]:
        """The last versions, one of each run, latest first; those that were signed or imported before others."""
        by_run: dict[int, _Written] = {}
        for row in self._db.execute(_WRITTEN, (dataset,)):
            one = _Written(*row)
            by_run.setdefault(one.number, one)
        best = sorted(by_run.values(), key=lambda one: (one.trust, one.time, one.version, one.run), reverse=True)
        return best[:MAX_VERSIONS]


def is_run(name: str) -> bool:
    """Whether this is the name of a run, and not of an event without one."""
    return not name.startswith(EVENT_RUN)
