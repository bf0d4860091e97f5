"""1,000 datasets registered in one run are covered by one anchor transaction."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from provenance.ledger import Ledger
from provenance.log import entry_leaf, parse_proof, parse_vkey, verify_proof
from provenance.verify import ContentFinding, verify_bundle
from tests.e2e.aftermath import anchored_events

DATASETS = 1_000
MAX_GAS_PER_DATASET = 36
"""A transaction is 21,000 and two slots that change are 5,000 each. A log's first anchor makes the slots: it is dearer
by twice 17,100, once."""


def test_one_transaction_covers_a_thousand_datasets(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with Ledger.init(tmp_path) as ledger:
        ledger.keyring.new("observatory")
        first = ledger.register(_file(tmp_path, DATASETS), "series/first", "1").anchor
        assert first is not None
        for number in range(DATASETS):
            _file(tmp_path, number)
        started = time.monotonic()
        receipts = [
            ledger.register(
                tmp_path / f"{n:04}.csv",
                f"series/s{n:04}",
                "1",
                origin="https://example.org/s",
                anchor=n == DATASETS - 1,
            )
            for n in range(DATASETS)
        ]
        seconds = time.monotonic() - started
        assert [receipt.index for receipt in receipts] == list(range(1, DATASETS + 1))
        assert all(receipt.anchor_problem is None for receipt in receipts)

        outcome = receipts[-1].anchor
        assert outcome is not None and outcome.receipt is not None
        assert (outcome.status, outcome.size, outcome.covered) == ("anchored", DATASETS + 1, DATASETS)
        assert [(event.size, event.sequence) for event in anchored_events(ledger)] == [(1, 1), (DATASETS + 1, 2)]
        gas_per_dataset = outcome.gas_used / DATASETS
        milliseconds = 1_000 * seconds / DATASETS
        record_property("gas per dataset", gas_per_dataset)
        record_property("milliseconds per dataset", milliseconds)
        print(f"a log's first anchor: {first.gas_used} gas, which would be {first.gas_used / DATASETS} each")
        print(f"{outcome.gas_used} gas for {DATASETS} datasets: {gas_per_dataset} gas each; {milliseconds:.1f} ms each")
        assert gas_per_dataset <= MAX_GAS_PER_DATASET
        assert outcome.to_json()["gasPerDataset"] == round(gas_per_dataset, 2)

        again = ledger.anchor()
        assert (again.status, again.gas_used, again.covered) == ("already anchored", 0, 0)
        assert again.receipt == outcome.receipt
        assert len(anchored_events(ledger)) == 2
        with ledger.chain() as chain:
            assert chain.nonce(ledger.account().address) == 3  # the deployment and two anchors

        trust = ledger.trust_roots(with_blocks=True)
        for number in random.Random(36).sample(range(DATASETS), 20):
            _check(ledger, receipts[number].name, number + 1, tmp_path / f"{number:04}.csv")
            finding = ContentFinding(ledger.dataset(receipts[number].name).digest, "in hand")
            report = verify_bundle(
                ledger.bundle(receipts[number].name), trust, contents={receipts[number].name: finding}
            )
            assert report.sound
            assert report.level is not None and report.level.name == "D2"
        fsck = ledger.fsck(independent=True)
        assert fsck.clean, fsck.findings
        assert (fsck.entries, fsck.anchors, fsck.independent_proofs) == (DATASETS + 1, 2, DATASETS + 1)


def _check(ledger: Ledger, name: str, index: int, path: Path) -> None:
    """The dataset in `path` is verified at D2, and its proof leads to the very root that the chain holds."""
    report = ledger.verify(path)
    statuses = {check.id: str(check.status) for check in report.checks}
    assert (report.target, report.sound) == (name, True)
    assert report.level is not None and report.level.name == "D2"
    assert (statuses["anchor.receipt"], statuses["anchor.block"], statuses["lineage"]) == ("passed",) * 3
    assert report.missing == ("quality",)
    proof = parse_proof(ledger.log.inclusion(index))
    leaf = entry_leaf(ledger.log.entry(index).envelope)
    checkpoint = verify_proof(proof, leaf, parse_vkey(ledger.keyring.vkey)).checkpoint
    event = anchored_events(ledger)[-1]
    assert (checkpoint.size, checkpoint.root) == (event.size, event.root)


def _file(folder: Path, number: int) -> Path:
    path = folder / f"{number:04}.csv"
    path.write_text(f"station,reading\n{number},{number * 7}\n")
    return path
