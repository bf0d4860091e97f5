"""The embedded chain: a single-operator development chain inside this process.

Invariants: `send_raw` returns only when the transaction, its block and the state after it are committed and synced, in
one SQL transaction; the chain is reopened from its database; one process writes at a time (`chain.lock`), any number
read; a block is never replaced, except by an operator who rewrites the database, which is why this chain proves
nothing to strangers.

Files under <ledger>/chain/ (0700): chain.db with its WAL, chain.lock (0600).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provenance.anchor.consensus_receipt import parse_consensus_receipt
from provenance.anchor.hexdata import checksum_address, parse_address
from provenance.anchor.keccak import keccak256
from provenance.chains.base import (
    DEVELOPMENT_LABEL,
    MAX_TRANSACTION_BYTES,
    BlockRef,
    ChainInfo,
    Fees,
    Log,
    RejectedError,
    TransactionReceipt,
)
from provenance.chains.blocks import check_hash, check_header, check_receipts
from provenance.chains.database import BlockRow, ChainDatabase, TransactionRow, database_errors
from provenance.chains.genesis import Genesis, new_genesis, parse_genesis
from provenance.chains.lock import process_lock
from provenance.encoding.recursion import unchanged_recursion_limit
from provenance.errors import ChainError, MalformedError

if TYPE_CHECKING:
    from provenance.chains.engine import Engine

FINALITY: Final = "head of a single-operator development chain: its operator can rewrite every block"
PRIORITY_FEE_WEI: Final = 1_000_000_000
_WHERE = "embedded chain"


class EmbeddedChain:
    """See the module. Open one with `open`; safe for threads."""

    def __init__(
        self, folder: Path, database: ChainDatabase, genesis: Genesis, timeout_s: float, clock: Callable[[], float]
    ) -> None:
        self._folder, self._genesis, self._timeout_s, self._clock = folder, genesis, timeout_s, clock
        self._mutex = threading.RLock()
        self._database: ChainDatabase | None = database
        self._engine: Engine | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        funded: Sequence[str] = (),
        timeout_s: float = 30,
        clock: Callable[[], float] = time.time,
    ) -> EmbeddedChain:
        """The chain in `folder`, created if there is none.

        A new chain gives each address in `funded` a million ether. An existing chain keeps what it was created with.
        """
        wanted = new_genesis(funded, int(clock()))
        path = folder / "chain.db"
        with database_errors(folder):
            if not path.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
                folder.chmod(0o700)
                with _lock(folder, timeout_s):
                    if not path.exists():
                        _create(path, wanted)
            database = ChainDatabase.open(path, timeout_s=timeout_s)
            try:
                genesis = parse_genesis(database.genesis())
            except BaseException:
                database.close()
                raise
        return cls(folder, database, genesis, timeout_s, clock)

    @property
    def genesis(self) -> Genesis:
        """What the chain was created with."""
        return self._genesis

    def info(self) -> ChainInfo:
        """Identity and head; `development` is always True."""
        from importlib.metadata import version

        with self._reading() as database:
            row = database.head()
        head = BlockRef(row.number, row.hash, check_header(row.header, row.hash, where=_WHERE).time_s)
        client = f"py-evm/{version('py-evm')}"
        return ChainInfo(self._genesis.chain_id, client, True, DEVELOPMENT_LABEL, FINALITY, head)

    def balance(self, address: str) -> int:
        """Wei at the head."""
        with self._executing() as engine:
            return engine.balance(_address(address))

    def nonce(self, address: str) -> int:
        """The next nonce; nothing is ever pending here."""
        with self._executing() as engine:
            return engine.nonce(_address(address))

    def fees(self) -> Fees:
        """Twice the next base fee and a priority fee of one gwei."""
        with self._executing() as engine:
            return Fees(2 * engine.next_base_fee() + PRIORITY_FEE_WEI, PRIORITY_FEE_WEI)

    def estimate_gas(self, *, sender: str, to: str | None, data: bytes, value_wei: int = 0) -> int:
        """Gas that suffices at the head, at most 1,000 more than needed."""
        target = b"" if to is None else _address(to)
        with self._executing() as engine:
            return engine.estimate_gas(_address(sender), target, data, value_wei)

    def send_raw(self, raw: bytes) -> bytes:
        """The hash of the transaction, which is mined and durable. A transaction that is already mined is success."""
        if len(raw) > MAX_TRANSACTION_BYTES:
            got = f"{len(raw)} bytes"
            raise RejectedError("transaction is too large", expected=f"at most {MAX_TRANSACTION_BYTES} bytes", got=got)
        transaction = keccak256(raw)
        with self._reading() as database:
            if database.transaction_by_hash(transaction) is not None:
                return transaction
        with self._executing() as engine, self._writing() as database:
            if database.transaction_by_hash(transaction) is None:
                engine.mine(raw, int(self._clock()))
        return transaction

    def receipt(self, transaction: bytes, *, timeout_s: float) -> TransactionReceipt | None:  # noqa: ARG002 nothing to wait for
        """The receipt, at once: what `send_raw` accepted is mined. None for an unknown transaction."""
        with self._reading() as database:
            row = database.transaction_by_hash(check_hash(transaction, "transaction hash"))
            block = None if row is None else database.block(row.block_number)
        return None if row is None or block is None else _receipt(row, block)

    def call(self, to: str, data: bytes) -> bytes:
        """What the contract returns at the head."""
        with self._executing() as engine:
            return engine.call(_address(to), data)

    def code(self, address: str) -> bytes:
        """Code at the head."""
        with self._executing() as engine:
            return engine.code(_address(address))

    def header(self, block_hash: bytes) -> bytes:
        """The RLP header with this hash; `ChainError` if there is no such block."""
        return self._block(block_hash).header

    def block_receipts(self, block_hash: bytes) -> tuple[bytes, ...]:
        """Every receipt of the block, checked against its receipts root."""
        block = self._block(block_hash)
        with self._reading() as database:
            receipts = tuple(row.receipt for row in database.transactions_of(block.number))
        return check_receipts(receipts, check_header(block.header, block_hash, where=_WHERE), where=_WHERE)

    def block_hash(self, number: int) -> bytes | None:
        """The hash of the block at this height, None above the head."""
        with self._reading() as database:
            block = database.block(number) if 0 <= number < 2**63 else None
        return None if block is None else block.hash

    def finalized(self) -> int:
        """The head: see `FINALITY`."""
        with self._reading() as database:
            return database.head().number

    def close(self) -> None:
        """Close the database; calling it again does nothing."""
        with self._mutex:
            if self._database is not None:
                self._database.close()
            self._database = self._engine = None

    def _block(self, block_hash: bytes) -> BlockRow:
        with self._reading() as database:
            block = database.block_by_hash(check_hash(block_hash, "block hash"))
        if block is None:
            raise ChainError("no such block", got=block_hash.hex(), where=_WHERE)
        check_header(block.header, block_hash, where=_WHERE)
        return block

    @contextmanager
    def _reading(self) -> Iterator[ChainDatabase]:
        """The database, for this thread alone."""
        if not self._mutex.acquire(timeout=self._timeout_s):
            raise ChainError(
                "the embedded chain is busy", expected=f"a turn within {self._timeout_s:g} s", where=_WHERE
            )
        try:
            if self._database is None:
                raise ChainError("the embedded chain is closed", where=_WHERE, hint="open it again")
            with database_errors(self._database.path):
                yield self._database
        finally:
            self._mutex.release()

    @contextmanager
    def _writing(self) -> Iterator[ChainDatabase]:
        """The database, for this process alone, in one transaction that is durable when it ends."""
        with self._reading() as database, _lock(self._folder, self._timeout_s), database.transaction():
            yield database

    @contextmanager
    def _executing(self) -> Iterator[Engine]:
        """The EVM, loaded on first use, for this thread alone."""
        with self._reading() as database:
            if self._engine is None:
                self._engine = _engine_class()(database, self._genesis)
            yield self._engine


def _engine_class() -> type[Engine]:
    with unchanged_recursion_limit():
        from provenance.chains.engine import Engine

    return Engine


def _create(path: Path, genesis: Genesis) -> None:
    engine = _engine_class()
    ChainDatabase.create(path, genesis.encode(), lambda database: engine.create(database, genesis))


def _lock(folder: Path, timeout_s: float) -> AbstractContextManager[None]:
    return process_lock(folder / "chain.lock", what="the embedded chain", timeout_s=timeout_s)


def _address(text: str) -> bytes:
    try:
        return parse_address(text)
    except MalformedError as error:
        raise ChainError(error.what, expected=error.expected, got=error.got) from error


def _receipt(row: TransactionRow, block: BlockRow) -> TransactionReceipt:
    try:
        consensus = parse_consensus_receipt(row.receipt)
    except MalformedError as error:
        raise ChainError(error.what, expected=error.expected, got=error.got, where=_WHERE) from error
    # One transaction a block, so that a log's place in its receipt is its place in the block.
    logs = tuple(
        Log(checksum_address(log.address), log.topics, log.data, index) for index, log in enumerate(consensus.logs)
    )
    return TransactionReceipt(
        transaction=row.hash,
        status=consensus.status,
        block_number=row.block_number,
        block_hash=block.hash,
        transaction_index=row.position,
        gas_used=row.gas_used,
        contract_address=None if row.contract is None else checksum_address(row.contract),
        logs=logs,
    )
