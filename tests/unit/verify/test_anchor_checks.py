"""An anchor counts if a trusted contract and publisher hold this very checkpoint, in a block that is known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from provenance.anchor import AnchorReceipt, build_receipt, encode_anchor, origin_id
from provenance.policy import Level, Status, TrustedAnchor, TrustedBlock
from provenance.statement import BlockReference
from provenance.verify import BlockFinding, Check, Evidence, Report, verify_evidence
from tests.unit.anchor.evm import CHAIN_ID, Call, Evm
from tests.unit.verify.forge import Lineage, Log, statement

PASSED, FAILED, NOT = Status.PASSED, Status.FAILED, Status.NOT_PERFORMED


class Anchored:
    """A lineage of two, anchored by two publishers at two contracts, in one block each."""

    def __init__(self) -> None:
        self.lineage = Lineage()
        self.lineage.add("a")
        self.lineage.add("b", ["a"])
        evm = Evm(2)
        contracts = [evm.deploy(0), evm.deploy(0)]
        self.receipts = {
            (contract, publisher): self._anchor(evm, publisher, contracts[contract])
            for contract in (0, 1)
            for publisher in (0, 1)
        }
        self.receipt = self.receipts[0, 0]

    def _anchor(self, evm: Evm, publisher: int, contract: bytes) -> AnchorReceipt:
        log = self.lineage.log
        root = log._reader().root_at(2)
        block = evm.mine([Call(publisher, contract, encode_anchor(origin_id(log.signer.name), 2, root))])
        return build_receipt(
            chain_id=CHAIN_ID,
            client="py-evm",
            development=True,
            finality="a test",
            contract="0x" + contract.hex(),
            publisher="0x" + evm.address(publisher).hex(),
            origin=log.signer.name,
            size=2,
            root=root,
            transaction=block.transactions[0],
            transaction_index=0,
            header=block.header,
            receipts=block.receipts,
        )


@cache
def anchored() -> Anchored:
    return Anchored()


def _named(receipt: AnchorReceipt) -> TrustedAnchor:
    return TrustedAnchor(receipt.chain_id, receipt.contract, receipt.publisher)


def _known(receipt: AnchorReceipt) -> TrustedBlock:
    return TrustedBlock(receipt.chain_id, receipt.block_number, receipt.block_hash)


def _verify(
    *receipts: AnchorReceipt,
    anchors: tuple[TrustedAnchor, ...] | None = None,
    blocks: tuple[TrustedBlock, ...] | None = None,
    findings: tuple[BlockFinding, ...] = (),
    **changes: Any,
) -> Report:
    world = anchored()
    trust = world.lineage.trust(
        anchors=(_named(world.receipt),) if anchors is None else anchors,
        blocks=(_known(world.receipt),) if blocks is None else blocks,
    )
    evidence = replace(world.lineage.evidence("b"), anchors=receipts, **changes)
    return verify_evidence(evidence, trust, contents=world.lineage.content("b"), blocks=findings)


def _statuses(report: Report) -> tuple[Status, Status]:
    def status(check_id: str) -> Status:
        return next(check.status for check in report.checks if check.id == check_id and check.subject == report.target)

    return status("anchor.receipt"), status("anchor.block")


def _check(report: Report, check_id: str) -> Check:
    return next(check for check in report.checks if check.id == check_id and check.subject == report.target)


def test_a_proven_anchor_in_a_known_block_passes_and_bounds_the_time() -> None:
    report = _verify(anchored().receipt)
    assert _statuses(report) == (PASSED, PASSED)
    assert report.sound
    assert report.not_after is not None
    assert "development chain" in report.not_after.clock


def test_no_anchor_is_not_performed_and_no_failure() -> None:
    report = _verify()
    assert _statuses(report) == (NOT, NOT)
    assert (report.sound, report.level, report.not_after) == (True, Level.D2, None)


@pytest.mark.parametrize("which", [(1, 0), (0, 1), (1, 1)])
def test_another_contract_or_publisher_does_not_count(which: tuple[int, int]) -> None:
    other = anchored().receipts[which]
    report = _verify(other, blocks=(_known(other),))
    assert _statuses(report) == (NOT, NOT)
    assert report.not_after is None
    # It does not get in the way of the right one either.
    assert _statuses(_verify(other, anchored().receipt)) == (PASSED, PASSED)
    assert _statuses(_verify(anchored().receipt, other)) == (PASSED, PASSED)


@pytest.mark.parametrize(
    "change", [{"chain_id": CHAIN_ID + 1}, {"contract": "0x" + "11" * 20}, {"publisher": "0x" + "22" * 20}]
)
def test_a_trusted_name_on_a_receipt_of_another_is_a_lie(change: dict[str, Any]) -> None:
    """The receipt says it is of a trusted contract; its block says otherwise, or is not known on that chain."""
    lie = replace(anchored().receipt, **change)
    report = _verify(lie, anchors=(_named(lie),))
    assert PASSED not in {_statuses(report)[1]}
    assert report.not_after is None
    assert (_statuses(report)[0] is FAILED) is ("chain_id" not in change)


@pytest.mark.parametrize("field", ["header", "receipt", "block_hash", "block_number", "block_time_s", "sequence"])
def test_a_forged_field_fails(field: str) -> None:
    receipt = anchored().receipt
    value = getattr(receipt, field)
    forged: Any = value[:-1] + bytes([value[-1] ^ 1]) if isinstance(value, bytes) else value + 1
    report = _verify(replace(receipt, **{field: forged}))
    assert _statuses(report)[0] is FAILED
    assert (report.sound, report.not_after) == (False, None)


def test_a_receipt_of_another_block_under_a_trusted_hash_fails() -> None:
    """Header and proof are of another block, and only the hash is the trusted one's."""
    world = anchored()
    other = world.receipts[0, 1]
    forged = replace(world.receipt, header=other.header, receipt=other.receipt, receipt_proof=other.receipt_proof)
    assert _statuses(_verify(forged))[0] is FAILED


def test_a_block_nobody_knows_is_not_performed_and_one_that_contradicts_fails() -> None:
    receipt = anchored().receipt
    report = _verify(receipt, blocks=())
    assert _statuses(report) == (PASSED, NOT)
    assert (report.sound, report.not_after) == (True, None)
    elsewhere = TrustedBlock(CHAIN_ID + 1, receipt.block_number, receipt.block_hash)
    assert _statuses(_verify(receipt, blocks=(elsewhere,))) == (PASSED, NOT)
    contradicting = replace(_known(receipt), hash=b"\1" * 32)
    report = _verify(receipt, blocks=(contradicting,))
    assert _statuses(report) == (PASSED, FAILED)
    assert not report.sound


@pytest.mark.parametrize(
    ("changes", "block"),
    [
        ({}, PASSED),
        ({"finalized": -1}, NOT),
        ({"hash": None}, FAILED),
        ({"hash": b"\2" * 32}, FAILED),
        ({"chain_id": CHAIN_ID + 1}, NOT),
        ({"number": 1_000}, NOT),
    ],
)
def test_what_a_chain_says_of_the_block(changes: dict[str, Any], block: Status) -> None:
    receipt = anchored().receipt
    height = receipt.block_number
    finding = BlockFinding(CHAIN_ID, height, receipt.block_hash, height, "a node")
    report = _verify(receipt, blocks=(), findings=(replace(finding, **changes),))
    assert _statuses(report) == (PASSED, block)
    assert (report.not_after is not None) is (block is PASSED)


def test_the_trust_roots_outweigh_what_a_chain_says() -> None:
    receipt = anchored().receipt
    lie = BlockFinding(CHAIN_ID, receipt.block_number, receipt.block_hash, receipt.block_number, "a node")
    contradicting = replace(_known(receipt), hash=b"\1" * 32)
    assert _statuses(_verify(receipt, blocks=(contradicting,), findings=(lie,))) == (PASSED, FAILED)


def test_an_anchor_of_another_checkpoint_is_no_anchor_of_this_one() -> None:
    """The receipt is real, but of the log's state before or after the one that the proofs lead to."""
    world = anchored()
    lineage = Lineage(Log(), dict(world.lineage.statements), dict(world.lineage.indexes))
    for envelope in world.lineage.log.envelopes:
        lineage.log.append(envelope)
    lineage.add("c")
    evidence = replace(lineage.evidence("b"), anchors=(world.receipt,))
    trust = lineage.trust(anchors=(_named(world.receipt),), blocks=(_known(world.receipt),))
    report = verify_evidence(evidence, trust)
    assert _statuses(report) == (NOT, NOT)
    assert report.sound


def test_a_claimed_field_is_in_no_check() -> None:
    receipt = anchored().receipt
    claims = replace(receipt, transaction=b"\7" * 32, client="liar", finality="for ever")
    assert _verify(claims).checks == _verify(receipt).checks


# ---- not before ----------------------------------------------------------------------------------------------------


def _naming_a_block(*, headers: bool = True) -> tuple[Lineage, Evidence, AnchorReceipt]:
    receipt = anchored().receipt
    lineage = Lineage()
    block = BlockReference(CHAIN_ID, receipt.block_number, receipt.block_hash)
    lineage.add_made("n", statement("n", not_before=block))
    return lineage, replace(lineage.evidence("n"), headers=(receipt.header,) if headers else ()), receipt


def test_not_before_needs_a_known_block_and_its_header() -> None:
    lineage, evidence, receipt = _naming_a_block()
    height, known = receipt.block_number, _known(receipt)
    report = verify_evidence(evidence, lineage.trust(blocks=(known,)))
    assert report.not_before is not None
    assert report.not_before.clock.endswith(f"block {height}")
    final = BlockFinding(CHAIN_ID, height, receipt.block_hash, height, "a node")
    assert verify_evidence(evidence, lineage.trust(), blocks=(final,)).not_before == report.not_before
    for blocks, findings in (
        ((), ()),
        ((replace(known, hash=b"\1" * 32),), ()),
        ((replace(known, chain_id=CHAIN_ID + 1),), ()),
        ((replace(known, number=height + 1),), ()),
        ((), (replace(final, finalized=height - 1),)),
        ((), (replace(final, hash=None),)),
        ((), (replace(final, chain_id=CHAIN_ID + 1),)),
    ):
        unknown = verify_evidence(evidence, lineage.trust(blocks=blocks), blocks=findings)
        assert unknown.not_before is None
        assert unknown.sound


def test_not_before_is_read_from_the_very_header() -> None:
    lineage, evidence, receipt = _naming_a_block()
    trust = lineage.trust(blocks=(_known(receipt),))
    other = anchored().receipts[1, 1].header
    flipped = receipt.header[:-1] + bytes([receipt.header[-1] ^ 1])
    for headers in ((), (other,), (flipped,), (b"",), (b"\xc0",), (receipt.header[:-1],)):
        assert verify_evidence(replace(evidence, headers=headers), trust).not_before is None
    assert verify_evidence(replace(evidence, headers=(other, b"", receipt.header)), trust).not_before is not None


def test_a_statement_that_lies_about_the_height_of_a_block_proves_no_time() -> None:
    receipt = anchored().receipt
    lineage = Lineage()
    block = BlockReference(CHAIN_ID, receipt.block_number + 1, receipt.block_hash)
    lineage.add_made("n", statement("n", not_before=block))
    evidence = replace(lineage.evidence("n"), headers=(receipt.header,))
    trusted = TrustedBlock(CHAIN_ID, receipt.block_number + 1, receipt.block_hash)
    assert verify_evidence(evidence, lineage.trust(blocks=(trusted,))).not_before is None
