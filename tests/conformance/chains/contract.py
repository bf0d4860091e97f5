"""A contract of a few bytes, assembled by hand, and transactions for it.

Called with data, it stores the first word, logs it as a topic and as data, and returns it. Called with nothing, it
reverts with the four bytes deadbeef.
"""

from __future__ import annotations

from typing import Any

from eth_account import Account

from provenance.chains import Chain

RUNTIME = bytes.fromhex(
    "36601057"  # calldatasize, jump to 0x10 if there is any
    "63deadbeef5f526004601cfd"  # mstore(0, deadbeef), revert(28, 4)
    "5b5f355f55"  # jumpdest, sstore(0, calldata word 0)
    "60205f5f37"  # calldatacopy(0, 0, 32)
    "5f3560205fa1"  # log1(0, 32, calldata word 0)
    "60205ff3"  # return(0, 32)
)
CREATION = bytes.fromhex(f"60{len(RUNTIME):02x}8060095f395ff3") + RUNTIME
REASON = bytes.fromhex("deadbeef")
GAS = 200_000


def word(number: int) -> bytes:
    """32 bytes, big-endian."""
    return number.to_bytes(32, "big")


def sign(key: bytes, chain: Chain, *, nonce: int, to: str | None, data: bytes = b"", **changes: Any) -> bytes:
    """A signed EIP-1559 transaction with this chain's fees; `changes` replace its fields, None removes one."""
    fees = chain.fees()
    fields: dict[str, Any] = {
        "type": 2,
        "chainId": chain.info().chain_id,
        "nonce": nonce,
        "maxFeePerGas": fees.max_fee_per_gas,
        "maxPriorityFeePerGas": fees.max_priority_fee_per_gas,
        "gas": GAS,
        "value": 0,
        "data": data,
        "to": to,
    }
    fields |= changes
    signed = Account.from_key(key).sign_transaction({name: v for name, v in fields.items() if v is not None})
    return bytes(signed.raw_transaction)
