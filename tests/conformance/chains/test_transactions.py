"""What every chain does with transactions."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from eth_account import Account

from provenance.anchor.keccak import keccak256
from provenance.chains import MAX_TRANSACTION_BYTES, RejectedError, RevertedError, TransactionReceipt
from provenance.errors import ChainError
from tests.conformance.chains.beds import Bed
from tests.conformance.chains.contract import CREATION, REASON, RUNTIME, sign, word


def mined(bed: Bed, raw: bytes) -> TransactionReceipt:
    receipt = bed.chain.receipt(bed.chain.send_raw(raw), timeout_s=20)
    assert receipt is not None
    return receipt


def call_contract(bed: Bed, contract: str, number: int) -> bytes:
    return sign(bed.key, bed.chain, nonce=bed.chain.nonce(bed.address), to=contract, data=word(number))


def test_deployment(bed: Bed, deployed: TransactionReceipt, contract: str) -> None:
    assert bed.chain.code(contract) == RUNTIME
    assert deployed.logs == ()
    assert 50_000 < deployed.gas_used < 100_000
    assert bed.chain.code(bed.address) == b""


def test_event(bed: Bed, contract: str) -> None:
    raw = call_contract(bed, contract, 7)
    transaction = bed.chain.send_raw(raw)
    assert transaction == keccak256(raw)
    receipt = bed.chain.receipt(transaction, timeout_s=20)
    assert receipt is not None
    assert (receipt.transaction, receipt.status, receipt.transaction_index) == (transaction, 1, 0)
    assert receipt.contract_address is None
    (log,) = receipt.logs
    assert (log.address, log.topics, log.data, log.index) == (contract, (word(7),), word(7), 0)
    assert bed.chain.block_hash(receipt.block_number) == receipt.block_hash


def test_a_repeated_transaction_succeeds_once(bed: Bed, contract: str) -> None:
    nonce = bed.chain.nonce(bed.address)
    raw = call_contract(bed, contract, 8)
    first = mined(bed, raw)
    spent = bed.chain.balance(bed.address)
    assert [bed.chain.send_raw(raw) for _ in range(3)] == [first.transaction] * 3
    assert bed.chain.receipt(first.transaction, timeout_s=0) == first
    assert bed.chain.nonce(bed.address) == nonce + 1
    assert bed.chain.balance(bed.address) == spent


def test_a_reverted_transaction_is_mined(bed: Bed, contract: str) -> None:
    nonce = bed.chain.nonce(bed.address)
    receipt = mined(bed, sign(bed.key, bed.chain, nonce=nonce, to=contract))
    assert (receipt.status, receipt.logs, receipt.contract_address) == (0, (), None)
    assert receipt.gas_used > 21_000
    assert bed.chain.nonce(bed.address) == nonce + 1


def test_a_failed_deployment_has_no_contract(bed: Bed) -> None:
    nonce = bed.chain.nonce(bed.address)
    receipt = mined(bed, sign(bed.key, bed.chain, nonce=nonce, to=None, data=bytes.fromhex("5f5ffd")))
    assert (receipt.status, receipt.contract_address) == (0, None)


def test_call(bed: Bed, contract: str) -> None:
    head = bed.chain.info().head
    assert bed.chain.call(contract, word(9)) == word(9)
    assert bed.chain.call(f"0x{'5' * 40}", word(9)) == b""
    with pytest.raises(RevertedError) as caught:
        bed.chain.call(contract, b"")
    assert caught.value.data == REASON
    assert bed.chain.info().head == head


def test_estimate_suffices_and_is_not_wasteful(bed: Bed, contract: str) -> None:
    for to, data in ((contract, word(2**255 + 3)), (None, CREATION)):
        gas = bed.chain.estimate_gas(sender=bed.address, to=to, data=data)
        raw = sign(bed.key, bed.chain, nonce=bed.chain.nonce(bed.address), to=to, data=data, gas=gas)
        receipt = mined(bed, raw)
        assert receipt.status == 1
        assert receipt.gas_used <= gas <= receipt.gas_used + 20_000


def test_estimate_of_calldata_covers_its_floor(bed: Bed) -> None:
    data = bytes(500) + b"\xff" * 500
    gas = bed.chain.estimate_gas(sender=bed.address, to=bed.address, data=data)
    assert gas >= 21_000 + 10 * 500 + 40 * 500
    raw = sign(bed.key, bed.chain, nonce=bed.chain.nonce(bed.address), to=bed.address, data=data, gas=gas)
    assert mined(bed, raw).gas_used == 21_000 + 10 * 500 + 40 * 500


def test_estimate_of_a_revert(bed: Bed, contract: str) -> None:
    with pytest.raises(RevertedError) as caught:
        bed.chain.estimate_gas(sender=bed.address, to=contract, data=b"")
    assert caught.value.data == REASON


def test_every_transaction_type(bed: Bed, contract: str) -> None:
    price = bed.chain.fees().max_fee_per_gas
    legacy = {"type": None, "maxFeePerGas": None, "maxPriorityFeePerGas": None, "gasPrice": price}
    authorization = Account.create().sign_authorization(
        {"chainId": bed.chain.info().chain_id, "address": contract, "nonce": 0}
    )
    for kind, changes in (
        (0, legacy),
        (1, legacy | {"type": 1, "accessList": []}),
        (2, {}),
        (4, {"type": 4, "accessList": [], "authorizationList": [authorization]}),
    ):
        nonce = bed.chain.nonce(bed.address)
        receipt = mined(bed, sign(bed.key, bed.chain, nonce=nonce, to=contract, data=word(kind), **changes))
        assert receipt.status == 1
        assert receipt.logs[0].topics == (word(kind),)
        (encoded,) = bed.chain.block_receipts(receipt.block_hash)
        assert encoded[0] == kind if kind else encoded[0] >= 0xC0


def test_used_nonce_is_refused(bed: Bed, contract: str) -> None:
    nonce, balance = bed.chain.nonce(bed.address), bed.chain.balance(bed.address)
    with pytest.raises(RejectedError):
        bed.chain.send_raw(sign(bed.key, bed.chain, nonce=nonce - 1, to=contract, data=word(1), gas=123_456))
    assert (bed.chain.nonce(bed.address), bed.chain.balance(bed.address)) == (nonce, balance)


def test_other_chains_transactions_are_refused(bed: Bed, contract: str) -> None:
    nonce = bed.chain.nonce(bed.address)
    for changes in ({"chainId": 1}, {"chainId": 1, "type": None, "maxFeePerGas": None, "maxPriorityFeePerGas": None}):
        fields = changes if "type" not in changes else changes | {"gasPrice": bed.chain.fees().max_fee_per_gas}
        raw = sign(bed.key, bed.chain, nonce=nonce, to=contract, data=word(1), **fields)
        with pytest.raises(RejectedError, match="another chain"):
            bed.chain.send_raw(raw)
    assert bed.chain.nonce(bed.address) == nonce


def test_those_who_cannot_pay_are_refused(bed: Bed, contract: str) -> None:
    poor = Account.create()
    raw = sign(bytes(poor.key), bed.chain, nonce=0, to=contract, data=word(1))
    with pytest.raises(RejectedError):
        bed.chain.send_raw(raw)
    assert bed.chain.nonce(poor.address) == 0
    assert bed.chain.receipt(keccak256(raw), timeout_s=0) is None


def test_gas_below_the_intrinsic_cost_is_refused(bed: Bed, contract: str) -> None:
    nonce = bed.chain.nonce(bed.address)
    with pytest.raises(RejectedError):
        bed.chain.send_raw(sign(bed.key, bed.chain, nonce=nonce, to=contract, data=word(1), gas=20_000))
    assert bed.chain.nonce(bed.address) == nonce


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\x02", b"\x02\xc0", b"\xc0", b"\x7f", b"\xff" * 40, b"\x03\xc0"])
def test_garbage_is_refused(bed: Bed, raw: bytes) -> None:
    with pytest.raises(RejectedError):
        bed.chain.send_raw(raw)


def test_a_transaction_that_is_too_large_is_refused(bed: Bed) -> None:
    with pytest.raises(RejectedError, match="too large"):
        bed.chain.send_raw(b"\x02" * (MAX_TRANSACTION_BYTES + 1))


def test_every_byte_of_a_transaction_counts(bed: Bed, contract: str) -> None:
    nonce = bed.chain.nonce(bed.address)
    raw = sign(bed.key, bed.chain, nonce=nonce, to=contract, data=word(3))
    for position in range(len(raw)):
        mutated = bytearray(raw)
        mutated[position] ^= 1 << random.Random(position).randrange(8)
        with pytest.raises(RejectedError):
            bed.chain.send_raw(bytes(mutated))
        with pytest.raises(RejectedError):
            bed.chain.send_raw(raw[:position])
    with pytest.raises(RejectedError):
        bed.chain.send_raw(raw + b"\x00")
    assert bed.chain.nonce(bed.address) == nonce
    assert mined(bed, raw).status == 1


def test_unknown_transactions_have_no_receipt(bed: Bed) -> None:
    assert bed.chain.receipt(word(1), timeout_s=0) is None
    assert bed.chain.receipt(word(1), timeout_s=0.2) is None
    with pytest.raises(ChainError, match="32 bytes"):
        bed.chain.receipt(b"short", timeout_s=0)


@pytest.mark.parametrize("address", ["", "0x", "0x12", "1" * 42, f"0x{'g' * 40}", f"0x{'aB' * 20}"])
def test_bad_addresses(bed: Bed, address: str) -> None:
    for use in (
        lambda: bed.chain.balance(address),
        lambda: bed.chain.nonce(address),
        lambda: bed.chain.code(address),
        lambda: bed.chain.call(address, b""),
        lambda: bed.chain.estimate_gas(sender=address, to=None, data=b""),
        lambda: bed.chain.estimate_gas(sender=bed.address, to=address, data=b""),
    ):
        with pytest.raises(ChainError, match="address"):
            use()


def test_threads_take_turns(bed: Bed, contract: str) -> None:
    nonce = bed.chain.nonce(bed.address)
    raws = [sign(bed.key, bed.chain, nonce=nonce + i, to=contract, data=word(i + 1)) for i in range(8)]

    def read(number: int) -> bytes:
        assert bed.chain.balance(bed.address) > 0
        return bed.chain.call(contract, word(number))

    with ThreadPoolExecutor(8) as threads:
        reads = [threads.submit(read, number) for number in range(1, 40)]
        sent = [bed.chain.send_raw(raw) for raw in raws]
        repeated = list(threads.map(bed.chain.send_raw, raws * 2))
        assert [job.result() for job in reads] == [word(number) for number in range(1, 40)]
    assert repeated == sent * 2
    receipts = [bed.chain.receipt(name, timeout_s=20) for name in sent]
    assert all(receipt is not None and receipt.status == 1 for receipt in receipts)
    assert bed.chain.nonce(bed.address) == nonce + 8
