"""How web3 reaches an endpoint: JSON-RPC 2.0 through the bounded transport.

Invariants: web3 sees a result only if it answers the request that was made and has the shape of its method; an error
object, an answer that is not JSON-RPC and everything that fails while an answer is read is a `ChainError`; what an
endpoint says is shown without the secrets of its URL. Nothing is cached and nothing is asked twice, and an answer to
`eth_call` that names other URLs (EIP-3668) is an error like any other: they are never opened.

Example: {"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]} is answered with
{"jsonrpc":"2.0","id":1,"result":"0x1"}.

Source: JSON-RPC 2.0; Ethereum execution API specification.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

from eth_typing import HexStr
from web3.eth import Eth
from web3.exceptions import Web3Exception
from web3.method import Method
from web3.providers.base import BaseProvider
from web3.types import BlockData, RPCEndpoint, RPCResponse

from provenance.chains.answers import DATA, check_answer
from provenance.chains.transport import Transport
from provenance.encoding.json import parse_json
from provenance.errors import ChainError, MalformedError
from provenance.limits import MAX_HTTP_RESPONSE_BYTES

METHOD_NOT_FOUND: Final = -32601
_UNREADABLE: Final = (
    Web3Exception,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""web3's formatters have no one base of what they raise about fields that nothing here reads."""


class AnswerError(ChainError):
    """The endpoint answered a call with an error object: its code, its message, and its data if that is bytes."""

    def __init__(self, method: str, code: int, message: str, data: bytes, where: str) -> None:
        super().__init__(f"chain endpoint refuses {method}", got=f"{message} (code {code})", where=where)
        self.code, self.text, self.data = code, message, data


class BoundedProvider(BaseProvider):
    """What `Web3` sends its requests through; safe for threads."""

    global_ccip_read_enabled = False

    def __init__(self, transport: Transport) -> None:
        super().__init__(cache_allowed_requests=False)
        self.label = transport.address.label
        self._transport = transport
        self._ids = itertools.count(1)

    def __repr__(self) -> str:
        return f"BoundedProvider({self.label})"

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """The answer with its result. `AnswerError` if the endpoint refuses, another `ChainError` for anything else.

        web3 would keep an error object in its own exception, secrets and all, and in the case of a revert decode it
        with code that warns and fails on what it does not know: it is given none.
        """
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
        with self.reading():
            check_answer(method, answer["result"])
        return {"jsonrpc": "2.0", "id": number, "result": answer["result"]}

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within it, everything that an answer makes fail is a `ChainError` that says where."""
        try:
            yield
        except MalformedError as error:
            got = None if error.got is None else self._transport.address.redact(error.got)
            raise self._failure(f"sent no valid {error.what}", expected=error.expected, got=got) from None
        except _UNREADABLE as error:
            # `from None`: web3 repeats the answer in what it raises.
            raise self._failure("sent no valid answer", got=type(error).__name__) from None

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def _refusal(self, method: str, error: dict[str, Any]) -> AnswerError:
        code = error.get("code")
        data = error.get("data")
        if isinstance(data, dict):
            data = data.get("data")
        # Some clients write a word before the hex: `Reverted 0x...`.
        text = data.split()[-1] if isinstance(data, str) and data.strip() else ""
        revert = bytes.fromhex(text[2:]) if DATA.pattern.fullmatch(text) else b""
        message = self._transport.address.redact(str(error.get("message", "no message")))
        return AnswerError(method, code if isinstance(code, int) else 0, message, revert, self.label)

    def _failure(self, what: str, **details: str | None) -> ChainError:
        return ChainError(f"chain endpoint {what}", where=self.label, **details)


class Endpoint(Eth):
    """web3's `eth` methods, and what it lacks.

    web3's own `get_block` keeps the name of the method it chose in an object that all threads and chains share, so
    that one thread may ask with another's method: here each has its own.
    """

    block_by_hash: Method[Callable[[HexStr, bool], BlockData]] = Method(RPCEndpoint("eth_getBlockByHash"))
    block_by_number: Method[Callable[[int | str, bool], BlockData]] = Method(RPCEndpoint("eth_getBlockByNumber"))
    raw_header: Method[Callable[[HexStr], str | None]] = Method(RPCEndpoint("debug_getRawHeader"))
    raw_receipts: Method[Callable[[HexStr], list[str] | None]] = Method(RPCEndpoint("debug_getRawReceipts"))


def _parse(body: bytes) -> Any:
    """The JSON value of an answer, None if it is none or nested too deeply."""
    try:
        return parse_json(body, what="answer", max_bytes=MAX_HTTP_RESPONSE_BYTES)
    except MalformedError:
        return None


def _hint(status: int) -> str:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return "check the key in the endpoint's URL"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "the endpoint limits requests: wait and run again"
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return "redirects are not followed: use the final URL"
    return "check the endpoint's URL, or run again"
