"""What was made from an artefact at the end of a very long chain, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from provenance.stores import open_store
from tests.conformance.stores.samples import append, dataset, envelope, parent
from tests.paths import PROJECT

DEPTH = 10_000
_PROGRAM = """
import json, resource, sys
from provenance.ledger.impact import find_impact
from provenance.stores import open_store

with open_store(sys.argv[1]) as store:
    row = store.dataset_at(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    impact = find_impact(store, row)
    text = json.dumps(impact.to_json())
    last = impact.affected[-1]
    path = impact.path_to(last.name)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([grown, len(text), len(impact.affected), last.distance, last.via, len(path), path[0], path[-1]]))
"""


def test_a_chain_of_ten_thousand_takes_memory_and_text_by_its_length(tmp_path: Path) -> None:
    place = str(tmp_path / "ledger.db")
    with open_store(place, create=True) as store, store.transaction() as tx:
        append(tx, [envelope(0)] * (DEPTH + 1))
        for number in range(DEPTH + 1):
            tx.add_dataset(dataset(number), [parent(number, 0, dataset(number - 1))] if number else [], [])
    words = [sys.executable, "-c", _PROGRAM, place]
    done = subprocess.run(words, cwd=PROJECT, check=True, capture_output=True, text=True, timeout=60)
    grown_kib, chars, count, distance, via, steps, first, last = json.loads(done.stdout)
    assert (count, distance, via) == (DEPTH, DEPTH, f"weather/set-{DEPTH - 1}@1")
    assert (steps, first, last) == (DEPTH + 1, "weather/set-0@1", f"weather/set-{DEPTH}@1")
    # With a whole way kept for each, a chain of 6,000 took 1.2 GB and a text of 390 MB.
    assert grown_kib < 32 * 2**10
    assert chars < 200 * DEPTH
