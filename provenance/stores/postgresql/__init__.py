"""The store for several replicas: a PostgreSQL database that all of them write to, one at a time.

Needs the extra `postgresql` (psycopg 3); nothing that `import provenance` reaches imports this package.
"""

from provenance.stores.postgresql.store import PostgresqlStore

__all__ = ["PostgresqlStore"]
