"""The whole benchmark: `python -m tests.bench.fingerprint [--quick] [--only NAME] [--json FILE]`.

Reference and product take turns in one run; figures are medians. Not a test: nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from tests.bench.fingerprint.report import Row, document, table

SECTIONS = ("files", "rows", "trees", "records", "startup")


def machine() -> dict[str, object]:
    """What the figures depend on."""
    flags: set[str] = set()
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                model = value.strip()
            if name.strip() == "flags":
                flags = set(value.split())
    return {
        "processor": model,
        "processors": os.cpu_count(),
        "instructions": sorted(flags & {"avx2", "avx512f", "avx512bw", "sha_ni"}),
        "python": platform.python_version(),
    }


def main() -> int:
    """Runs the sections and prints their table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: a look, not a measurement")
    parser.add_argument("--only", action="append", choices=SECTIONS, help="this section; repeat for several")
    parser.add_argument("--json", type=Path, help="write a document there")
    parser.add_argument("--folder", type=Path, help="where to put test data (20 GB for the full sizes)")
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.only or SECTIONS:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            section = import_module(f"tests.bench.fingerprint.{name}")
            found = section.run(quick=options.quick, folder=Path(folder))
            print(table(found), file=sys.stderr)
            rows += found
    print(f"{machine()}\n\n{table(rows)}")
    if options.json is not None:
        options.json.write_text(document(rows, machine()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
