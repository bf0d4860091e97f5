"""A process that forks workers which are killed.

Everything is imported and used once before the first fork, so that a round costs what the work costs. Orders come as
one JSON line each on standard input; the answer, one JSON line, says how the worker ended.

    {"job": "register_and_anchor", "ledger": "...", "acknowledged": "...", "kill_after_s": 0.1}
    {"job": "...", "die": {"function": "provenance.ledger.anchoring:Anchorer._advance", "when": "before", "call": 1}}
    {"job": "...", "die": {"line": 7, "files": ["ledger/anchoring.py"]}}
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from provenance.ledger import Ledger

Order = dict[str, Any]


def main() -> None:
    """Serve orders until standard input ends."""
    with tempfile.TemporaryDirectory() as folder:
        _warm_up(Path(folder))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order: Order = json.loads(line)
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            _work(order)
        deadline = started + order["kill_after_s"] if "kill_after_s" in order else None
        status = _wait(child, deadline)
        answer = {
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "seconds": time.monotonic() - started,
        }
        print(json.dumps(answer), flush=True)


def _warm_up(folder: Path) -> None:
    with Ledger.init(folder) as ledger:
        ledger.keyring.new("someone")
        (folder / "data").write_bytes(b"data")
        assert ledger.register(folder / "data", "warm/up", "1").anchor_problem is None


def _wait(child: int, deadline: float | None) -> int:
    while True:
        done, status = os.waitpid(child, 0 if deadline is None else os.WNOHANG)
        if done:
            return status
        if deadline is not None and time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
            deadline = None
        time.sleep(0.0002)


def _work(order: Order) -> None:
    code = 1
    try:
        die = order.get("die")
        if die is not None and "function" in die:
            _die_at_call(die)
        if die is not None and "line" in die:
            _die_at_line(die["line"], tuple(die["files"]))
        JOBS[order["job"]](order)
        code = 0
    except BaseException:  # noqa: BLE001 - a forked process must not return into its parent's code
        sys.excepthook(*sys.exc_info())
    finally:
        sys.settrace(None)
        os._exit(code)


def _kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_at_call(die: Order) -> None:
    """Be killed before or after a certain call of one function."""
    module, _, path = die["function"].partition(":")
    *owners, name = path.split(".")
    owner: Any = functools.reduce(getattr, owners, importlib.import_module(module))
    genuine = getattr(owner, name)
    calls = [0]

    def dying(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == die["call"] and die["when"] == "before":
            _kill_self()
        result = genuine(*args, **kwargs)
        if calls[0] == die["call"] and die["when"] == "after":
            _kill_self()
        return result

    setattr(owner, name, dying)


_lines_seen = [0]


def _die_at_line(line: int, files: tuple[str, ...]) -> None:
    """Be killed before the `line`-th line that is run in these files; 0 only counts."""

    def trace(frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        if event == "call":
            return trace if frame.f_code.co_filename.endswith(files) else None
        if event == "line":
            _lines_seen[0] += 1
            if _lines_seen[0] == line:
                _kill_self()
        return trace

    sys.settrace(trace)


def _acknowledge(order: Order, what: Order) -> None:
    descriptor = os.open(order["acknowledged"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, json.dumps(what).encode() + b"\n")
    os.close(descriptor)


def _init(order: Order) -> None:
    with Ledger.init(order["ledger"], origin=order.get("origin")) as ledger:
        _acknowledge(order, {"vkey": ledger.keyring.vkey, "account": ledger.account().address})


def _register_and_anchor(order: Order) -> None:
    """Register what lies in `data`, each made from the one before, anchor, and acknowledge every step."""
    with Ledger.open(order["ledger"]) as ledger:
        parents: list[str] = list(order.get("parents", []))
        for number, name in enumerate(order["names"]):
            last = number == len(order["names"]) - 1
            receipt = ledger.register(
                Path(order["data"]) / name, f"crash/{name}", "1", parents=parents, key="someone", anchor=last
            )
            _acknowledge(order, {"receipt": receipt.to_json()})
            parents = [receipt.name]
        _acknowledge(order, {"anchor": ledger.anchor().to_json()})
    _acknowledge(order, {"lines": _lines_seen[0]})


JOBS: dict[str, Callable[[Order], None]] = {"init": _init, "register_and_anchor": _register_and_anchor}

if __name__ == "__main__":
    main()
