"""A process that appends, for the suite to run beside others and to kill.

    python -m tests.conformance.stores.appender forever LOCATION
    python -m tests.conformance.stores.appender threads LOCATION NAME THREADS EACH

`forever` makes the store if need be and appends batches of entries whose bytes follow from their index, with an
outbox row and an index row each batch; after each commit it prints the size. `threads` appends `EACH` entries from
each of `THREADS` threads, one a transaction, and ends.
"""

from __future__ import annotations

import sys
import threading

from provenance.errors import ConflictError
from provenance.stores import Store, open_store
from tests.conformance.stores.samples import anchor, append, dataset, envelope


def forever(location: str) -> None:
    """Append until killed; each line printed is an acknowledgement."""
    with open_store(location, create=True) as store:
        print("open", flush=True)
        while True:
            with store.transaction() as tx:
                start = tx.size()
                row = append(tx, [envelope(i) for i in range(start, start + 1 + start % 5)])
                tx.keep_checkpoint(row)
                tx.outbox_add(anchor(row.size))
                tx.add_dataset(dataset(start), [], [])
                tx.set_index_size(row.size, expected_size=tx.index_size())
            print(row.size, flush=True)


def threads(location: str, name: str, count: int, each: int) -> None:
    """Append from many threads, half of them optimistically: read outside, swap inside, try again on conflict."""
    with open_store(location, timeout_s=60) as store:
        failures: list[BaseException] = []

        def run(number: int) -> None:
            try:
                for turn in range(each):
                    _append_one(store, b"%s %d %d" % (name.encode(), number, turn), optimistic=number % 2 == 1)
            except BaseException as error:
                failures.append(error)
                raise

        workers = [threading.Thread(target=run, args=(number,)) for number in range(count)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if failures:
            raise failures[0]


def _append_one(store: Store, data: bytes, *, optimistic: bool) -> None:
    while True:
        seen = store.checkpoint()
        seen_size = None if seen is None else seen.size
        try:
            with store.transaction() as tx:
                append(tx, [data], expected_size=seen_size if optimistic else -1)
                return
        except ConflictError:
            continue


if __name__ == "__main__":
    if sys.argv[1] == "forever":
        forever(sys.argv[2])
    else:
        threads(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
