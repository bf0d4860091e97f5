"""An Ethereum JSON-RPC server over an embedded chain, for tests: `python -m ... FOLDER FUNDED...`.

It prints its port, serves on the loopback address, and ends when its standard input does. Headers and receipts are
decoded by py-evm and pyrlp, not by the code under test, which has to put them together again.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import rlp
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth.vm.forks.prague.receipts import PragueReceiptBuilder
from eth_hash.auto import keccak

from provenance.chains import RejectedError, RevertedError, TransactionReceipt
from provenance.chains.embedded import EmbeddedChain
from provenance.errors import ChainError

CLIENT = "provenance-test-server"


class RpcError(Exception):
    """An error object: code, message, data."""


class Methods:
    """The methods of the execution API that a chain client needs, by name."""

    def __init__(self, chain: EmbeddedChain, *, without: frozenset[str] = frozenset()) -> None:
        self._chain, self._without = chain, without
        self._mined: dict[bytes, bytes] = {}
        """Block hash to the one transaction in it."""

    def answer(self, name: str, params: list[Any]) -> Any:
        method: Callable[..., Any] | None = None if name in self._without else getattr(self, name, None)
        if method is None or "_" not in name:
            raise RpcError(-32601, "the method does not exist", None)
        try:
            return method(*params)
        except RevertedError as error:
            raise RpcError(3, "execution reverted", f"0x{error.data.hex()}") from error
        except ChainError as error:
            raise RpcError(-32000, error.what, None) from error

    def web3_clientVersion(self) -> str:
        return CLIENT

    def eth_chainId(self) -> str:
        return hex(self._chain.info().chain_id)

    def eth_blockNumber(self) -> str:
        return hex(self._chain.finalized())

    def eth_getBalance(self, address: str, _block: str) -> str:
        return hex(self._chain.balance(address))

    def eth_getTransactionCount(self, address: str, _block: str) -> str:
        return hex(self._chain.nonce(address))

    def eth_getCode(self, address: str, _block: str) -> str:
        return f"0x{self._chain.code(address).hex()}"

    def eth_gasPrice(self) -> str:
        return hex(self._chain.fees().max_fee_per_gas)

    def eth_maxPriorityFeePerGas(self) -> str:
        return hex(self._chain.fees().max_priority_fee_per_gas)

    def eth_call(self, call: dict[str, str], _block: str) -> str:
        return f"0x{self._chain.call(call['to'], bytes.fromhex(call['data'][2:])).hex()}"

    def eth_estimateGas(self, call: dict[str, str], _block: str) -> str:
        data, value = bytes.fromhex(call["data"][2:]), int(call["value"], 16)
        return hex(self._chain.estimate_gas(sender=call["from"], to=call.get("to"), data=data, value_wei=value))

    def eth_sendRawTransaction(self, raw: str) -> str:
        transaction = bytes.fromhex(raw[2:])
        name = keccak(transaction)
        if self._chain.receipt(name, timeout_s=0) is not None:
            raise RejectedError("already known")  # which geth calls an error
        self._chain.send_raw(transaction)
        receipt = self._chain.receipt(name, timeout_s=0)
        if receipt is None:
            raise RejectedError("not mined")
        self._mined[receipt.block_hash] = name
        return _hex(name)

    def eth_getTransactionByHash(self, name: str) -> Any:
        receipt = self._chain.receipt(bytes.fromhex(name[2:]), timeout_s=0)
        return None if receipt is None else {"hash": name}

    def eth_getBlockByNumber(self, number: str, _full: bool) -> Any:
        height = self._chain.finalized() if number in ("latest", "finalized", "safe") else int(number, 16)
        block_hash = self._chain.block_hash(height)
        return None if block_hash is None else self.eth_getBlockByHash(f"0x{block_hash.hex()}", False)

    def eth_getBlockByHash(self, name: str, _full: bool) -> Any:
        try:
            encoded = self._chain.header(bytes.fromhex(name[2:]))
        except ChainError:
            return None
        header = rlp.decode(encoded, sedes=PragueBlockHeader)
        names = {"parent_hash": "parentHash", "uncles_hash": "sha3Uncles", "coinbase": "miner", "bloom": "logsBloom"}
        names |= {"receipt_root": "receiptsRoot", "transaction_root": "transactionsRoot", "block_number": "number"}
        block: dict[str, Any] = {"hash": name, "size": "0x400", "uncles": [], "withdrawals": []}
        for field in header._meta.field_names:
            value = getattr(header, field)
            words = field.split("_")
            text = f"0x{value:0512x}" if field == "bloom" else hex(value) if isinstance(value, int) else _hex(value)
            block[names.get(field, words[0] + "".join(w.capitalize() for w in words[1:]))] = text
        block["transactions"] = [r["transactionHash"] for r in self._receipts(bytes.fromhex(name[2:]))]
        return block

    def eth_getBlockReceipts(self, name: str) -> Any:
        return self._receipts(bytes.fromhex(name[2:]))

    def eth_getTransactionReceipt(self, name: str) -> Any:
        receipt = self._chain.receipt(bytes.fromhex(name[2:]), timeout_s=0)
        return None if receipt is None else self._receipts(receipt.block_hash)[receipt.transaction_index]

    def _receipts(self, block_hash: bytes) -> list[dict[str, Any]]:
        encoded = self._chain.block_receipts(block_hash)
        names = [self._mined[block_hash]] if encoded else []
        rows = [self._chain.receipt(name, timeout_s=0) for name in names]
        return [_receipt_object(row, data) for row, data in zip(rows, encoded, strict=True) if row is not None]


def _receipt_object(receipt: TransactionReceipt, encoded: bytes) -> dict[str, Any]:
    consensus = PragueReceiptBuilder.decode(encoded)
    place = {
        "transactionHash": _hex(receipt.transaction),
        "transactionIndex": hex(receipt.transaction_index),
        "blockHash": _hex(receipt.block_hash),
        "blockNumber": hex(receipt.block_number),
    }
    logs = [
        {
            "address": _hex(log.address),
            "topics": [f"0x{topic:064x}" for topic in log.topics],
            "data": _hex(log.data),
            "logIndex": hex(index),
            "removed": False,
            **place,
        }
        for index, log in enumerate(consensus.logs)
    ]
    return {
        **place,
        "type": hex(encoded[0] if encoded[0] < 0xC0 else 0),
        "status": hex(int.from_bytes(consensus.state_root, "big")),
        "cumulativeGasUsed": hex(consensus.gas_used),
        "gasUsed": hex(receipt.gas_used),
        "logsBloom": f"0x{consensus.bloom:0512x}",
        "contractAddress": None if receipt.contract_address is None else receipt.contract_address.lower(),
        "logs": logs,
    }


def _hex(data: bytes) -> str:
    return f"0x{bytes(data).hex()}"


def serve(methods: Methods) -> ThreadingHTTPServer:
    """A server on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
            try:
                answer["result"] = methods.answer(request["method"], request["params"])
            except RpcError as error:
                code, message, data = error.args
                answer["error"] = {"code": code, "message": message} | ({} if data is None else {"data": data})
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def main() -> None:
    folder, without, *funded = sys.argv[1:]
    chain = EmbeddedChain.open(Path(folder), funded=funded)
    server = serve(Methods(chain, without=frozenset(without.split(","))))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
    server.shutdown()
    server.server_close()
    chain.close()


if __name__ == "__main__":
    main()
