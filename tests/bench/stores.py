"""How long a store takes to keep a batch of entries: SQLite and PostgreSQL beside each other, both with every sync.

    .venv/bin/python -m tests.bench.stores [ENTRIES] [BYTES] [ROUNDS]

Prints the median time of a transaction that appends ENTRIES entries of BYTES bytes with their tiles and checkpoint
(1,000 of 1,024, seven times over), and of one that appends a single entry. The PostgreSQL server is the tests' own, on
this machine, by its socket.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from provenance.stores import Store, open_store
from tests.conformance.stores.samples import append
from tests.postgresql import PostgresServer


def measure(store: Store, entries: int, size: int, rounds: int) -> float:
    """Median seconds of a transaction."""
    rng = random.Random(1)
    taken = []
    for _ in range(rounds):
        batch = [rng.randbytes(size) for _ in range(entries)]
        started = time.perf_counter()
        with store.transaction() as tx:
            append(tx, batch)
        taken.append(time.perf_counter() - started)
    return median(taken)


def main() -> None:
    """Measure and print."""
    entries, size, rounds = (int(a) for a in (*sys.argv[1:], *("1000", "1024", "7")[len(sys.argv) - 1 :]))
    server = PostgresServer()
    try:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, server.empty_database() as url:
            for name, location in (("sqlite", str(Path(folder) / "ledger.db")), ("postgresql", url)):
                with open_store(location, create=True) as store:
                    one = measure(store, 1, size, rounds * 5)
                    many = measure(store, entries, size, rounds)
                print(
                    f"{name:10} {entries} of {size} bytes: {many * 1_000:.1f} ms ({entries / many:,.0f} a second)",
                    end="",
                )
                print(f"; one entry: {one * 1_000:.1f} ms")
    finally:
        server.remove()


if __name__ == "__main__":
    main()
