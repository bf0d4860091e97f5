"""A process that shares a database with others, for the tests of replicas to run and to kill.

    python -m tests.e2e.replica_worker register FOLDER NAME COUNT
    python -m tests.e2e.replica_worker hold URL idle|busy
    python -m tests.e2e.replica_worker append URL NAME FILE

`register` registers so many datasets of its own with the ledger in `FOLDER`, and prints each entry's index. `hold`
writes inside of a transaction, says "held", and stays in it: idle, or in the middle of a statement. `append` appends
entries until it is told to stop by a line on its input; it writes a line "stored INDEX TEXT" for each that was
acknowledged and "failed MESSAGE" for each that was not, and tries again after that.
"""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path

from provenance.errors import StoreError
from provenance.ledger import Ledger
from provenance.stores import open_store
from tests.conformance.stores.samples import append as append_to
from tests.conformance.stores.samples import envelope


def register(folder: Path, name: str, count: int) -> None:
    """Register `count` datasets of one file each."""
    with Ledger.open(folder) as ledger:
        for number in range(count):
            data = folder / f"{name}-{number}"
            data.mkdir()
            (data / "rows.csv").write_text(f"{name},{number}\n")
            receipt = ledger.register(data, f"replicas/{name}-{number}", "1", key="someone", anchor=False)
            print(receipt.index, flush=True)


def hold(url: str, how: str) -> None:
    """Keep the right to write."""
    with open_store(url) as store, store.transaction() as tx:
        append_to(tx, [envelope(tx.size())])
        print("held", flush=True)
        if how == "busy":
            tx._fetch("SELECT 1 FROM pg_sleep(120)", ())  # type: ignore[attr-defined]
        time.sleep(120)


def append(url: str, name: str, output: Path) -> None:
    """Append until there is something to read on the input."""
    with open_store(url, timeout_s=20) as store, output.open("w", buffering=1) as lines:
        turn = 0
        while not select.select([sys.stdin], [], [], 0)[0]:
            turn += 1
            text = f"{name}-{turn}"
            try:
                with store.transaction() as tx:
                    index = tx.size()
                    append_to(tx, [text.encode()])
            except StoreError as error:
                print("failed", error, file=lines)
                time.sleep(0.05)
            else:
                print("stored", index, text, file=lines)


if __name__ == "__main__":
    if sys.argv[1] == "register":
        register(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    elif sys.argv[1] == "hold":
        hold(sys.argv[2], sys.argv[3])
    else:
        append(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
