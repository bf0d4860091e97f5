"""JSON-RPC 2.0 calls, and the strict reading of what comes back.

Invariants: a result is returned only for the request that was made; an answer that is not JSON-RPC, or a value that is
not of its type, is a `ChainError`; what an endpoint says is shown without the secrets of its URL.

Example: {"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]} is answered with
{"jsonrpc":"2.0","id":1,"result":"0x1"}; quantities are hex without padding, data is hex of whole bytes.

Source: JSON-RPC 2.0; Ethereum execution API specification.
"""

from __future__ import annotations

import itertools
import json
import re
from http import HTTPStatus
from typing import Any, Final

from provenance.anchor.hexdata import checksum_address
from provenance.chains.transport import Transport
from provenance.errors import ChainError

METHOD_NOT_FOUND: Final = -32601
MAX_UINT256: Final = 2**256 - 1
_MAX_DEPTH: Final = 64
_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{]|[\]}]', re.DOTALL)
"""Strings, so that brackets inside them do not count, and brackets."""
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


class AnswerError(ChainError):
    """The endpoint answered a call with an error object: its code, its message, and its data if that is bytes."""

    def __init__(self, method: str, code: int, message: str, data: bytes, where: str) -> None:
        super().__init__(f"chain endpoint refuses {method}", got=f"{message} (code {code})", where=where)
        self.code, self.text, self.data = code, message, data


class RpcClient:
    """Calls methods of one endpoint."""

    def __init__(self, transport: Transport) -> None:
        self.label = transport.address.label
        self._transport = transport
        self._ids = itertools.count(1)

    def call(self, method: str, *params: Any) -> Any:
        """The result of `method`. `AnswerError` if the endpoint refuses, another `ChainError` for anything else."""
        number = next(self._ids)
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
        status, body = self._transport.post(json.dumps(request, separators=(",", ":")).encode())
        answer = _parse(body)
        error = answer.get("error") if isinstance(answer, dict) else None
        if isinstance(error, dict):
            raise self._refusal(method, error)
        if status != HTTPStatus.OK:
            raise self._failure(f"failed on {method}", expected="HTTP 200", got=f"HTTP {status}", hint=_hint(status))
        if not isinstance(answer, dict) or "result" not in answer:
            got = "JSON" if answer is not None else f"{len(body)} bytes that are not JSON"
            raise self._failure(f"does not speak JSON-RPC on {method}", expected="a result or an error", got=got)
        if answer.get("id") != number:
            raise self._failure(f"answered another request than {method}", expected=f"id {number}", got="another id")
        return answer["result"]

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def quantity(self, value: Any, what: str, *, maximum: int = MAX_UINT256) -> int:
        """The integer of a hex quantity, at most `maximum`."""
        if not isinstance(value, str) or not _QUANTITY.fullmatch(value) or int(value, 16) > maximum:
            raise self._wrong(what, f"a hex quantity of at most {maximum:#x}", value)
        return int(value, 16)

    def data(self, value: Any, what: str, *, size: int | None = None) -> bytes:
        """The bytes of hex data, exactly `size` if that is given."""
        if not isinstance(value, str) or not _DATA.fullmatch(value):
            raise self._wrong(what, "hex bytes", value)
        if size is not None and len(value) != 2 + 2 * size:
            raise self._wrong(what, f"{size} bytes", value)
        return bytes.fromhex(value[2:])

    def address(self, value: Any, what: str) -> str:
        """The EIP-55 text of an address in hex."""
        return checksum_address(self.data(value, what, size=20))

    def object(self, value: Any, what: str) -> dict[str, Any]:
        """A JSON object."""
        if not isinstance(value, dict):
            raise self._wrong(what, "an object", value)
        return value

    def array(self, value: Any, what: str) -> list[Any]:
        """A JSON array."""
        if not isinstance(value, list):
            raise self._wrong(what, "a list", value)
        return value

    def _wrong(self, what: str, expected: str, value: Any) -> ChainError:
        got = self._redact(value) if isinstance(value, str) else type(value).__name__
        return self._failure(f"sent no valid {what}", expected=expected, got=got)

    def _refusal(self, method: str, error: dict[str, Any]) -> AnswerError:
        code = error.get("code")
        data = error.get("data")
        if isinstance(data, dict):
            data = data.get("data")
        # Some clients write a word before the hex: `Reverted 0x...`.
        text = data.split()[-1] if isinstance(data, str) and data.strip() else ""
        revert = bytes.fromhex(text[2:]) if _DATA.fullmatch(text) else b""
        message = self._redact(str(error.get("message", "no message")))
        return AnswerError(method, code if isinstance(code, int) else 0, message, revert, self.label)

    def _failure(self, what: str, *, expected: str, got: str, hint: str | None = None) -> ChainError:
        return ChainError(f"chain endpoint {what}", expected=expected, got=got, where=self.label, hint=hint)

    def _redact(self, text: str) -> str:
        return self._transport.address.redact(text)


def _parse(body: bytes) -> Any:
    """The JSON value of an answer, None if it is none."""
    if _is_deep(body):
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _is_deep(body: bytes) -> bool:
    """Whether JSON is nested too deeply for any answer.

    Seen before parsing: EVM libraries raise Python's recursion limit so far that the parser would overflow the stack.
    """
    if body.count(b"[") + body.count(b"{") <= _MAX_DEPTH:
        return False
    depth = 0
    for token in _BRACKETS.finditer(body):
        kind = token[0][:1]
        depth += (kind in b"[{") - (kind in b"]}")
        if depth > _MAX_DEPTH:
            return True
    return False


def _hint(status: int) -> str:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return "check the key in the endpoint's URL"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "the endpoint limits requests: wait and run again"
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return "redirects are not followed: use the final URL"
    return "check the endpoint's URL, or run again"
