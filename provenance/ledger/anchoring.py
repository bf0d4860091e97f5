"""Anchoring: one transaction that covers everything logged since the last one.

Invariants: a transaction is in the outbox, signed and durable, before it is broadcast; what is pending is settled
before anything new is signed; one (chain, contract, origin, size) is anchored once; one process anchors at a time;
nothing is anchored on top of a checkpoint that this log does not have.

States: signed -> broadcast -> mined (receipt proven) -> final; or failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from provenance.anchor import AnchorReceipt, Head, build_receipt, decode_head, encode_anchor, encode_head, origin_id
from provenance.chains import Chain, RejectedError, TransactionReceipt
from provenance.encoding import canonical_json
from provenance.errors import ChainError, StoreError, VerificationError
from provenance.ledger.artifact import anchor_bytecode
from provenance.ledger.gathering import receipt_of
from provenance.ledger.publication import tile_reader
from provenance.ledger.receipts import AnchorOutcome
from provenance.limits import MAX_PAGE_ITEMS
from provenance.signers import TransactionSigner
from provenance.stores import CheckpointRow, OutboxDraft, OutboxKind, OutboxRow, Store

_WAIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployed CheckpointAnchor. `gas_used` is 0 if it had been there."""

    chain_id: int
    contract: str
    publisher: str
    gas_used: int


class Anchorer:
    """Anchors the log of one store on one chain, paid by one account."""

    def __init__(self, store: Store, chain: Chain, account: TransactionSigner, origin: str) -> None:
        self._store, self._chain, self._account, self._origin = store, chain, account, origin
        self._info = chain.info()

    def anchor(self, check: Callable[[CheckpointRow], None] | None = None) -> AnchorOutcome:
        """Anchor the latest checkpoint, unless it is anchored already. Settles what is pending first.

        `check` raises if the checkpoint that is about to be sent must not be. `VerificationError` if the chain holds a
        checkpoint that this log does not have.
        """
        gas_used = self.settle()
        checkpoint = self._store.checkpoint()
        if checkpoint is None or checkpoint.size == 0:
            return AnchorOutcome("nothing to anchor", 0, chain=self._info.label)
        contract = self.contract()
        head = self._head(contract, checkpoint)
        row = self._latest(contract)
        if row is not None and row.size == checkpoint.size:
            if head.size < checkpoint.size:
                hint = "wait and run `provenance anchor` again; if it stays so, the chain was reset"
                raise ChainError(
                    "the chain does not hold an anchor that it did hold",
                    expected=f"size {checkpoint.size}",
                    got=f"size {head.size}",
                    where=f"{self._info.label}, contract {contract}",
                    hint=hint,
                )
            covered = checkpoint.size - self._covered_before(row) if gas_used else 0
        elif head.size == checkpoint.size:
            # Restored from a backup that is older than its anchor: the chain has it, its receipt is lost.
            return AnchorOutcome("already anchored", checkpoint.size, chain=self._info.label)
        else:
            if check is not None:
                check(checkpoint)
            gas_used = self._send(contract, checkpoint)
            row, covered = self._latest(contract), checkpoint.size - head.size
        receipt = receipt_of(row) if row is not None else None
        if receipt is None:
            raise ChainError("anchor is not mined yet", hint="run `provenance anchor` again")
        status: Literal["anchored", "already anchored"] = "anchored" if gas_used else "already anchored"
        return AnchorOutcome(status, checkpoint.size, covered, gas_used, receipt, self._info.label)

    def deploy(self) -> Deployment:
        """Deploy CheckpointAnchor, unless this account has done so on this chain."""
        self.settle()
        gas_used = 0
        row = self._deployment()
        if row is None:
            gas_used = self._transact("deploy", None, anchor_bytecode(), None)
            row = self._deployment()
        if row is None or row.contract is None:
            raise ChainError("deployment is not mined yet", hint="run `provenance chain deploy` again")
        return Deployment(self._info.chain_id, row.contract, self._account.address, gas_used)

    def contract(self) -> str:
        """The anchor contract's address. On a development chain it is deployed when it is missing."""
        row = self._deployment()
        if row is None and self._info.development:
            self._check_unused()
            self.deploy()
            row = self._deployment()
        if row is None or row.contract is None:
            hint = "run `provenance chain deploy` (it costs gas)"
            raise ChainError("no anchor contract on this chain", where=self._info.label, hint=hint)
        if not self._chain.code(row.contract):
            hint = "the chain was reset or is another one: check `provenance chain status`"
            raise ChainError("anchor contract is gone from the chain", where=row.contract, hint=hint)
        return row.contract

    def settle(self) -> int:
        """Bring every pending transaction as far as it goes. The gas of anchors that this mined."""
        gas_used = 0
        for row in self._store.outbox_pending(chain_id=self._info.chain_id):
            used = self._advance(row)
            gas_used += used if row.kind == "anchor" else 0
        return gas_used

    def _send(self, contract: str, checkpoint: CheckpointRow) -> int:
        data = encode_anchor(origin_id(self._origin), checkpoint.size, checkpoint.root)
        return self._transact("anchor", contract, data, checkpoint)

    def _transact(self, kind: OutboxKind, to: str | None, data: bytes, checkpoint: CheckpointRow | None) -> int:
        sender, fees = self._account.address, self._chain.fees()
        gas = self._chain.estimate_gas(sender=sender, to=to, data=data)
        nonce = self._chain.nonce(sender)
        balance, cost = self._chain.balance(sender), gas * 6 // 5 * fees.max_fee_per_gas
        if balance < cost:
            hint = f"send funds to {sender}"
            raise ChainError("account cannot pay", expected=f"{cost} wei", got=f"{balance} wei", hint=hint)
        raw = self._account.sign_transaction(
            {
                "chainId": self._info.chain_id,
                "nonce": nonce,
                "gas": gas * 6 // 5,
                "maxFeePerGas": fees.max_fee_per_gas,
                "maxPriorityFeePerGas": fees.max_priority_fee_per_gas,
                "value": 0,
                "to": to,
                "data": data,
            }
        )
        draft = OutboxDraft(
            chain_id=self._info.chain_id,
            kind=kind,
            publisher=sender,
            nonce=nonce,
            raw=raw,
            transaction=transaction_hash(raw),
            created_s=int(time.time()),
            contract=to,
            origin=self._origin if checkpoint is not None else None,
            size=checkpoint.size if checkpoint is not None else None,
            root=checkpoint.root if checkpoint is not None else None,
        )
        with self._store.transaction() as tx:
            row_id = tx.outbox_add(draft)
            if checkpoint is not None:
                tx.keep_checkpoint(checkpoint)
        row = self._store.outbox_row(row_id)
        if row is None:
            raise StoreError("outbox row is missing", where=f"row {row_id}")
        return self._advance(row)

    def _advance(self, row: OutboxRow) -> int:
        """Broadcast (again), wait for the receipt, keep it. The gas used if it was mined now."""
        gas_used = 0
        if row.state in ("signed", "broadcast"):
            row = self._move(row, "broadcast", attempted=True)
            self._broadcast(row)
            mined = self._chain.receipt(row.transaction, timeout_s=_WAIT_S)
            if mined is None:
                hint = "it stays in the outbox: run `provenance anchor` again"
                raise ChainError("transaction is not mined yet", got=f"0x{row.transaction.hex()}", hint=hint)
            row, gas_used = self._mined(row, mined), mined.gas_used
        if row.state == "mined":
            self._finalise(row)
        return gas_used

    def _broadcast(self, row: OutboxRow) -> None:
        try:
            self._chain.send_raw(row.raw)
        except RejectedError as error:
            if self._chain.receipt(row.transaction, timeout_s=0) is None:
                self._move(row, "failed", error=error.message)
                raise

    def _mined(self, row: OutboxRow, mined: TransactionReceipt) -> OutboxRow:
        if mined.status != 1:
            self._move(row, "failed", error="the transaction was reverted")
            raise ChainError("transaction was reverted", got=f"0x{row.transaction.hex()}", where=self._info.label)
        if row.kind == "anchor" and not mined.logs:
            # It would never have a receipt, and must not keep later anchors waiting.
            return self._move(row, "failed", error="the contract held this checkpoint already")
        if row.kind == "deploy":
            return self._move(row, "mined", contract=mined.contract_address)
        return self._move(row, "mined", receipt=canonical_json(self._receipt(row, mined).to_json()))

    def _receipt(self, row: OutboxRow, mined: TransactionReceipt) -> AnchorReceipt:
        if row.contract is None or row.size is None or row.root is None or row.origin is None:
            raise StoreError("outbox row names no checkpoint", where=f"row {row.id}")
        return build_receipt(
            header=self._chain.header(mined.block_hash),
            receipts=self._chain.block_receipts(mined.block_hash),
            transaction_index=mined.transaction_index,
            transaction=row.transaction,
            chain_id=self._info.chain_id,
            client=self._info.client,
            contract=row.contract,
            publisher=row.publisher,
            origin=row.origin,
            size=row.size,
            root=row.root,
            finality=self._info.finality,
            development=self._info.development,
        )

    def _finalise(self, row: OutboxRow) -> None:
        receipt = receipt_of(row)
        if receipt is None:
            self._move(row, "final")  # a deployment: its contract's code is looked up before every use
        elif receipt.block_number <= self._chain.finalized():
            if self._chain.block_hash(receipt.block_number) == receipt.block_hash:
                self._move(row, "final")
            else:
                self._move(row, "signed", error="its block was replaced")

    def _move(
        self,
        row: OutboxRow,
        state: str,
        *,
        attempted: bool = False,
        contract: str | None = None,
        receipt: bytes | None = None,
        error: str | None = None,
    ) -> OutboxRow:
        with self._store.transaction() as tx:
            tx.outbox_update(
                row.id,
                from_state=row.state,
                to_state=state,  # type: ignore[arg-type]  # one of the states this module names
                attempted=attempted,
                contract=contract,
                receipt=receipt,
                error=error,
            )
            moved = tx.outbox_row(row.id)
        if moved is None:
            raise StoreError("outbox row is missing", where=f"row {row.id}")
        return moved

    def _latest(self, contract: str) -> OutboxRow | None:
        return self._store.outbox_latest_anchor(chain_id=self._info.chain_id, contract=contract, origin=self._origin)

    def _deployment(self) -> OutboxRow | None:
        return self._store.outbox_latest_deployment(chain_id=self._info.chain_id, publisher=self._account.address)

    def _covered_before(self, row: OutboxRow) -> int:
        """The largest size that was anchored before `row`. Reads every anchor: only for what an earlier run sent."""
        largest, after = 0, 0
        while page := self._store.anchors(after_id=after, limit=MAX_PAGE_ITEMS):
            place = (row.chain_id, row.contract, row.origin)
            sizes = [a.size or 0 for a in page if a.id < row.id and (a.chain_id, a.contract, a.origin) == place]
            largest, after = max([largest, *sizes]), page[-1].id
        return largest

    def _head(self, contract: str, checkpoint: CheckpointRow) -> Head:
        """What the chain holds of this log, compared with the log: the same history, no further than `checkpoint`."""
        head = decode_head(self._chain.call(contract, encode_head(self._account.address, origin_id(self._origin))))
        if head.size == 0:
            return head
        root = self._root_at(head.size) if head.size <= checkpoint.size else checkpoint.root
        if (min(head.size, checkpoint.size), root) != (head.size, head.root):
            raise VerificationError(
                "the chain holds a checkpoint that this log does not have: the log went back or forked",
                expected=f"size {head.size}, root {head.root.hex()}",
                got=f"size {min(head.size, checkpoint.size)}, root {root.hex()}",
                where=f"{self._info.label}, contract {contract}",
                hint="restore the ledger from a backup that holds the anchored entries",
            )
        return head

    def _root_at(self, size: int) -> bytes:
        with self._store.snapshot() as snapshot:
            return tile_reader(snapshot, snapshot.size()).root_at(size)

    def _check_unused(self) -> None:
        """Raise if the account has sent transactions though the outbox never held one: an older database is in use."""
        if self._store.outbox_row(1) is None and self._chain.nonce(self._account.address) > 0:
            raise ChainError(
                "the chain knows transactions of this account that this ledger does not: the log went back",
                where=f"{self._info.label}, account {self._account.address}",
                hint="restore the newer ledger.db; or begin with a new contract: `provenance chain deploy`",
            )


def transaction_hash(raw: bytes) -> bytes:
    """The hash under which a chain knows a signed transaction: Keccak-256 of its bytes."""
    from provenance.anchor.keccak import keccak256

    return keccak256(raw)
