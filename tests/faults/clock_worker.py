"""One registration, one event and one anchor, by whatever clock this process sees.

    python -m tests.faults.clock_worker LEDGER DATASET NUMBER

Prints a JSON line: the time, the receipt, the anchor's status, and when the statement says it was made.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from provenance.ledger import Ledger
from provenance.signature import parse_envelope
from provenance.statement import parse_statement
from provenance.statement.usage import Usage


def main(place: str, dataset: str, number: int) -> None:
    """Register the dataset as version `number`, made from the one before."""
    with Ledger.open(place) as ledger:
        parents = [f"clock/n@{number - 1}"] if number else []
        receipt = ledger.register(
            Path(dataset), "clock/n", str(number), parents=parents, origin="https://clock.example"
        )
        ledger.state("clock/n@0", Usage("training"))
        anchored = ledger.anchor()
        created = parse_statement(parse_envelope(ledger.log.entry(receipt.index).envelope).payload).created
    told = {"time": time.time(), "receipt": receipt.to_json(), "anchored": anchored.status, "created": created}
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
