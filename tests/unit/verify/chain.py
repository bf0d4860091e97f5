"""A chain in memory that anchors forged logs, a block each time."""

from __future__ import annotations

from dataclasses import dataclass, field

from provenance.anchor import AnchorReceipt, build_receipt, encode_anchor, origin_id
from provenance.policy import TrustedAnchor, TrustedBlock
from tests.unit.anchor.evm import CHAIN_ID, Call, Evm
from tests.unit.verify.forge import Log


@dataclass
class AnchoringChain:
    """One contract and one publisher; `receipts` in the order of their blocks."""

    evm: Evm = field(default_factory=lambda: Evm(1))
    receipts: list[AnchorReceipt] = field(default_factory=list)
    contract: bytes = b""

    def __post_init__(self) -> None:
        self.contract = self.evm.deploy(0)

    def anchor(self, log: Log) -> AnchorReceipt:
        """The receipt of a log as it is now."""
        size, root = len(log.envelopes), log._reader().root_at(len(log.envelopes))
        block = self.evm.mine([Call(0, self.contract, encode_anchor(origin_id(log.signer.name), size, root))])
        receipt = build_receipt(
            chain_id=CHAIN_ID,
            client="py-evm",
            development=True,
            finality="a test",
            contract="0x" + self.contract.hex(),
            publisher="0x" + self.evm.address(0).hex(),
            origin=log.signer.name,
            size=size,
            root=root,
            transaction=block.transactions[0],
            transaction_index=0,
            header=block.header,
            receipts=block.receipts,
        )
        self.receipts.append(receipt)
        return receipt

    @property
    def anchors(self) -> tuple[TrustedAnchor, ...]:
        """What a verifier trusts of it."""
        return tuple({TrustedAnchor(one.chain_id, one.contract, one.publisher) for one in self.receipts})

    @property
    def blocks(self) -> tuple[TrustedBlock, ...]:
        """Its blocks, for a verifier that has no chain to ask."""
        return tuple(TrustedBlock(one.chain_id, one.block_number, one.block_hash) for one in self.receipts)
