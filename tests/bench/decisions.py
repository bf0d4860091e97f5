"""How fast decisions are recorded, on one thread, batches logged meanwhile.

python -m tests.bench.decisions
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from provenance import Ledger

COUNT = 200_000


def main() -> None:
    """Prints decisions a second, batches included, and what one adds at the median and at the 99th percentile."""
    with tempfile.TemporaryDirectory() as name:
        model = Path(name) / "model.bin"
        model.write_bytes(b"weights")
        with Ledger.init(Path(name) / "ledger") as ledger:
            ledger.keyring.new("service", algorithm="ed25519")
            ledger.register(model, "bench/model", "1", kind="model", anchor=False)
            times = [0] * COUNT
            given, answer = b"x" * 512, b"y" * 64
            started, cpu = time.perf_counter(), time.process_time()
            with ledger.decisions("bench/model", model) as decisions:
                for number in range(COUNT):
                    before = time.perf_counter_ns()
                    decisions.record(given, answer)
                    times[number] = time.perf_counter_ns() - before
            wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    quantiles = statistics.quantiles(times, n=100)
    print(f"{COUNT:,} decisions in {len(decisions.receipts)} entries: {COUNT / wall_s:,.0f} a second, all logged")
    print(f"of one core: {COUNT / cpu_s:,.0f} a second")
    print(f"added: median {statistics.median(times) / 1e3:.1f} us, 99th percentile {quantiles[98] / 1e3:.1f} us")


if __name__ == "__main__":
    main()
