"""How long the verdict on a lineage takes, its bundle parsed, and how much memory.

python -m tests.bench.lineage
"""

from __future__ import annotations

import resource
import statistics
import time

from provenance.policy import TrustedSource, TrustRoots
from provenance.verify import encode_bundle, parse_bundle, verify_evidence
from tests.unit.verify.forge import Lineage, key

REPEATS = 5


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
    for size in (100, 1_000, 10_000):
        lineage = made(size)
        evidence = lineage.evidence(f"n{size}")
        trust = TrustRoots(sources=(TrustedSource("one", key(1).public),), logs=(lineage.log.vkey,))
        bundle = encode_bundle(evidence)
        times = []
        for _ in range(REPEATS if size < 10_000 else 2):
            started = time.perf_counter()
            report = verify_evidence(parse_bundle(bundle), trust)
            times.append(time.perf_counter() - started)
            assert report.sound and len(report.artefacts) == size + 1
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{size:,} ancestors: {statistics.median(times):.2f} s, bundle {len(bundle) / 1e6:.1f} MB, "
            f"process at most {peak:.0f} MB"
        )


if __name__ == "__main__":
    main()
