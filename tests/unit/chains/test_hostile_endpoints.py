"""Endpoints that do not answer, answer too much, or answer something else."""

from __future__ import annotations

import socket
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from provenance.chains import open_chain
from provenance.chains.provider import BoundedProvider
from provenance.chains.transport import Address, Transport, parse_address
from provenance.errors import ChainError
from tests.unit.chains.hostile import Behaviour, answering, call, endpoint, read_request, respond, saying

SECRETS = ("hunter2secret", "PATHKEY0123456789", "QUERYKEY9876543210", "someuser")


def secret_url(port: int) -> str:
    return f"http://someuser:hunter2secret@127.0.0.1:{port}/v3/PATHKEY0123456789?apikey=QUERYKEY9876543210"


def failure(url: str, *, timeout_s: float = 2) -> ChainError:
    """The error of opening `url`, which says where and shows no secret, not even in its causes."""
    with pytest.raises(ChainError) as caught:
        open_chain(url, ledger_dir=Path("/nonexistent"), timeout_s=timeout_s).close()
    shown = "".join(traceback.format_exception(caught.value)) + str(caught.value) + str(caught.value.hint)
    shown = shown.replace(__file__, "")
    for secret in SECRETS:
        assert secret not in shown
    assert "http://127.0.0.1" in str(caught.value)
    assert "127.0.0.1" in (caught.value.where or "")
    return caught.value


def against(behaviour: Behaviour, *, timeout_s: float = 2) -> ChainError:
    with endpoint(behaviour) as port:
        return failure(secret_url(port), timeout_s=timeout_s)


def test_refused_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failure(secret_url(port))
    assert "cannot be reached" in str(error)
    assert error.hint


def test_unknown_host() -> None:
    with pytest.raises(ChainError, match="cannot be reached") as caught:
        open_chain("http://no-such-host.invalid/PATHKEY0123456789", ledger_dir=Path("/nonexistent"))
    assert "PATHKEY" not in str(caught.value)


def silent(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def drip_header(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        connection.sendall(b"a")
        time.sleep(0.05)


def drip_body(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.05)


def drip_chunks(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1\r\n \r\n")
        time.sleep(0.05)


@pytest.mark.parametrize("behaviour", [silent, drip_header, drip_body, drip_chunks])
def test_slow_answers_end_at_the_timeout(behaviour: Behaviour) -> None:
    started = time.monotonic()
    error = against(behaviour, timeout_s=0.5)
    assert 0.4 < time.monotonic() - started < 3
    assert "did not answer" in str(error)
    assert "0.5 s" in str(error)


def test_a_slow_tls_handshake_ends_at_the_timeout() -> None:
    def drip(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"\x16\x03\x03\x40\x00")  # a handshake record of 16 KiB, byte by byte
        while True:
            connection.sendall(b"\x02")
            time.sleep(0.05)

    with endpoint(drip) as port:
        started = time.monotonic()
        with pytest.raises(ChainError, match="did not answer"):
            open_chain(f"https://127.0.0.1:{port}/", ledger_dir=Path("/nonexistent"), timeout_s=0.5)
        assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>hello</html>",
        b"\xff\xfe",
        b"{",
        b"[]",
        b"3",
        b"null",
        b'"0x1"',
        b"{}",
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","id":999,"result":"0x1"}',
        b'{"jsonrpc":"2.0","id":null,"result":"0x1"}',
        b'{"jsonrpc":"2.0","id":1,"result":' + b"1" * 10_000 + b"}",
        b"[" * 200_000 + b"]" * 200_000,
        b'{"a":' * 200_000,
    ],
)
def test_answers_that_are_no_json_rpc(body: bytes) -> None:
    against(saying(body))


def test_deep_nesting_when_the_recursion_limit_is_high() -> None:
    import eth  # noqa: F401 it raises the limit

    error: list[ChainError] = []
    thread = threading.Thread(target=lambda: error.append(against(saying(b"[" * 1_000_000))))
    thread.start()
    thread.join()
    assert "not JSON" in str(error[0])


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "0x",
        "1",
        1,
        1.5,
        None,
        True,
        [],
        {},
        "0xzz",
        "0x-1",
        "-0x1",
        "0x" + "f" * 17,
        "0x" + "f" * 65,
        " 0x1",
        "0x1\n",
    ],
)
def test_chain_ids_that_are_none(answer: Any) -> None:
    assert "chain id" in str(against(answering(lambda method, params: answer)))


def announces_too_much(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")


def sends_too_much(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b" " * 65536)


def sends_too_many_chunks(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")


@pytest.mark.parametrize("behaviour", [announces_too_much, sends_too_much, sends_too_many_chunks])
def test_huge_answers(behaviour: Behaviour) -> None:
    error = against(behaviour, timeout_s=20)
    assert "sent too much" in str(error)
    assert "67108864" in str(error)


def hangs_up(connection: socket.socket) -> None:
    read_request(connection)


def is_cut_short(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"jsonrpc":"2.0"')


def is_cut_short_in_a_chunk(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc")


def speaks_another_protocol(connection: socket.socket) -> None:
    connection.sendall(b"220 mail.example ESMTP\r\n")
    read_request(connection)


def has_endless_headers(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000)


@pytest.mark.parametrize(
    "behaviour",
    [hangs_up, is_cut_short, is_cut_short_in_a_chunk, speaks_another_protocol, has_endless_headers],
)
def test_broken_http(behaviour: Behaviour) -> None:
    against(behaviour)


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        ("500 Internal Server Error", "again"),
        ("401 Unauthorized", "key"),
        ("403 Forbidden", "key"),
        ("404 Not Found", "URL"),
        ("429 Too Many Requests", "wait"),
        ("503 Service Unavailable", "again"),
    ],
)
def test_http_errors(status: str, hint: str) -> None:
    error = against(saying(b"PATHKEY0123456789 is not valid", status=status))
    assert f"HTTP {status[:3]}" in str(error)
    assert hint in (error.hint or "")


def test_redirects_are_not_followed() -> None:
    def must_not_be_asked(connection: socket.socket) -> None:
        raise AssertionError("the redirect was followed")

    with endpoint(must_not_be_asked) as other:
        headers = f"Location: http://127.0.0.1:{other}/\r\n"
        error = against(saying(b"", status="301 Moved Permanently", headers=headers))
    assert "HTTP 301" in str(error)
    assert "redirects" in (error.hint or "")


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "500 Internal Server Error"])
def test_error_objects_are_shown_without_secrets(status: str) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"key PATHKEY0123456789 of someuser expired"}}'
    error = against(saying(body, status=status))
    assert "key *** of *** expired (code -32000)" in str(error)


@pytest.mark.parametrize(
    "error", [{}, {"code": "x"}, {"code": 1, "message": {}}, {"message": "\x1b[31mred"}, {"data": 3}]
)
def test_strange_error_objects(error: dict[str, Any]) -> None:
    shown = str(against(answering(lambda method, params: {"error": error})))
    assert "\x1b" not in shown


def test_wrong_chain_id() -> None:
    block = {"number": "0x5", "hash": f"0x{'11' * 32}", "timestamp": "0x1"}
    methods: dict[str, Any] = {"eth_chainId": "0x1", "web3_clientVersion": "x", "eth_getBlockByNumber": block}
    with (
        endpoint(answering(lambda method, params: methods[method])) as port,
        pytest.raises(
            ChainError, match=r"chain id 5; got chain id 1; at chain 1 through http://127\.0\.0\.1"
        ) as caught,
    ):
        open_chain(secret_url(port), ledger_dir=Path("/nonexistent"), chain_id=5)
    assert "PATHKEY" not in str(caught.value)


def test_an_idle_connection_that_was_closed_is_opened_again() -> None:
    connections: list[int] = []

    def answers_once(connection: socket.socket) -> None:
        connections.append(1)
        request = read_request(connection)
        assert request is not None
        respond(connection, b'{"jsonrpc":"2.0","id":%d,"result":"0x1"}' % request["id"])

    with endpoint(answers_once) as port:
        provider = BoundedProvider(Transport(parse_address(f"http://127.0.0.1:{port}"), timeout_s=2))
        assert [call(provider, "eth_chainId") for _ in range(3)] == ["0x1"] * 3
        provider.close()
    assert len(connections) == 3


def test_a_connection_is_kept_open_and_credentials_are_sent() -> None:
    heads: list[str] = []
    connections: list[int] = []

    def behave(connection: socket.socket) -> None:
        connections.append(1)
        while (request := read_request(connection)) is not None:
            heads.append(request["head"])
            respond(connection, b'{"jsonrpc":"2.0","id":%d,"result":"0x1"}' % request["id"])

    with endpoint(behave) as port:
        provider = BoundedProvider(Transport(parse_address(secret_url(port)), timeout_s=2))
        assert [call(provider, "eth_chainId") for _ in range(3)] == ["0x1"] * 3
        assert "PATHKEY" not in repr(provider) + repr(provider._transport) + repr(provider._transport.address)
        provider.close()
    assert len(connections) == 1
    assert heads[0].startswith("POST /v3/PATHKEY0123456789?apikey=QUERYKEY9876543210 HTTP/1.1\r\n")
    assert "Authorization: Basic c29tZXVzZXI6aHVudGVyMnNlY3JldA==" in heads[0]


@pytest.mark.parametrize(
    "uri",
    [
        "http://",
        "http:///PATHKEY0123456789",
        "http://:80/PATHKEY0123456789",
        "http://[::1/PATHKEY0123456789",
        "http://host:port/PATHKEY0123456789",
        "http://host:99999/PATHKEY0123456789",
        "http://host/PATHKEY0123456789 ",
        "http://host/PATHKEY0123456789\r\nHost: x",
        "http://host/\x00PATHKEY0123456789",
        "http://h\u00f6st/PATHKEY0123456789",
        "http://host/PATHKEY0123456789" + "a" * 3000,
        "http://a..b/PATHKEY0123456789",
        f"http://{'a' * 70}.b/PATHKEY0123456789",
        "ftp://host/PATHKEY0123456789",
        "PATHKEY0123456789",
        "",
        "embedded:PATHKEY0123456789",
    ],
)
def test_bad_uris_are_not_repeated(uri: str) -> None:
    with pytest.raises(ChainError) as caught:
        open_chain(uri, ledger_dir=Path("/nonexistent"))
    assert "PATHKEY" not in "".join(traceback.format_exception(caught.value)).replace(__file__, "")


@pytest.mark.parametrize(
    ("uri", "label", "host", "port", "target"),
    [
        ("http://example.org", "http://example.org", "example.org", 80, "/"),
        ("https://example.org", "https://example.org", "example.org", 443, "/"),
        ("https://u:p@example.org:8443/a/b?c=d#e", "https://example.org:8443", "example.org", 8443, "/a/b?c=d"),
        ("http://[::1]:8545", "http://[::1]:8545", "::1", 8545, "/"),
        ("HTTP://Example.ORG/", "http://example.org", "example.org", 80, "/"),
    ],
)
def test_addresses(uri: str, label: str, host: str, port: int, target: str) -> None:
    address = parse_address(uri)
    assert (address.label, address.host, address.port, address.target) == (label, host, port, target)
    assert address.is_tls == label.startswith("https")


@pytest.mark.parametrize("make", [Address, Transport])
def test_nothing_secret_is_public_in_a_repr(make: Callable[..., object]) -> None:
    address = parse_address(secret_url(1))
    shown = repr(address if make is Address else Transport(address, timeout_s=1))
    assert "http://127.0.0.1:1" in shown
    assert not any(secret in shown for secret in SECRETS)


def test_percent_encoded_secrets_are_redacted_in_both_forms() -> None:
    address = parse_address("http://us%20er:p%2Fw%21d@h/k%C3%A9y0?x=a%20b%20c")
    assert address.redact("us%20er p%2Fw%21d k%C3%A9y0 a%20b%20c") == "*** *** *** ***"
    assert address.redact("us er|p/w!d|k\u00e9y0|a b c") == "***|***|***|***"
