"""The outbox as rows: transactions committed before they are broadcast.

Invariants: one live anchor at most for a chain, contract, origin and size; one unmined transaction at most for a
chain, publisher and nonce; a row changes state only from the state its writer believes it is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, get_args

from provenance.errors import ConflictError, MalformedError, NotFoundError
from provenance.limits import MAX_PAGE_ITEMS
from provenance.stores.rows import OutboxDraft, OutboxKind, OutboxRow, OutboxState
from provenance.stores.sql.bounds import clamped, hash_bytes, page
from provenance.stores.sql.queries import Queries, Shape, Statements, Value

_STATES = get_args(OutboxState)
_KINDS = get_args(OutboxKind)
_ROW: Shape = (
    *(int, int, str, str, str | None, str | None, int | None, bytes | None),
    *(int, bytes, bytes, str, int, bytes | None, int, str | None),
)
_SELECT = """SELECT id, chain_id, kind, publisher, contract, origin, size, root, nonce, raw, tx, state, attempts,
    receipt, created_s, error FROM outbox"""
_ADDRESSES = ("publisher", "contract")
_LIVE_ANCHOR = "kind = 'anchor' AND state <> 'failed'"


class OutboxQueries(Queries):
    """See `provenance.stores.base.OutboxReader`."""

    same_address: ClassVar[str]
    """The condition, over {column}, that an address is a value but for its case."""

    def outbox_row(self, row_id: int) -> OutboxRow | None:
        return _first(self._outbox("id = ?", (clamped(row_id, "outbox id"),), "id", 1))

    def outbox_pending(self, *, chain_id: int | None = None, limit: int = MAX_PAGE_ITEMS) -> list[OutboxRow]:
        where, values = self._narrowed("state IN ('signed', 'broadcast', 'mined')", {"chain_id": chain_id})
        return self._outbox(where, values, "id", page(limit))

    def outbox_latest_anchor(
        self, *, chain_id: int | None = None, contract: str | None = None, origin: str | None = None
    ) -> OutboxRow | None:
        where, values = self._narrowed(_LIVE_ANCHOR, {"chain_id": chain_id, "contract": contract, "origin": origin})
        return _first(self._outbox(where, values, "size DESC, id DESC", 1))

    def outbox_latest_deployment(self, *, chain_id: int, publisher: str | None = None) -> OutboxRow | None:
        where, values = self._narrowed(
            "kind = 'deploy' AND state <> 'failed'", {"chain_id": chain_id, "publisher": publisher}
        )
        return _first(self._outbox(where, values, "id DESC", 1))

    def anchors(
        self, *, after_id: int = 0, limit: int = MAX_PAGE_ITEMS, states: Sequence[OutboxState] = ("mined", "final")
    ) -> list[OutboxRow]:
        within, values = _within(states)
        where = f"kind = 'anchor' AND {within} AND id > ?"
        return self._outbox(where, (*values, clamped(after_id, "cursor")), "id", page(limit))

    def anchor_covering(
        self, index: int, *, chain_id: int | None = None, states: Sequence[OutboxState] = ("mined", "final")
    ) -> OutboxRow | None:
        within, values = _within(states)
        where, more = self._narrowed(f"kind = 'anchor' AND {within} AND size > ?", {"chain_id": chain_id})
        return _first(self._outbox(where, (*values, clamped(index, "entry index"), *more), "size, id", 1))

    def _narrowed(self, where: str, wanted: dict[str, Value]) -> tuple[str, tuple[Value, ...]]:
        """The condition and its values, with an equality for every wanted column that is not None."""
        given = {column: value for column, value in wanted.items() if value is not None}
        equal = [(self.same_address if name in _ADDRESSES else "{column} = ?").format(column=name) for name in given]
        return " AND ".join([where, *equal]), tuple(given.values())

    def _outbox(self, where: str, values: tuple[Value, ...], order: str, limit: int) -> list[OutboxRow]:
        sql = f"{_SELECT} WHERE {where} ORDER BY {order} LIMIT ?"
        return [OutboxRow(*row) for row in self._rows(_ROW, sql, (*values, limit))]


class OutboxStatements(OutboxQueries, Statements):
    """See `provenance.stores.base.OutboxWriter`."""

    def outbox_add(self, draft: OutboxDraft) -> int:
        _check_draft(draft)
        return self._insert(
            """INSERT INTO outbox
                   (chain_id, kind, publisher, contract, origin, size, root, nonce, raw, tx, state, created_s)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'signed', ?) RETURNING id""",
            (
                draft.chain_id,
                draft.kind,
                draft.publisher,
                draft.contract,
                draft.origin,
                draft.size,
                draft.root,
                draft.nonce,
                draft.raw,
                draft.transaction,
                draft.created_s,
            ),
            action="adding to the outbox",
        )

    def outbox_update(
        self,
        row_id: int,
        *,
        from_state: OutboxState,
        to_state: OutboxState,
        attempted: bool = False,
        nonce: int | None = None,
        raw: bytes | None = None,
        transaction: bytes | None = None,
        contract: str | None = None,
        receipt: bytes | None = None,
        error: str | None = None,
    ) -> None:
        for state in (from_state, to_state):
            _check_member(state, _STATES, "outbox state")
        if transaction is not None:
            hash_bytes(transaction, "transaction hash")
        changed = self._run(
            """UPDATE outbox SET state = ?, attempts = attempts + ?, nonce = coalesce(?, nonce),
                   raw = coalesce(?, raw), tx = coalesce(?, tx), contract = coalesce(?, contract),
                   receipt = coalesce(?, receipt), error = coalesce(?, error)
               WHERE id = ? AND state = ?""",
            (to_state, int(attempted), nonce, raw, transaction, contract, receipt, error, row_id, from_state),
            action="updating the outbox",
        )
        if changed == 1:
            return
        row = self.outbox_row(row_id)
        if row is None:
            raise NotFoundError("no such row in the outbox", got=row_id)
        raise ConflictError("the outbox row moved on", expected=from_state, got=row.state, where=f"outbox row {row_id}")


def _first(rows: list[OutboxRow]) -> OutboxRow | None:
    return rows[0] if rows else None


def _within(states: Sequence[OutboxState]) -> tuple[str, tuple[Value, ...]]:
    for state in states:
        _check_member(state, _STATES, "outbox state")
    return f"state IN ({', '.join('?' * len(states)) or 'NULL'})", tuple(states)


def _check_member(value: str, allowed: tuple[str, ...], what: str) -> None:
    if value not in allowed:
        raise MalformedError(f"{what} is unknown", expected=" or ".join(allowed), got=repr(value))


def _check_draft(draft: OutboxDraft) -> None:
    _check_member(draft.kind, _KINDS, "outbox kind")
    hash_bytes(draft.transaction, "transaction hash")
    if draft.root is not None:
        hash_bytes(draft.root, "anchored root")
    if not draft.raw:
        raise MalformedError("a transaction is empty", expected="signed bytes")
    if draft.chain_id < 1 or draft.nonce < 0 or (draft.size is not None and draft.size < 1):
        raise MalformedError(
            "an outbox row is out of range",
            expected="chain id from 1, nonce from 0, size from 1",
            got=f"{draft.chain_id}, {draft.nonce}, {draft.size}",
        )
    if draft.kind == "anchor" and None in (draft.contract, draft.origin, draft.size, draft.root):
        raise MalformedError("an anchor is incomplete", expected="contract, origin, size and root")
