"""A process that forks workers whose system calls are made to fail.

Everything is imported and used once before the first fork, so that a traced run does little else than its job. Orders
come as one JSON line each on standard input. The answer to an order is the worker's process id; it waits until a line
`go` follows, and how it ended is the second answer.

A worker appends a JSON line to the file `told` for every step when its call has returned: what it acknowledges, or the
error. What had failed is tried once more in the same process: a fault that has passed must not outlive its call.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from provenance.cli.exits import failure_of
from provenance.errors import ProvenanceError
from provenance.ledger import Ledger
from provenance.stores.sqlite import connections
from tests.faults.steps import STEPS, Told, make_ledger, prepare_template

Order = dict[str, Any]
_PR_SET_PTRACER = 0x59616D61
_ANYONE = ctypes.c_ulong(-1)


def main() -> None:
    """Serve orders until standard input ends."""
    with tempfile.TemporaryDirectory() as folder:
        _warm_up(Path(folder))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order: Order = json.loads(line)
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(theirs)
            _work(order, ours)
        os.close(ours)
        print(json.dumps({"pid": child}), flush=True)
        if sys.stdin.readline().strip() == "go":
            os.write(theirs, b"!")
        os.close(theirs)
        _, status = os.waitpid(child, 0)
        answer = {
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        }
        print(json.dumps(answer), flush=True)


def _warm_up(folder: Path) -> None:
    template, told = folder / "template", folder / "told"
    prepare_template(template)
    order = {"place": str(template), "data": str(template / "data"), "told": str(told)}
    _register(order)
    _init({**order, "place": str(folder / "new")})
    failed = [line for line in told.read_text().splitlines() if "done" not in json.loads(line)]
    assert not failed, failed


def _work(order: Order, go: int) -> None:
    code = 1
    try:
        # Where only ancestors may trace: whoever was asked to, may.
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANYONE, 0, 0, 0)
        os.environ["PROVENANCE_CACHE"] = order["cache"]
        if os.read(go, 1):
            JOBS[order["job"]](order)
            code = 0
    except BaseException:  # noqa: BLE001 - a forked process must not return into its parent's code
        traceback.print_exc()
    finally:
        os._exit(code)


def _tell(order: Order, told: Told) -> None:
    descriptor = os.open(order["told"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, json.dumps(told).encode() + b"\n")
    os.close(descriptor)


def _attempt(order: Order, step: str, work: Callable[[], Any]) -> tuple[bool, Any]:
    """Whether the step was done, and what it gave; told either way."""
    try:
        result = work()
    except ProvenanceError as error:
        failure = failure_of(error)
        _tell(order, {"step": step, "failed": failure.kind, "code": failure.code, "message": failure.message})
        return False, None
    except Exception:  # noqa: BLE001 - what the library must never raise, whatever the system does
        _tell(order, {"step": step, "defect": traceback.format_exc()})
        return False, None
    _tell(order, {"step": step, "done": result if isinstance(result, dict | int) else None})
    return True, result


def _twice(order: Order, step: str, work: Callable[[], Any]) -> Any:
    """What the step gave, at the second attempt if the first one failed; None if both did."""
    done, result = _attempt(order, step, work)
    return result if done else _attempt(order, step, work)[1]


def _register(order: Order) -> None:
    """Register datasets, state an event and submit another; each is acknowledged when its call has returned."""
    ledger = _twice(order, "open", lambda: Ledger.open(order["place"]))
    if ledger is None:
        return
    failed = [name for name in STEPS if not _attempt(order, name, partial(STEPS[name], ledger, order["data"]))[0]]
    for name in failed:
        _attempt(order, name, partial(STEPS[name], ledger, order["data"]))
    _attempt(order, "close", ledger.close)


def _copy(order: Order) -> None:
    """As `_register`, and after every commit SQLite's log is copied into the database."""
    connections._CHECKPOINT_AFTER_BYTES = 1
    _register(order)


def _init(order: Order) -> None:
    """Make a ledger, and a key in it."""
    ledger = _twice(order, "init", lambda: make_ledger(order["place"]))
    if ledger is not None:
        _twice(order, "vkey", lambda: {"vkey": ledger.keyring.vkey, "account": ledger.account().address})
        _twice(order, "key", lambda: {"keyid": ledger.keyring.new("someone").keyid})
        _attempt(order, "close", ledger.close)


def _nothing(order: Order) -> None:
    time.sleep(0)


JOBS: dict[str, Callable[[Order], None]] = {"register": _register, "copy": _copy, "init": _init, "nothing": _nothing}

if __name__ == "__main__":
    main()
