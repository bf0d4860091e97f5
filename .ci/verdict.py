"""Fails a test run that passed for the wrong reason: no tests, warnings, or a skip that does not say why.

Usage: verdict.py JUNIT.XML CLOSING-LINE. Prints each objection and exits 1, or prints nothing and exits 0.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree  # the file is the one pytest wrote a moment ago

# What pytest writes when nobody gave a reason.
NO_REASON = {"", "unconditional skip", "skipped", "<skipped instance>"}


def objections(report: str, closing: str) -> list[str]:
    """What is wrong with the run that `report` (JUnit XML) and pytest's `closing` line describe; empty if nothing."""
    cases = list(ElementTree.fromstring(report).iter("testcase"))  # noqa: S314
    found = [] if cases else ["no test ran"]
    if " passed" not in closing:
        found.append(f"the last line is not pytest's closing line: {closing!r}")
    if "warning" in closing:
        found.append(f"warnings: {closing.strip('= ')}")
    found += [
        f"skipped without a reason: {case.get('classname')}::{case.get('name')}"
        for case in cases
        for skipped in case.iter("skipped")
        if skipped.get("message", "").strip().lower() in NO_REASON
    ]
    return found


def main() -> int:
    """The exit code for the command line's two arguments."""
    found = objections(Path(sys.argv[1]).read_text("utf-8"), sys.argv[2])
    for objection in found:
        print(f"ci: error: {objection}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
