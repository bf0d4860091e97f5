"""Logging of decisions by a process of its own, for one that was forked.

Invariants: SQLite's locks do not survive a fork, and a connection that a forked process opens beside inherited ones
holds none (https://www.sqlite.org/howtocorrupt.html, 2.6): such a process never opens the ledger, it starts this module
afresh; the lock on the journal is handed on, so that it is held until both are done; a passphrase travels through a
pipe, never in arguments or environment; nothing of what was wrong but an error's own message is told.

Request, JSON on standard input; answer, JSON on standard output: `receipts` (or nulls) of the journals as far as it
came, and the `problem` that ended it, or null.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from provenance.encoding import JsonValue
from provenance.errors import ProvenanceError, StoreError
from provenance.ledger.decision_journal import Claim
from provenance.ledger.receipts import Receipt

_TIMEOUT_S: Final = 300.0
_PACKAGES: Final = Path(__file__).resolve().parents[2]


def log_apart(
    directory: Path, name: str, model: str, claims: Sequence[Claim], key: str | None, passphrase: bytes | None
) -> Iterator[Receipt | None]:
    """As `log_journal`, of some journals of the ledger in a folder, by one new process.

    `StoreError` at the first that it could not log.
    """
    asked = {
        "ledger": str(directory),
        "name": name,
        "model": model,
        "journals": [str(claim.path) for claim in claims],
        "key": key,
        "passphrase": base64.b64encode(passphrase).decode("ascii") if passphrase is not None else None,
    }
    answer = _ask(asked, [claim.descriptor for claim in claims])
    for receipt in answer["receipts"]:
        yield _receipt(receipt) if receipt is not None else None
    if answer["problem"] is not None:
        raise StoreError(f"decisions of a forked process could not be logged: {answer['problem']}", where=directory)


def _ask(asked: dict[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
    paths = os.pathsep.join(filter(None, (str(_PACKAGES), os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-P", "-m", __name__],
            input=json.dumps(asked).encode("utf-8"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths},
            pass_fds=descriptors,
            timeout=_TIMEOUT_S,
            check=False,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        what = "a process that logs decisions could not be started, or ended early"
        hint = "make the recorder after the fork, in the worker"
        raise StoreError(what, got=type(error).__name__, where=sys.executable, hint=hint) from None
    return answer


def _receipt(value: dict[str, Any]) -> Receipt:
    return Receipt(
        name=value["name"],
        digest=value["digest"]["sha256"],
        index=value["index"],
        envelope=value["envelope"]["sha256"],
        signer=value["signer"],
        created=value["created"],
        proof=value["proof"].encode("utf-8"),
        files=value["files"],
        total_bytes=value["totalBytes"],
        notes=tuple(value["notes"]),
    )


def _main() -> None:
    from provenance.ledger.decision_batches import log_journal
    from provenance.ledger.ledger import Ledger

    asked = json.loads(sys.stdin.buffer.read())
    secret = asked["passphrase"]
    passphrase = base64.b64decode(secret) if secret is not None else None
    receipts: list[JsonValue] = []
    problem = None
    try:
        with Ledger.open(asked["ledger"]) as ledger:
            for path in asked["journals"]:
                receipt = log_journal(ledger, asked["name"], asked["model"], Path(path), asked["key"], passphrase)
                receipts.append(receipt.to_json() if receipt is not None else None)
    except ProvenanceError as error:
        problem = error.message
    sys.stdout.write(json.dumps({"receipts": receipts, "problem": problem}))


if __name__ == "__main__":
    _main()
