"""Processes that register in one ledger at once: each opens it for itself and begins when all have.

    python -m tests.faults.registrar LEDGER DATA PROCESSES DATASETS

Every process registers `d0`, which all have, and datasets of its own, `p<process>-<number>`. A line of JSON each on
standard output: what was acknowledged, or the error.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

from provenance.errors import ProvenanceError
from provenance.ledger import Ledger


def main(place: str, data: str, processes: int, datasets: int) -> int:
    """Fork, let all begin at once, and wait for them; 0 if all ended well."""
    begin_in, begin_out = os.pipe()
    children = []
    for number in range(processes):
        child = os.fork()
        if child == 0:
            os.close(begin_out)
            os.read(begin_in, 1)  # returns when the parent has closed the other end
            _work(place, Path(data), number, datasets)
        children.append(child)
    os.close(begin_out)
    return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)


def _work(place: str, data: Path, process: int, datasets: int) -> None:
    code = 1
    try:
        with Ledger.open(place) as ledger:
            for name in ("d0", *(f"p{process}-{number}" for number in range(datasets))):
                _register(ledger, data, name)
        code = 0
    except BaseException:  # noqa: BLE001 - a forked process must not return into its parent's code
        traceback.print_exc()
    finally:
        os._exit(code)


def _register(ledger: Ledger, data: Path, name: str) -> None:
    try:
        receipt = ledger.register(data / name, f"many/{name}", "1", parents=["faults/base"], anchor=False)
        told = {"name": name, "index": receipt.index, "created": receipt.created, "envelope": receipt.envelope}
    except ProvenanceError as error:
        told = {"name": name, "error": f"{type(error).__name__}: {error}"}
    # One call, of less than a pipe takes at once: lines of several processes do not mix.
    os.write(sys.stdout.fileno(), json.dumps(told).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
