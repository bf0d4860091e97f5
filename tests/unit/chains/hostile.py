"""Endpoints that misbehave: a loopback server that runs one function on every connection."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from web3.types import RPCEndpoint

from provenance.chains.provider import BoundedProvider

Behaviour = Callable[[socket.socket], None]


@contextmanager
def endpoint(behaviour: Behaviour, *, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port on which `behaviour` is run for each connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    opened: list[socket.socket] = []

    def handle(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                behaviour(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                opened.append(connection)
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in opened:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        thread.join(timeout=5)


def read_request(connection: socket.socket) -> dict[str, Any] | None:
    """The JSON of the next request, None when the other side has hung up."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    assert length is not None
    while len(body) < int(length[1]):
        body += connection.recv(65536)
    request = json.loads(body)
    assert isinstance(request, dict)
    return request | {"head": head.decode()}


def respond(connection: socket.socket, body: bytes, *, status: str = "200 OK", headers: str = "") -> None:
    connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body)


def answering(answer: Callable[[str, list[Any]], Any]) -> Behaviour:
    """JSON-RPC that returns what `answer(method, params)` does; a dict with `error` is sent as an error object."""

    def behave(connection: socket.socket) -> None:
        while (request := read_request(connection)) is not None:
            found = answer(request["method"], request["params"])
            reply: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
            reply |= found if isinstance(found, dict) and "error" in found else {"result": found}
            respond(connection, json.dumps(reply).encode())

    return behave


def saying(body: bytes, *, status: str = "200 OK", headers: str = "") -> Behaviour:
    """The same HTTP answer to every request."""

    def behave(connection: socket.socket) -> None:
        while read_request(connection) is not None:
            respond(connection, body, status=status, headers=headers)

    return behave


def call(provider: BoundedProvider, method: str) -> Any:
    """The result of a method without parameters."""
    return provider.make_request(RPCEndpoint(method), [])["result"]
