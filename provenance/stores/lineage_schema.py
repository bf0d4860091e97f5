"""The tables of the index of lineage events.

What events say is kept run by run, in `runs`, `io`, `versions` and `said`, so that a run that failed takes back what it
said and the parts of one run are joined whichever event told them. Runs of one job that read, wrote and declared the
same share a row of `shapes`, which counts those that did not fail: edges and sources are read from there, and not from
thousands of runs. A run of more datasets than `SHARED_ROWS` has a shape of its own, which grows with it.

What else datasets are called is in `names`, once for each text of a `symlinks` facet that says so, of which that counts
which the dataset has in `facets`; `renames` are those that a run did.

A JobEvent or DatasetEvent is a run of its own, known by its digest; `job` is 0 where there is none. `role` is 0 for
what was read and 1 for what was written, or spoken of by a DatasetEvent. Times are microseconds since 1970 in UTC.

`speaker` is who said something: a key that signed it, this ledger's imports, or 0 for anybody; `trust` is 1 for what
was signed or imported, and 0 for what anybody may have sent. What is said with another trust is said of another run, so
that an event which nobody signed changes nothing of what was signed.
"""

from __future__ import annotations

from typing import Final

SCHEMA_VERSION: Final = 7
SHARED_ROWS: Final = 500
READ: Final = 0
WRITTEN: Final = 1
NO_JOB: Final = 0
EVENT_RUN: Final = "event "
"""What the name of a run begins with that is a JobEvent or DatasetEvent."""
LINEAGE: Final = "lineage"
FIELDS: Final = "schema"
STATE: Final = "state"
ANYBODY: Final = 0
FAILED: Final = "('FAIL', 'ABORT')"
"""States of runs whose outputs do not count."""

TABLES: Final = """
CREATE TABLE IF NOT EXISTS events (
    digest BLOB PRIMARY KEY, entry INTEGER NOT NULL, kind TEXT NOT NULL, time INTEGER NOT NULL, run TEXT,
    producer TEXT NOT NULL, flags TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS events_run ON events (run);
CREATE TABLE IF NOT EXISTS nodes (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, shown TEXT NOT NULL, created INTEGER NOT NULL,
    updated INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS nodes_shown ON nodes (shown);
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL, job INTEGER NOT NULL, trust INTEGER NOT NULL, ended INTEGER NOT NULL,
    state TEXT NOT NULL, shape INTEGER, own INTEGER, is_copied INTEGER NOT NULL DEFAULT 0, UNIQUE (run, job, trust)
);
CREATE TABLE IF NOT EXISTS speakers (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS io (
    run INTEGER, role INTEGER, dataset INTEGER, PRIMARY KEY (run, role, dataset)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS versions (
    run INTEGER, role INTEGER, dataset INTEGER, version TEXT, trust INTEGER NOT NULL, time INTEGER NOT NULL,
    speaker INTEGER NOT NULL,
    PRIMARY KEY (run, role, dataset, version)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS versions_of ON versions (dataset, role, trust, time, version);
CREATE TABLE IF NOT EXISTS texts (id INTEGER PRIMARY KEY, digest BLOB UNIQUE, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS text_sources (text INTEGER, source INTEGER, PRIMARY KEY (text, source)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS said (
    run INTEGER, role INTEGER, dataset INTEGER, kind TEXT, trust INTEGER NOT NULL, time INTEGER NOT NULL,
    text INTEGER NOT NULL, speaker INTEGER NOT NULL,
    PRIMARY KEY (run, role, dataset, kind)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS said_of ON said (dataset, kind, trust, role, time);
CREATE TABLE IF NOT EXISTS shapes (
    id INTEGER PRIMARY KEY, digest BLOB UNIQUE, job INTEGER NOT NULL, trust INTEGER NOT NULL, runs INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS shapes_job ON shapes (job);
CREATE TABLE IF NOT EXISTS shape_io (
    shape INTEGER, role INTEGER, dataset INTEGER, lineage INTEGER, PRIMARY KEY (shape, role, dataset)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS shapes_of ON shape_io (dataset, shape, role, lineage);
CREATE TABLE IF NOT EXISTS facets (
    node INTEGER, facet TEXT, time INTEGER NOT NULL, value TEXT NOT NULL, speaker INTEGER NOT NULL,
    PRIMARY KEY (node, facet)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS names (
    dataset INTEGER, other INTEGER, text INTEGER, PRIMARY KEY (dataset, other, text)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS names_other ON names (other, dataset, text);
CREATE TABLE IF NOT EXISTS renames (
    dataset INTEGER, previous INTEGER, run INTEGER, PRIMARY KEY (dataset, previous, run)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS renames_previous ON renames (previous, dataset, run);
CREATE TABLE IF NOT EXISTS position (id INTEGER PRIMARY KEY CHECK (id = 1), entry INTEGER NOT NULL);
INSERT OR IGNORE INTO position VALUES (1, 0);
"""
