"""How long the verdict on a lineage takes, its bundle parsed, and how much memory.

python -m tests.bench.lineage [--large]

Each size is judged in a process of its own, which holds the bundle and nothing of what made it; `--large` adds 100,000
ancestors, whose making takes minutes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from provenance.policy import TrustedSource, TrustRoots, encode_trust
from provenance.verify import encode_bundle
from tests.unit.verify.forge import Lineage, key

REPEATS = 5
_JUDGE = """
import sys, time
from pathlib import Path
from provenance.policy import parse_trust
from provenance.verify import parse_bundle, verify_evidence

def peak_mb():
    # Of this program alone: getrusage also counts what its parent had when it was forked.
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

bundle, trust = Path(sys.argv[1]).read_bytes(), parse_trust(Path(sys.argv[2]).read_bytes())
before = peak_mb()
started = time.perf_counter()
report = verify_evidence(parse_bundle(bundle), trust)
passed = time.perf_counter() - started
assert report.sound and len(report.artefacts) == int(sys.argv[3]) + 1
print(passed, before, peak_mb())
"""


def made(size: int) -> Lineage:
    """A lineage of `size` ancestors: each made from the one before and one half as old."""
    lineage = Lineage()
    lineage.add("n0")
    for number in range(1, size + 1):
        parents = {f"n{number - 1}", f"n{number // 2}"} - {f"n{number}"}
        lineage.add(f"n{number}", sorted(parents))
    return lineage


def main() -> None:
    """Prints a line a size."""
    for size in (100, 1_000, 10_000, *((100_000,) if "--large" in sys.argv[1:] else ())):
        lineage = made(size)
        trust = TrustRoots(sources=(TrustedSource("one", key(1).public),), logs=(lineage.log.vkey,))
        bundle = encode_bundle(lineage.evidence(f"n{size}"))
        with tempfile.TemporaryDirectory() as folder:
            places = Path(folder) / "bundle", Path(folder) / "trust"
            places[0].write_bytes(bundle)
            places[1].write_bytes(encode_trust(trust))
            words = [sys.executable, "-c", _JUDGE, *map(str, places), str(size)]
            figures = [
                [float(word) for word in subprocess.run(words, check=True, capture_output=True).stdout.split()]
                for _ in range(REPEATS if size < 10_000 else 1)
            ]
        seconds, before, peak = map(statistics.median, zip(*figures, strict=True))
        print(
            f"{size:,} ancestors: {seconds:.2f} s, bundle {len(bundle) / 1e6:.1f} MB, "
            f"process at most {peak:.0f} MB, {before:.0f} MB of it before",
            flush=True,
        )


if __name__ == "__main__":
    main()
