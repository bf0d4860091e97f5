"""Transactions on their way to a chain."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import product
from typing import get_args

import pytest

from provenance.errors import ConflictError, MalformedError, NotFoundError
from provenance.stores import OutboxDraft, OutboxRow, OutboxState, Store
from tests.conformance.stores.samples import CONTRACT, ORIGIN, PUBLISHER, anchor, deployment

STATES: tuple[OutboxState, ...] = get_args(OutboxState)


def add(store: Store, draft: OutboxDraft, state: OutboxState = "signed") -> int:
    with store.transaction() as tx:
        row_id = tx.outbox_add(draft)
        if state != "signed":
            tx.outbox_update(row_id, from_state="signed", to_state=state)
    return row_id


def row_of(store: Store, row_id: int) -> OutboxRow:
    row = store.outbox_row(row_id)
    assert row is not None
    return row


def test_a_row_comes_back_as_it_was_added(store: Store) -> None:
    for draft in (anchor(5), deployment(1)):
        row = asdict(row_of(store, add(store, draft)))
        for field, value in asdict(draft).items():
            assert row[field] == value
        assert (row["state"], row["attempts"], row["receipt"], row["error"]) == ("signed", 0, None, None)


def test_a_row_lives_through_its_states(store: Store) -> None:
    row_id = add(store, anchor(5))
    with store.transaction() as tx:
        tx.outbox_update(row_id, from_state="signed", to_state="signed", attempted=True, error="no route")
        tx.outbox_update(row_id, from_state="signed", to_state="broadcast", attempted=True)
    broadcast = row_of(store, row_id)
    assert (broadcast.state, broadcast.attempts, broadcast.error) == ("broadcast", 2, "no route")
    with store.transaction() as tx:
        tx.outbox_update(row_id, from_state="broadcast", to_state="mined", receipt=b'{"block":1}')
        tx.outbox_update(row_id, from_state="mined", to_state="final")
    assert row_of(store, row_id) == replace(broadcast, state="final", receipt=b'{"block":1}')


def test_a_row_may_be_signed_again(store: Store) -> None:
    row_id = add(store, deployment(1))
    with store.transaction() as tx:
        tx.outbox_update(
            row_id,
            from_state="signed",
            to_state="signed",
            nonce=9,
            raw=b"raw",
            transaction=bytes(32),
            contract=CONTRACT,
        )
    row = row_of(store, row_id)
    assert (row.nonce, row.raw, row.transaction, row.contract) == (9, b"raw", bytes(32), CONTRACT)


def test_a_state_is_left_only_by_who_knows_it(store: Store) -> None:
    row_id = add(store, anchor(5), "broadcast")
    for from_state in STATES:
        if from_state == "broadcast":
            continue
        with store.transaction() as tx, pytest.raises(ConflictError):
            tx.outbox_update(row_id, from_state=from_state, to_state="final")
    assert row_of(store, row_id).state == "broadcast"
    with store.transaction() as tx, pytest.raises(NotFoundError):
        tx.outbox_update(row_id + 1, from_state="signed", to_state="final")
    assert store.outbox_row(row_id + 1) is None


@pytest.mark.parametrize("state", STATES)
def test_nothing_is_anchored_twice(store: Store, state: OutboxState) -> None:
    add(store, anchor(5, nonce=1), state)
    again = [
        anchor(5, nonce=2),
        anchor(5, nonce=3, contract=CONTRACT.lower()),
        anchor(5, nonce=4, contract=CONTRACT.upper()),
    ]
    if state == "failed":
        add(store, again[0])
        again = again[1:]
    for draft in again:
        with store.transaction() as tx, pytest.raises(ConflictError):
            tx.outbox_add(draft)


def test_what_differs_is_not_the_same_anchor(store: Store) -> None:
    first = anchor(5, nonce=1)
    others = [
        replace(first, nonce=2, size=6),
        replace(first, nonce=3, chain_id=1),
        replace(first, nonce=4, contract="0x" + "1" * 40),
        replace(first, nonce=5, origin="other.example/log"),
    ]
    for draft in [first, *others, deployment(6), deployment(7)]:
        add(store, draft)
    assert len(store.outbox_pending()) == 7


def test_a_failed_anchor_cannot_come_back_beside_its_successor(store: Store) -> None:
    failed = add(store, anchor(5, nonce=1), "failed")
    add(store, anchor(5, nonce=2))
    with store.transaction() as tx, pytest.raises(ConflictError):
        tx.outbox_update(failed, from_state="failed", to_state="signed")


def test_a_nonce_is_used_once_at_a_time(store: Store) -> None:
    first = add(store, anchor(5, nonce=1))
    with store.transaction() as tx:
        with pytest.raises(ConflictError):
            tx.outbox_add(anchor(6, nonce=1))
        with pytest.raises(ConflictError):
            tx.outbox_add(replace(deployment(1), publisher=PUBLISHER.lower()))
        tx.outbox_add(replace(deployment(1), publisher="0x" + "2" * 40))
        tx.outbox_add(anchor(6, nonce=1, chain_id=2))
        tx.outbox_update(first, from_state="signed", to_state="mined")
        tx.outbox_add(anchor(6, nonce=1))


def test_pending_is_what_is_not_settled(store: Store) -> None:
    ids = {state: add(store, anchor(size, chain_id=1 + size % 2), state) for size, state in enumerate(STATES, 1)}
    assert [row.id for row in store.outbox_pending()] == [ids["signed"], ids["broadcast"], ids["mined"]]
    assert [row.id for row in store.outbox_pending(chain_id=2)] == [ids["signed"], ids["mined"]]
    assert [row.id for row in store.outbox_pending(limit=1)] == [ids["signed"]]


def test_the_latest_anchor_is_the_largest_live_one(store: Store) -> None:
    assert store.outbox_latest_anchor() is None
    add(store, deployment(100))
    states: list[tuple[int, OutboxState]] = [(5, "final"), (9, "broadcast"), (7, "mined"), (12, "failed")]
    for size, state in states:
        add(store, anchor(size), state)
    add(store, anchor(20, chain_id=2, contract="0x" + "a" * 40), "final")

    def latest(**narrowed: object) -> int | None:
        row = store.outbox_latest_anchor(**narrowed)  # type: ignore[arg-type]
        return None if row is None else row.size

    assert latest() == 20
    assert latest(chain_id=31_337) == 9
    assert latest(contract=CONTRACT.lower(), origin=ORIGIN) == 9
    assert latest(chain_id=2, contract="0x" + "A" * 40) == 20
    assert latest(chain_id=3) is None
    assert latest(origin="other") is None


def test_the_latest_deployment_is_the_newest_live_one(store: Store) -> None:
    assert store.outbox_latest_deployment(chain_id=31_337) is None
    add(store, deployment(1), "final")
    second = add(store, deployment(2), "mined")
    add(store, deployment(3), "failed")
    add(store, anchor(5, nonce=4), "final")
    found = store.outbox_latest_deployment(chain_id=31_337, publisher=PUBLISHER.lower())
    assert found is not None and found.id == second
    assert store.outbox_latest_deployment(chain_id=1) is None
    assert store.outbox_latest_deployment(chain_id=31_337, publisher=CONTRACT) is None


def test_anchors_are_paged_by_id(store: Store) -> None:
    add(store, deployment(1_000), "final")
    expected = [add(store, anchor(size), "final" if size % 2 else "mined") for size in range(1, 24)]
    add(store, anchor(50), "signed")
    found, after = [], 0
    while page := store.anchors(after_id=after, limit=5):
        found += [row.id for row in page]
        after = page[-1].id
    assert found == expected
    assert [row.size for row in store.anchors(states=["signed"])] == [50]
    assert store.anchors(states=[]) == []
    assert store.anchors(after_id=2**80) == []


def test_an_entry_is_covered_by_the_smallest_anchor_above_it(store: Store) -> None:
    """Against a naive search over every index, chain and set of states."""
    rows = []
    for number, (size, state, chain) in enumerate(product((3, 8, 8, 20), STATES, (1, 2))):
        draft = anchor(size, nonce=number, chain_id=chain, contract=f"0x{number:040x}")
        add(store, draft, state)
        rows.append((size, number + 1, state, chain))
    cases: list[tuple[OutboxState, ...]] = [("mined", "final"), ("final",), ("failed", "signed"), STATES]
    for index, states, chain_id in product((0, 2, 3, 7, 8, 19, 20, 2**64), cases, (None, 1, 2, 3)):
        fits = sorted(r[:2] for r in rows if r[0] > index and r[2] in states and chain_id in (None, r[3]))
        found = store.anchor_covering(index, chain_id=chain_id, states=states)
        assert (None if found is None else (found.size, found.id)) == (fits[0] if fits else None)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "other"},
        {"chain_id": 0},
        {"chain_id": 2**63},
        {"nonce": -1},
        {"nonce": 2**64},
        {"size": 0},
        {"size": None},
        {"root": None},
        {"root": bytes(31)},
        {"contract": None},
        {"origin": None},
        {"raw": b""},
        {"transaction": bytes(31)},
        {"origin": "\ud800"},
    ],
)
def test_drafts_of_another_form_are_refused(store: Store, change: dict[str, object]) -> None:
    with store.transaction() as tx, pytest.raises(MalformedError):
        tx.outbox_add(replace(anchor(5), **change))  # type: ignore[arg-type]
    assert store.outbox_pending() == []


def test_states_of_another_name_are_refused(store: Store) -> None:
    row_id = add(store, anchor(5))
    with store.transaction() as tx:
        with pytest.raises(MalformedError):
            tx.outbox_update(row_id, from_state="signed", to_state="lost")  # type: ignore[arg-type]
        with pytest.raises(MalformedError):
            tx.outbox_update(row_id, from_state="signed", to_state="mined", transaction=b"short")
    with pytest.raises(MalformedError):
        store.anchors(states=["lost"])  # type: ignore[list-item]
    with pytest.raises(MalformedError):
        store.anchor_covering(-1)
