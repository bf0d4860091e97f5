"""What an embedded chain was created with.

Invariants: written once, in the transaction that creates the chain, and never changed; a chain is opened by what is
written here and not by what its opener asks for.

Example: {"balance_ether":1000000,"chain_id":1886547830,"funded":["0x..."],"time_s":1750000000,"version":1}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from provenance.anchor.hexdata import checksum_address, parse_address
from provenance.chains.base import DEVELOPMENT_CHAIN_ID
from provenance.encoding.fields import Fields
from provenance.encoding.json import canonical_json, parse_json
from provenance.errors import ChainError, MalformedError
from provenance.limits import MAX_CONFIG_BYTES

GENESIS_VERSION: Final = 1
BALANCE_ETHER: Final = 1_000_000
MAX_FUNDED: Final = 1_000
_WEI = 10**18


@dataclass(frozen=True, slots=True)
class Genesis:
    """Chain id, creation time in Unix seconds, and who was given how much (EIP-55 addresses, ether each)."""

    chain_id: int
    time_s: int
    funded: tuple[str, ...]
    balance_ether: int

    @property
    def balance_wei(self) -> int:
        """Wei that each funded address starts with."""
        return self.balance_ether * _WEI

    def encode(self) -> bytes:
        """Canonical JSON that `parse_genesis` reads."""
        return canonical_json(
            {
                "version": GENESIS_VERSION,
                "chain_id": self.chain_id,
                "time_s": self.time_s,
                "funded": list(self.funded),
                "balance_ether": self.balance_ether,
            }
        )


def new_genesis(funded: Sequence[str], time_s: int) -> Genesis:
    """A genesis that funds each address once. `ChainError` if one is not an address."""
    if len(funded) > MAX_FUNDED:
        raise ChainError("too many funded addresses", expected=f"at most {MAX_FUNDED}", got=len(funded))
    try:
        addresses = sorted({parse_address(address, what="funded address") for address in funded})
    except MalformedError as error:
        raise ChainError(error.what, expected=error.expected, got=error.got) from error
    texts = tuple(checksum_address(address) for address in addresses)
    return Genesis(DEVELOPMENT_CHAIN_ID, time_s, texts, BALANCE_ETHER)


def parse_genesis(data: bytes) -> Genesis:
    """The genesis that `data` holds. `ChainError` if it is damaged or of another chain or version."""
    what = "embedded chain's genesis"
    try:
        fields = Fields(parse_json(data, what=what, max_bytes=MAX_CONFIG_BYTES), what)
        version = fields.integer("version")
        if version != GENESIS_VERSION:
            raise MalformedError(f"{what} has an unknown version", expected=GENESIS_VERSION, got=version)
        funded = tuple(
            checksum_address(parse_address(item, what="funded address"))
            for item in fields.array("funded", max_items=MAX_FUNDED)
        )
        genesis = Genesis(fields.integer("chain_id"), fields.integer("time_s"), funded, fields.integer("balance_ether"))
        fields.end()
    except MalformedError as error:
        raise ChainError(error.what, expected=error.expected, got=error.got, where=error.where) from error
    if genesis.chain_id != DEVELOPMENT_CHAIN_ID:
        raise ChainError(f"{what} is of another chain", expected=DEVELOPMENT_CHAIN_ID, got=genesis.chain_id)
    return genesis
