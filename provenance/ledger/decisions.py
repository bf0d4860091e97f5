"""Decisions of a model, recorded so that each can be proven and none tells of a person.

Steps: 1 the model's bytes are verified, before any of its code runs; 2 each decision is noted in a journal before it is
acknowledged: time, and salted digests of input and output; 3 a full or old journal becomes a dataset of records, made
from the model, signed and logged as one entry. Invariants: a killed process loses nothing it acknowledged (the next one
logs it); what could not be logged is on disk and `problem` says so; a forked process has journals and salts of its own;
salts never leave this machine unless their holder gives them away; without its salt a record says nothing.

    with ledger.decisions("acme/model", "model.bin", key="service") as decisions:
        ticket = decisions.record(request, answer)
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from provenance.errors import MalformedError, ProvenanceError, StoreError
from provenance.ledger.decision_batches import SALT_BYTES, log_journal
from provenance.ledger.decision_folders import earlier_folder_of, folder_of, folders_of, kept_problem, make_folder
from provenance.ledger.decision_forks import survive_forks
from provenance.ledger.decision_functions import recording
from provenance.ledger.decision_journal import HEADED, NO_EXPLANATION, RECORD, Claim, Journal, adopt, version_of
from provenance.ledger.decision_model import verify_model
from provenance.ledger.decision_process import log_apart
from provenance.ledger.receipts import Receipt
from provenance.policy import Level

if TYPE_CHECKING:
    from provenance.ledger.ledger import Ledger, Location

BATCH_DECISIONS: Final = 50_000
BATCH_SECONDS: Final = 60.0
MAX_WAITING: Final = 64
"""Journals that wait for the log; with more, decisions are refused rather than kept without bound."""
_LOGGED_APART: Final = 16
"""Journals that one process logs for a forked one: to start it takes longer than to log a small one."""
_TICK_S: Final = 1.0
_MAX_PAUSE_S: Final = 60.0
"""How long a batch waits at most that could not be logged, before it is tried again."""
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
    """Records decisions of one model. Threads may share it; close it, or use it as a context manager.

    In a forked process it goes on with journals of its own; what the parent recorded stays the parent's.
    """

    def __init__(
        self,
        ledger: Ledger,
        model: str,
        place: Location | None = None,
        *,
        required: Level | None = None,
        key: str | None = None,
        passphrase: bytes | None = None,
        batch_decisions: int = BATCH_DECISIONS,
        batch_seconds: float = BATCH_SECONDS,
        closes_ledger: bool = False,
    ) -> None:
        self._closes_ledger = closes_ledger
        self._ledger, self._key, self._passphrase = ledger, key, passphrase
        self._batch_decisions, self._batch_seconds = batch_decisions, batch_seconds
        pin = ledger.pin(model)
        self.model = str(pin.name)
        self.model_digest = pin.digest
        verify_model(ledger, self.model, place, required)
        self._name = f"{pin.name.dataset}.decisions"
        self._entry = pin.envelope
        self._folder = make_folder(ledger.layout.directory, pin.name)
        self._folders = folders_of(ledger, pin.name)
        self._is_forked = False
        self._journal = self._begin()
        self._prepare()
        self._waiting += adopt(self._folders, MAX_WAITING)
        self._kept = kept_problem(self._folders)
        self.problem: ProvenanceError | None = self._kept
        """Why the last batch could not be logged (it is tried again with the next), or which journals are kept because
        not all of their decisions are in the log."""
        survive_forks(self)
        self._start()

    def _prepare(self) -> None:
        """Locks, queue and salts of this process."""
        self._guard, self._logging = threading.Lock(), threading.Lock()
        self._ended, self._due = threading.Event(), threading.Event()
        self._salts = b""
        self._waiting: list[Claim] = []
        self._thread: threading.Thread | None = None
        self.receipts: list[Receipt] = []
        self.problem = None

    def _start(self) -> None:
        self._begun_s = self._looked_s = time.monotonic()
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
            journal = self._writable()
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
                try:
                    self._seal()
                except StoreError as error:  # this decision is written; the next one tries again, and says so
                    self.problem = error
        return Ticket(f"{self._name}@{version_of(journal.path)}", row, salt)

    def __call__(self, function: Callable[_P, _T]) -> Callable[_P, _T]:
        """The function, each of whose answers is recorded before it is returned; what a coroutine function returns,
        after it was awaited. Arguments and answer are JSON values or bytes. `MalformedError` for a generator."""
        return recording(function, self.record)

    def flush(self) -> None:
        """Log everything that was recorded so far. Raises what stands in the way; nothing is lost."""
        with self._guard:
            self._seal()
        self._log_waiting()

    def close(self) -> None:
        """Log everything and stop. Raises what stands in the way; the next recorder of this model logs the rest."""
        self._ended.set()
        self._due.set()
        if self._thread is not None:
            self._thread.join()
        try:
            with self._guard:
                self._seal(begin=False)
            self._adopt()
            self._log_waiting()
        finally:
            self._release()
            if self._closes_ledger:
                self._ledger.close()

    def __enter__(self) -> Decisions:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self) -> Journal:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        return Journal(self._folder / f"{now}-{secrets.token_hex(4)}{HEADED}", self._entry)

    def _writable(self) -> Journal:
        """The journal that takes the next decision. The guard is held."""
        if len(self._waiting) > MAX_WAITING:
            hint = "see what keeps the log from taking them: decisions.problem"
            raise StoreError("too many decisions wait for the log", expected=f"{MAX_WAITING} batches", hint=hint)
        if self._ended.is_set():
            return self._journal  # which says that it is closed
        if self._thread is None:  # the first of a forked process
            self._journal = self._begin()
            self._start()
        elif self._journal.is_broken or self._journal.count >= self._batch_decisions:
            self._seal()
        return self._journal

    def _seal(self, *, begin: bool = True) -> None:
        """End the journal, which then waits for the log. The guard is held."""
        journal = self._journal
        if begin:
            if journal.count == 0 and not journal.is_broken:
                return
            self._journal = self._begin()
        try:
            journal.sync()
        except StoreError as error:
            self.problem = error
        claim = journal.end()
        if claim is not None:
            self._waiting.append(claim)
        self._begun_s = time.monotonic()
        self._due.set()

    def _log_batches(self) -> None:
        tick_s, pause_s, again_s = min(self._batch_seconds, _TICK_S), 0.0, 0.0
        while not self._ended.is_set():
            self._due.wait(tick_s)
            self._due.clear()
            try:
                with self._guard:
                    if time.monotonic() - self._begun_s >= self._batch_seconds:
                        self._seal()
                if time.monotonic() < again_s:
                    continue
                if time.monotonic() - self._looked_s >= self._batch_seconds:
                    self._adopt()
                self._log_waiting()
                pause_s = 0.0
                continue
            except ProvenanceError as error:
                self.problem = error
            except Exception as error:  # noqa: BLE001 - whatever it is, somebody is told, and the next batch is tried
                self.problem = StoreError("decisions could not be logged", got=type(error).__name__, where=self._folder)
            pause_s = min(max(2 * pause_s, tick_s), _MAX_PAUSE_S)  # to try again costs what logging costs
            again_s = time.monotonic() + pause_s

    def _adopt(self) -> None:
        """Take over the journals of processes that are gone."""
        with self._guard:
            self._waiting += adopt(self._folders, MAX_WAITING - len(self._waiting))
        self._looked_s = time.monotonic()

    def _log_waiting(self) -> None:
        with self._logging:
            while True:
                with self._guard:
                    claims = self._waiting[: _LOGGED_APART if self._is_forked else 1]
                if not claims:
                    self.problem = self._kept
                    return
                for claim, receipt in zip(claims, self._log(claims), strict=True):
                    with self._guard:
                        self._waiting.remove(claim)
                    claim.release()
                    if receipt is not None:
                        self.receipts.append(receipt)
                self._kept = kept_problem(self._folders)

    def _log(self, claims: Sequence[Claim]) -> Iterator[Receipt | None]:
        if self._is_forked:
            directory = self._ledger.layout.directory
            yield from log_apart(directory, self._name, self.model, claims, self._key, self._passphrase)
            return
        for claim in claims:
            yield log_journal(self._ledger, self._name, self.model, claim.path, self._key, self._passphrase)

    def _release(self) -> None:
        claims, self._waiting = self._waiting, []
        for claim in claims:
            claim.release()

    def begin_again(self) -> None:
        """In a forked process: leave everything to the parent; the first decision begins anew."""
        was_ended = self._ended.is_set()
        self._is_forked = True
        self._release()
        self._journal.abandon()
        self._prepare()
        if was_ended:
            self._ended.set()

    def hold(self, timeout_s: float) -> bool:
        """Before a fork: let nobody write until `resume`; whether that came about in time."""
        return self._guard.acquire(timeout=timeout_s)

    def resume(self) -> None:
        """After a fork, in the parent."""
        self._guard.release()


def check_decision(record: Mapping[str, Any], salt: bytes, given: bytes, answer: bytes) -> bool:
    """Whether a record of a batch is of this input and this answer, under this salt."""
    found = (record["input"], record["output"])
    meant = (sha256(salt + given).digest(), sha256(salt + answer).digest())
    return None not in found and all(hmac.compare_digest(a, b) for a, b in zip(found, meant, strict=True))


def salt_of(ledger: Ledger, model: str, ticket_dataset: str, row: int) -> bytes:
    """The salt of a decision, kept on this machine; whoever erases it makes the record say nothing for ever."""
    name, file_name = ledger.pin(model).name, f"{ticket_dataset.rpartition('@')[2]}.salts"
    path = folder_of(ledger.layout.directory, name) / file_name
    if not path.exists() and (earlier := earlier_folder_of(ledger.layout.directory, name) / file_name).exists():
        path = earlier  # versions are random: those of another model are not in the way
    if row < 0:
        raise MalformedError("the batch has no such row", got=row)
    try:
        with path.open("rb") as file:
            file.seek(row * SALT_BYTES)
            salt = file.read(SALT_BYTES)
    except OSError as error:
        raise StoreError("the salts are not kept here", got=error.strerror, where=path) from error
    if len(salt) != SALT_BYTES:
        raise MalformedError("the batch has no such row", got=row)
    if salt == bytes(SALT_BYTES):
        raise StoreError("the decision could not be read from its journal, and its salt neither", got=row, where=path)
    return salt


def decisions(model: str, place: Location | None = None, **options: Any) -> Decisions:
    """What records a model's decisions in the nearest ledger, which is closed with it: a context manager, a decorator,
    and what the ASGI middleware takes. `options` and errors are those of `Ledger.decisions`.

        with provenance.decisions("acme/scorer@3") as log:
            log.record(given, answer)
    """
    from provenance.ledger.ledger import Ledger as OpenedLedger

    ledger = OpenedLedger.open()
    try:
        return Decisions(ledger, model, place, closes_ledger=True, **options)
    except BaseException:
        ledger.close()
        raise
