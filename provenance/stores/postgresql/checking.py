"""What is wrong with the tables of a ledger, as far as the database itself can say.

Invariants: every row is read whole, so that a page that cannot be read is found; nothing is changed; what is found is a
line of text that quotes no row.
"""

from __future__ import annotations

from typing import Final

import psycopg

from provenance.stores.postgresql.failures import guarded, is_lost, reason, translated
from provenance.stores.postgresql.sessions import SCHEMA, Session
from provenance.stores.sql.segments import WITH_ENTRIES, without_entry

_TABLES: Final = (
    *("segments", "tiles", "checkpoint", "kept_checkpoints", "outbox"),
    *("index_state", "datasets", "parents", "files", "events", "locations"),
)
_REFERENCES: Final = (
    ("files", "dataset", "datasets", "entry_index"),
    ("parents", "child", "datasets", "entry_index"),
)
_INVALID: Final = """SELECT 'index ' || c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND NOT (i.indisvalid AND i.indisready)
    UNION ALL SELECT 'constraint ' || k.conname FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
    WHERE n.nspname = %s AND NOT k.convalidated"""
_DAMAGE: Final = ("42", "58", "XX")
"""Classes of condition codes: what is asked for is not there, cannot be read, or contradicts itself."""
_CHECK_S: Final = 6 * 3_600
"""Everything is read: 10 million entries take minutes."""
_PAGES: Final = "SELECT coalesce(checksum_failures, 0) FROM pg_stat_database WHERE datname = current_database()"


def find_damage(session: Session, location: str) -> list[str]:
    """What was found, a line each; empty if nothing. `StoreError` if the server cannot be asked."""
    with guarded(location, "checking"):
        # Whole tables are read here, which is not what sessions are set up for.
        for name in ("enable_seqscan", "enable_hashjoin"):
            session.execute(f"SET {name} = on")
        session.execute(f"SET statement_timeout = '{_CHECK_S}s'")
        session.answer_s = _CHECK_S
        found = [f"{row[0]} is not valid" for row in session.execute(_INVALID, (SCHEMA, SCHEMA)).fetchall()]
        pages = session.execute(_PAGES).fetchone()
    if pages is not None and pages[0]:
        found.append(f"{pages[0]} pages of the database had a wrong checksum")
    for table in _TABLES:
        found += _asked(session, location, table, f"SELECT sum(length(CAST(t.* AS text))) FROM {table} t")  # noqa: S608
    for table in WITH_ENTRIES:
        found += _asked(session, location, f"{table} without entries", without_entry(table), is_count=True)
    for table, column, other, key in _REFERENCES:
        missing = f"""SELECT count(*) FROM {table} t WHERE NOT EXISTS
            (SELECT FROM {other} o WHERE o.{key} = t.{column})"""  # noqa: S608 - names of the schema
        found += _asked(session, location, f"{table} without {other}", missing, is_count=True)
    return found


def _asked(session: Session, location: str, what: str, query: str, *, is_count: bool = False) -> list[str]:
    try:
        row = session.execute(query.encode()).fetchone()
    except psycopg.Error as error:
        if (error.sqlstate or "")[:2] in _DAMAGE and not is_lost(session):
            return [f"{what}: {reason(error)}"]
        raise translated(error, location, "checking") from error
    return [f"{what}: {row[0]} rows"] if is_count and row is not None and row[0] else []
