"""Decisions of a model, recorded so that each can be proven and none tells of a person.

Steps: 1 the model's bytes are verified, before any of its code runs; 2 each decision is noted in a journal before it is
acknowledged: time, and salted digests of input and output; 3 a full or old journal becomes a dataset of records, made
from the model, signed and logged as one entry. Invariants: a killed process loses nothing it acknowledged (the next one
logs it); salts never leave this machine unless their holder gives them away; without its salt a record says nothing.

    with ledger.decisions("acme/model", "model.bin", key="service") as decisions:
        ticket = decisions.record(request, answer)
"""

from __future__ import annotations

import functools
import hmac
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from provenance.encoding import JsonValue, canonical_json
from provenance.errors import MalformedError, ProvenanceError, StoreError, VerificationError
from provenance.ledger.decision_journal import NO_EXPLANATION, RECORD, SUFFIX, Journal, abandoned, read_journal
from provenance.ledger.fingerprinting import Wanted
from provenance.ledger.receipts import Receipt

if TYPE_CHECKING:
    from provenance.ledger.ledger import Ledger, Location

BATCH_DECISIONS: Final = 50_000
BATCH_SECONDS: Final = 60.0
MAX_WAITING: Final = 64
"""Journals that wait for the log; with more, decisions are refused rather than kept without bound."""
SALT_BYTES: Final = 16
_POOL_SALTS: Final = 256
_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Ticket:
    """Where a decision will be found: a row of a dataset, and the salt without which it says nothing."""

    dataset: str
    row: int
    salt: bytes


class Decisions:
    """Records decisions of one model. Threads may share it; close it, or use it as a context manager."""

    def __init__(
        self,
        ledger: Ledger,
        model: str,
        place: Location | None = None,
        *,
        key: str | None = None,
        passphrase: bytes | None = None,
        batch_decisions: int = BATCH_DECISIONS,
        batch_seconds: float = BATCH_SECONDS,
    ) -> None:
        self._ledger, self._key, self._passphrase = ledger, key, passphrase
        self._batch_decisions, self._batch_seconds = batch_decisions, batch_seconds
        pin = ledger.pin(model)
        self.model = str(pin.name)
        self.model_digest = pin.digest
        _verify(ledger, self.model, place)
        self._name = f"{pin.name.dataset}.decisions"
        self._folder = ledger.layout.directory / "decisions" / str(pin.name).replace("/", "_")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreError("cannot make the folder of decisions", got=error.strerror, where=self._folder) from error
        self._guard, self._logging = threading.Lock(), threading.Lock()
        self._salts = b""
        self._waiting: list[Path] = abandoned(self._folder)
        self._journal = self._begin()
        self._begun_s = time.monotonic()
        self._ended = threading.Event()
        self._due = threading.Event()
        self.receipts: list[Receipt] = []
        self.problem: ProvenanceError | None = None
        """Why the last batch could not be logged; it is tried again with the next."""
        self._thread = threading.Thread(target=self._log_batches, name="provenance-decisions", daemon=True)
        self._thread.start()

    def record(self, given: bytes, answer: bytes, explanation: bytes | None = None) -> Ticket:
        """Note that the model gave this answer to this input; once this returns, a killed process loses it no more.

        `StoreError` if it cannot be written, or too much waits for the log.
        """
        explained = NO_EXPLANATION if explanation is None else sha256(explanation).digest()
        time_us = time.time_ns() // 1_000
        with self._guard:
            if not self._salts:
                self._salts = secrets.token_bytes(SALT_BYTES * _POOL_SALTS)
            salt, self._salts = self._salts[:SALT_BYTES], self._salts[SALT_BYTES:]
            if len(self._waiting) > MAX_WAITING:
                hint = "see what keeps the log from taking them: decisions.problem"
                raise StoreError("too many decisions wait for the log", expected=f"{MAX_WAITING} batches", hint=hint)
            journal = self._journal
            packed = RECORD.pack(
                time_us,
                salt,
                sha256(salt + given).digest(),
                sha256(salt + answer).digest(),
                explained,
                explanation is not None,
            )
            row = journal.add(packed)
            if journal.count >= self._batch_decisions:
                self._seal()
        return Ticket(f"{self._name}@{_version(journal.path)}", row, salt)

    def __call__(self, function: Callable[_P, _T]) -> Callable[_P, _T]:
        """The function, each of whose answers is recorded before it is returned. Arguments and answer are JSON values
        or bytes."""

        @functools.wraps(function)
        def recorded(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            answer = function(*args, **kwargs)
            given = args[0] if len(args) == 1 and not kwargs else {"args": list(args), "kwargs": kwargs}
            self.record(_encoded(given), _encoded(answer))
            return answer

        return recorded

    def flush(self) -> None:
        """Log everything that was recorded so far. Raises what stands in the way; nothing is lost."""
        with self._guard:
            self._seal()
        self._log_waiting()

    def close(self) -> None:
        """Log everything and stop. Raises what stands in the way; the next recorder of this model logs the rest."""
        self._ended.set()
        self._due.set()
        self._thread.join()
        with self._guard:
            self._seal(begin=False)
        self._log_waiting()

    def __enter__(self) -> Decisions:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self) -> Journal:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        return Journal(self._folder / f"{now}-{secrets.token_hex(4)}{SUFFIX}")

    def _seal(self, *, begin: bool = True) -> None:
        """End the journal, which then waits for the log. The guard is held."""
        journal = self._journal
        if begin:
            if journal.count == 0:
                return
            self._journal = self._begin()
        journal.end()
        if journal.path not in self._waiting:
            self._waiting.append(journal.path)
        self._begun_s = time.monotonic()
        self._due.set()

    def _log_batches(self) -> None:
        while not self._ended.is_set():
            self._due.wait(min(self._batch_seconds, 1.0))
            self._due.clear()
            try:
                with self._guard:
                    if time.monotonic() - self._begun_s >= self._batch_seconds:
                        self._seal()
                self._log_waiting()
            except ProvenanceError as error:
                self.problem = error

    def _log_waiting(self) -> None:
        with self._logging:
            while True:
                with self._guard:
                    path = self._waiting[0] if self._waiting else None
                if path is None:
                    self.problem = None
                    return
                receipt = log_journal(self._ledger, self._name, self.model, path, self._key, self._passphrase)
                with self._guard:
                    self._waiting.remove(path)
                if receipt is not None:
                    self.receipts.append(receipt)


def log_journal(
    ledger: Ledger, name: str, model: str, path: Path, key: str | None, passphrase: bytes | None
) -> Receipt | None:
    """Make a dataset of a journal's decisions, register it, and remove the journal; None if it holds none.

    Safe to repeat: what was cut off after the entry was logged finds that entry.
    """
    import pyarrow as pa

    if not path.exists():  # another recorder of this model logged it
        return None
    decided = list(read_journal(path))
    if not decided:
        path.unlink(missing_ok=True)
        return None
    digest = ledger.pin(model).digest.raw
    table = pa.table(
        {
            "time": pa.array([one.time_us for one in decided], pa.timestamp("us", "UTC")),
            "model": pa.array([digest] * len(decided), pa.binary()),
            "input": pa.array([one.input for one in decided], pa.binary()),
            "output": pa.array([one.output for one in decided], pa.binary()),
            "explanation": pa.array([one.explanation for one in decided], pa.binary()),
        }
    )
    batch = path.parent / _version(path)
    batch.mkdir(exist_ok=True, mode=0o700)
    _write(path.parent / f"{_version(path)}.salts", b"".join(one.salt for one in decided))
    with pa.OSFile(str(batch / "decisions.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    receipt = ledger.register(
        batch,
        name,
        _version(path),
        parents=[model],
        key=key,
        passphrase=passphrase,
        anchor=False,
        wanted=Wanted(records=True),
    )
    path.unlink(missing_ok=True)
    return receipt


def check_decision(record: Mapping[str, Any], salt: bytes, given: bytes, answer: bytes) -> bool:
    """Whether a record of a batch is of this input and this answer, under this salt."""
    found = (record["input"], record["output"])
    meant = (sha256(salt + given).digest(), sha256(salt + answer).digest())
    return all(hmac.compare_digest(a, b) for a, b in zip(found, meant, strict=True))


def salt_of(ledger: Ledger, model: str, ticket_dataset: str, row: int) -> bytes:
    """The salt of a decision, kept on this machine; whoever erases it makes the record say nothing for ever."""
    folder = ledger.layout.directory / "decisions" / str(ledger.pin(model).name).replace("/", "_")
    path = folder / f"{ticket_dataset.rpartition('@')[2]}.salts"
    try:
        with path.open("rb") as file:
            file.seek(row * SALT_BYTES)
            salt = file.read(SALT_BYTES)
    except OSError as error:
        raise StoreError("the salts are not kept here", got=error.strerror, where=path) from error
    if row < 0 or len(salt) != SALT_BYTES:
        raise MalformedError("the batch has no such row", got=row)
    return salt


def _verify(ledger: Ledger, model: str, place: Location | None) -> None:
    where = place if place is not None else ledger.place_of(model)
    report = ledger.verify(where, expected=model, ask_chain=False)
    if not report.sound:
        first = report.failures[0]
        what = f"model does not verify: {first.id} of {first.subject}: {first.note}"
        raise VerificationError(what, expected=first.expected, got=first.found, where=first.where)


def _version(path: Path) -> str:
    return path.name.removesuffix(SUFFIX)


def _encoded(value: object) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    plain: JsonValue = value  # type: ignore[assignment]  # what is no JSON value is an error of canonical_json
    return canonical_json(plain)


def _write(path: Path, data: bytes) -> None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise StoreError("cannot keep the salts", got=error.strerror, where=path) from error
