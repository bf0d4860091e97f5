"""Runs the program many times without loading it each time: every run is a fork of one warm process.

A line on stdin is `{"folder": .., "arguments": [base64, ..]}`, the answer on stdout `{"code", "out", "err"}`. What runs
in the fork is `provenance.cli.main`, with the arguments of a command line and real file descriptors.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
import tempfile
from importlib import import_module

from provenance.cli import main


def warm_up() -> None:
    """Load what verbs load when they run, and no thread."""
    import provenance.cli.report_view
    import provenance.ledger.offline
    import provenance.ledger.sweep
    import provenance.signers.file
    import provenance.sources.local
    import provenance.stores.sqlite  # noqa: F401 - loaded, not used
    from provenance.cli.application import VERBS

    for home in VERBS.values():
        import_module(f"provenance.cli.verbs.{home.partition(':')[0]}")


def child(folder: str, arguments: list[str], out: int, err: int) -> None:
    """Become the program."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((nothing, 0), (out, 1), (err, 2)):
        os.dup2(descriptor, number)
    signal.alarm(60)  # a run that waits for ever is ended, and so fails its test
    os.chdir(folder)
    sys.argv = ["provenance", *arguments]
    try:
        main()
    except SystemExit as stop:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(stop.code if isinstance(stop.code, int) else 99)


def answer(folder: str, arguments: list[str]) -> dict[str, object]:
    """The outcome of one run."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            try:
                child(folder, arguments, out.fileno(), err.fileno())
            finally:
                os._exit(98)
        _, status = os.waitpid(pid, 0)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8"))
    return {"code": os.waitstatus_to_exitcode(status), "out": texts[0], "err": texts[1]}


if __name__ == "__main__":
    warm_up()
    for line in sys.stdin:
        order = json.loads(line)
        words = [os.fsdecode(base64.b64decode(word)) for word in order["arguments"]]
        sys.stdout.write(json.dumps(answer(order["folder"], words)) + "\n")
        sys.stdout.flush()
