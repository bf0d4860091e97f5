"""HTTPS endpoints: certificates are checked, and a connection is kept open."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from provenance.chains.provider import BoundedProvider
from provenance.chains.transport import Transport, parse_address
from provenance.errors import ChainError
from tests.unit.chains.hostile import answering, call, endpoint


def certificate(folder: Path, host: str) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for an IP address, and a server context that uses it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    encoded_key = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + encoded_key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context


def client(port: int) -> BoundedProvider:
    return BoundedProvider(Transport(parse_address(f"https://127.0.0.1:{port}/"), timeout_s=5))


def test_a_trusted_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, context = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with endpoint(answering(lambda method, params: method), context=context) as port:
        provider = client(port)
        assert [call(provider, f"m{i}") for i in range(3)] == ["m0", "m1", "m2"]
        provider.close()


def test_an_unknown_certificate(tmp_path: Path) -> None:
    _, context = certificate(tmp_path, "127.0.0.1")
    with (
        endpoint(answering(lambda method, params: method), context=context) as port,
        pytest.raises(ChainError, match="no valid certificate; got self-signed certificate"),
    ):
        call(client(port), "m")


def test_another_hosts_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, context = certificate(tmp_path, "127.0.0.2")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with (
        endpoint(answering(lambda method, params: method), context=context) as port,
        pytest.raises(ChainError, match="no valid certificate; got IP address mismatch"),
    ):
        call(client(port), "m")


def test_plain_http_where_tls_was_expected() -> None:
    def speaks_http(connection: ssl.SSLSocket | object) -> None:
        connection.recv(1000)  # type: ignore[union-attr]
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")  # type: ignore[union-attr]

    with endpoint(speaks_http) as port, pytest.raises(ChainError, match="cannot be reached"):
        call(client(port), "m")
