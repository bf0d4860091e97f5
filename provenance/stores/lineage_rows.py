"""What lineage events write into their index.

Invariants: what an event writes may be written twice, and in any order among what others write, and the result is the
same: of what one run says of one dataset the latest by event time stays, of two at one instant the greater text, and so
of what is said of a node's owners and quality, and of the state that a run ended in; what anybody may have said never
takes the place of what was signed or imported. What is written between two pauses
is bounded, and right whether or not the rest follows.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from provenance.encoding import Digest
from provenance.lineage.facets import LIFECYCLE, SYMLINKS
from provenance.lineage.imports.telling import PRODUCER
from provenance.lineage.openlineage import DatasetSaid, LineageEvent, NodeKey
from provenance.stores.lineage_schema import ANYBODY, EVENT_RUN, FIELDS, LINEAGE, NO_JOB, READ, STATE, WRITTEN
from provenance.stores.lineage_shapes import PIECE_ROWS, ShapeWriter

MAX_AHEAD_US: Final = 5 * 60 * 1_000_000
"""How far a sender's clock may be ahead of the receiver's; what is said of a later time counts as said then."""
_MAX_KNOWN: Final = 50_000
_MAX_KNOWN_TEXTS: Final = 2_000
_MAX_KNOWN_CHARS: Final = 4_096
IMPORTS: Final = "import"
"""The speaker of what `provenance import` logged."""
_NEVER: Final = -(2**63)
_ENDS: Final = ("COMPLETE", "FAIL", "ABORT")
_EVENT: Final = "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)"
_NODE: Final = "INSERT OR IGNORE INTO nodes (key, shown, created, updated) VALUES (?, ?, ?, ?)"
_NODE_TIMES: Final = "UPDATE nodes SET created = min(created, ?), updated = max(updated, ?) WHERE id = ?"
_RUN: Final = """INSERT INTO runs (run, job, trust, ended, state) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (run, job, trust) DO UPDATE SET
    state = CASE WHEN (excluded.ended, excluded.state) > (ended, state) THEN excluded.state ELSE state END,
    ended = max(ended, excluded.ended) RETURNING id"""
_IO: Final = "INSERT OR IGNORE INTO io VALUES (?, ?, ?)"
_VERSION: Final = """INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET time = excluded.time, speaker = excluded.speaker WHERE excluded.time > time"""
_SAID: Final = """INSERT INTO said VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    time = excluded.time, text = excluded.text, speaker = excluded.speaker
    WHERE excluded.time > time OR (excluded.time = time AND (SELECT value FROM texts WHERE id = excluded.text)
        > (SELECT value FROM texts WHERE id = said.text))"""
_FACET: Final = """INSERT INTO facets VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    time = excluded.time, value = excluded.value, speaker = excluded.speaker
    WHERE (excluded.speaker > 0, excluded.time, excluded.value) > (speaker > 0, time, value)"""

_NAMED: Final = "INSERT OR IGNORE INTO names VALUES (?, ?, ?)"
_RENAMED: Final = "INSERT OR IGNORE INTO renames VALUES (?, ?, ?)"


@dataclass(slots=True)
class _KnownNode:
    id: int
    created: int
    updated: int


@dataclass(frozen=True, slots=True)
class _Told:
    """Of which run an event tells, when, and who says so."""

    run: int
    time_us: int
    speaker: int

    @property
    def trust(self) -> int:
        return int(self.speaker != ANYBODY)


@dataclass(slots=True)
class _Rows:
    """Rows that wait to be written: of runs, by the keys of their nodes."""

    times: dict[NodeKey, tuple[int, int]] = field(default_factory=dict)
    io: list[tuple[int, int, NodeKey]] = field(default_factory=list)
    versions: list[tuple[_Told, int, NodeKey, str]] = field(default_factory=list)
    said: list[tuple[_Told, int, NodeKey, str, int]] = field(default_factory=list)
    facets: list[tuple[_Told, NodeKey, str, str]] = field(default_factory=list)
    names: list[tuple[NodeKey, NodeKey, int]] = field(default_factory=list)
    renames: list[tuple[NodeKey, NodeKey, int]] = field(default_factory=list)

    def __len__(self) -> int:
        stated = len(self.io) + len(self.versions) + len(self.said) + len(self.facets)
        return len(self.times) + stated + len(self.names) + len(self.renames)

    def see(self, node: NodeKey, time_us: int) -> None:
        """Note that a node was spoken of."""
        first, last = self.times.get(node, (time_us, time_us))
        self.times[node] = (min(first, time_us), max(last, time_us))


class EventWriter:
    """Writes events over one connection, within transactions of its caller."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db, self._shapes = db, ShapeWriter(db)
        self._nodes: dict[NodeKey, _KnownNode] = {}
        self._texts: dict[str, int] = {}
        self._speakers: dict[str, int] = {}

    def forget(self) -> None:
        """Forget what a transaction wrote that was rolled back."""
        self._nodes.clear()
        self._texts.clear()
        self._speakers.clear()
        self._shapes.forget()

    def write(self, entry: int, events: Sequence[tuple[Digest, LineageEvent]], received_us: int) -> Iterator[None]:
        """Write the events of one log entry; the transaction may be committed and another begun at each pause."""
        rows, runs = _Rows(), dict[int, None]()
        for number, (digest, event) in enumerate(events, 1):
            told = self._told(digest, event, received_us)
            runs[told.run] = None
            for role, said in _datasets(event):
                yield from self._take(rows, told, role, said)
                if len(rows) >= PIECE_ROWS:
                    self._flush(rows)
                    rows = _Rows()
                    yield
            if event.job_node is not None and event.job_facets:
                rows.see(event.job_node, told.time_us)
                rows.facets += [(told, event.job_node, name, value.decode()) for name, value in event.job_facets]
            if number % PIECE_ROWS == 0:
                yield
        self._flush(rows)
        if len(rows) + len(runs) >= PIECE_ROWS:
            yield
        yield from self._shapes.reshape(runs)
        self._db.executemany(
            _EVENT,
            [
                (digest.raw, entry, one.kind, one.time_us, one.run, one.producer, ", ".join(one.flags))
                for digest, one in events
            ],
        )

    def _told(self, digest: Digest, event: LineageEvent, received_us: int) -> _Told:
        time_us = min(event.time_us, received_us + MAX_AHEAD_US)
        node, job = event.job_node, NO_JOB
        if node is not None:
            job = self._ids({node: (time_us, time_us)})[node]
        name = EVENT_RUN + digest.hex if event.run is None else event.run.lower()
        speaker = self._speaker(IMPORTS if event.producer == PRODUCER else event.signer)
        ended, state = (time_us, event.state) if event.state in _ENDS else (_NEVER, "")
        run = self._db.execute(_RUN, (name, job, int(speaker != ANYBODY), ended, state)).fetchone()
        return _Told(int(run[0]), time_us, speaker)

    def _speaker(self, name: str | None) -> int:
        """Who says something: a key by its keyid, or imports."""
        if name is None:
            return ANYBODY
        if name not in self._speakers:
            self._db.execute("INSERT OR IGNORE INTO speakers (name) VALUES (?)", (name,))
            (self._speakers[name],) = self._db.execute("SELECT id FROM speakers WHERE name = ?", (name,)).fetchone()
        return self._speakers[name]

    def _take(self, rows: _Rows, told: _Told, role: int, said: DatasetSaid) -> Generator[None, None, None]:
        node, time_us = said.id.node, told.time_us
        rows.see(node, time_us)
        rows.io.append((told.run, role, node))
        if said.version is not None:
            rows.versions.append((told, role, node, said.version))
        if said.fields:
            shown = json.dumps([{"name": name, "type": kind} for name, kind in said.fields])
            rows.said.append((told, role, node, FIELDS, (yield from self._text(shown, (), time_us))))
        if said.is_declared:
            sources = [one.node for one in said.sources if one != said.id]
            columns = [(name, one.node.text, column) for name, one, column in said.columns]
            value = json.dumps({"sources": [one.text for one in sources], "columns": columns})
            rows.said.append((told, role, node, LINEAGE, (yield from self._text(value, sources, time_us))))
        for name, facet in said.facets:
            if name == LIFECYCLE:
                yield from self._take_state(rows, told, role, node, json.loads(facet))
                continue
            rows.facets.append((told, node, name, facet.decode()))
            if name == SYMLINKS:
                text = yield from self._text(facet.decode(), (), time_us)
                for one in map(_dataset, json.loads(facet)["identifiers"]):
                    if one != node:
                        rows.see(one, time_us)
                        rows.names.append((node, one, text))

    def _take_state(
        self, rows: _Rows, told: _Told, role: int, node: NodeKey, said: dict[str, Any]
    ) -> Generator[None, None, None]:
        """Take what became of a dataset, and what it was called before."""
        text = yield from self._text(json.dumps(said[LIFECYCLE]), (), told.time_us)
        rows.said.append((told, role, node, STATE, text))
        previous = _dataset(said["previousIdentifier"]) if "previousIdentifier" in said else node
        if previous != node:
            rows.see(previous, told.time_us)
            rows.renames.append((node, previous, told.run))

    def _text(self, value: str, sources: Sequence[NodeKey], time_us: int) -> Generator[None, None, int]:
        """The id of a text, which is kept once, and of what it names as sources."""
        if not sources and (known := self._texts.get(value)) is not None:
            return known
        digest, find = Digest.of(value.encode()).raw, "SELECT id FROM texts WHERE digest = ?"
        found = self._db.execute(find, (digest,)).fetchone()
        # It has its digest once all that belongs to it is there: what was cut off is written again.
        made = "INSERT INTO texts (value) VALUES (?) RETURNING id"
        text = self._db.execute(made, (value,)).fetchone()[0] if found is None else None
        for start in range(0, len(sources), PIECE_ROWS):
            ids = self._ids(dict.fromkeys(sources[start : start + PIECE_ROWS], (time_us, time_us)))
            if text is not None:
                rows = [(text, one) for one in ids.values()]
                self._db.executemany("INSERT OR IGNORE INTO text_sources VALUES (?, ?)", rows)
            if len(sources) > PIECE_ROWS:
                yield
        if text is not None:
            self._db.execute("UPDATE OR IGNORE texts SET digest = ? WHERE id = ?", (digest, text))
            found = self._db.execute(find, (digest,)).fetchone()  # of two writers the first
        if len(value) <= _MAX_KNOWN_CHARS:
            if len(self._texts) > _MAX_KNOWN_TEXTS:
                self._texts.clear()
            self._texts[value] = int(found[0])
        return int(found[0])

    def _flush(self, rows: _Rows) -> None:
        ids = self._ids(rows.times)
        io = [(run, role, ids[node]) for run, role, node in rows.io]
        self._db.executemany(_IO, io)
        if rows.versions:
            versions = [
                (told.run, role, ids[node], version, told.trust, told.time_us, told.speaker)
                for told, role, node, version in rows.versions
            ]
            self._db.executemany(_VERSION, versions)
        if rows.said:
            said = [
                (told.run, role, ids[node], kind, told.trust, told.time_us, text, told.speaker)
                for told, role, node, kind, text in rows.said
            ]
            self._db.executemany(_SAID, said)
        if rows.facets:
            facets = [(ids[node], name, told.time_us, value, told.speaker) for told, node, name, value in rows.facets]
            self._db.executemany(_FACET, facets)
        if rows.names:
            self._db.executemany(_NAMED, [(ids[node], ids[other], text) for node, other, text in rows.names])
        if rows.renames:
            self._db.executemany(_RENAMED, [(ids[node], ids[previous], run) for node, previous, run in rows.renames])
        self._shapes.grow(io)

    def _ids(self, times: dict[NodeKey, tuple[int, int]]) -> dict[NodeKey, int]:
        """The ids of nodes, which are made if need be, that were seen between these times."""
        if len(self._nodes) > _MAX_KNOWN:
            self._nodes.clear()
        missing = [node for node in times if node not in self._nodes]
        if missing:
            self._db.executemany(_NODE, [(node.text, node.id, *times[node]) for node in missing])
            for node in missing:
                query = "SELECT id, created, updated FROM nodes WHERE key = ?"
                self._nodes[node] = _KnownNode(*self._db.execute(query, (node.text,)).fetchone())
        widened, found = [], {}
        for node, (first, last) in times.items():
            known = self._nodes[node]
            found[node] = known.id
            if first < known.created or last > known.updated:
                known.created, known.updated = min(known.created, first), max(known.updated, last)
                widened.append((first, last, known.id))
        if widened:
            self._db.executemany(_NODE_TIMES, widened)
        return found


def _dataset(identifier: dict[str, str]) -> NodeKey:
    return NodeKey("dataset", identifier["namespace"], identifier["name"])


def _datasets(event: LineageEvent) -> Iterator[tuple[int, DatasetSaid]]:
    for said in event.inputs:
        yield READ, said
    for said in event.outputs:
        yield WRITTEN, said
    if event.dataset is not None:
        yield WRITTEN, event.dataset
