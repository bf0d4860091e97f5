"""The command line: arguments become calls of the library, outcomes become text or JSON. Nothing is decided here.

Invariants: one JSON document on stdout with `--json` and nothing else; errors, prompts and progress go to stderr; no
traceback unless `PROVENANCE_DEBUG=1`; the exit code follows from `provenance.cli.exits` alone.

    0 done or verified   1 verification failed   2 usage or malformed input   3 environment: chain, store, network, disk
"""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process and exit."""
    try:
        from provenance.cli.program import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while modules were loading, or an error was being shown
        code = 130
    sys.exit(code)
