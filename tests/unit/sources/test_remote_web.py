"""Files on web servers, read from a real one that misbehaves in every way that a server can."""

from __future__ import annotations

import base64
import gzip
import hashlib
import random
import traceback
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from provenance.encoding import Digest
from provenance.errors import SourceError
from provenance.fingerprint import Algorithm, Fingerprint
from provenance.sources import Progress, Reading, open_source
from provenance.sources.remote import RemoteSource
from provenance.sources.remote.patience import Patience
from tests.simulators.tls import self_signed
from tests.simulators.web_server import (
    Handler,
    Page,
    WebServer,
    page_headers,
    redirect,
    silent,
    status,
    truncated,
)

QUICK = Patience(connect_s=2, head_s=2, read_s=2, attempts=4, first_wait_s=0.001, max_wait_s=0.005)
CONTENT = random.Random(3).randbytes(3 * 2**20 + 17)
SHA256 = Digest.of(CONTENT)


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.fixture
def page(web: WebServer) -> Page:
    made = Page(CONTENT)
    web.pages["/a.bin"] = made
    return made


def fingerprint(web: WebServer, path: str = "/a.bin", patience: Patience = QUICK) -> Fingerprint:
    return RemoteSource(web.url + path, patience=patience).fingerprint()


def refused(web: WebServer, path: str = "/a.bin", patience: Patience = QUICK) -> SourceError:
    with pytest.raises(SourceError) as raised:
        fingerprint(web, path, patience)
    return raised.value


def digest(found: Fingerprint) -> Digest:
    (entry,) = found.files
    return entry.digest


# ---- what is read --------------------------------------------------------------------------------------------------


def test_a_file_is_called_by_the_last_part_of_its_path(web: WebServer, page: Page) -> None:
    (entry,) = fingerprint(web).files
    assert (entry.path, entry.size, entry.digest) == ("a.bin", len(CONTENT), SHA256)
    web.pages["/d/caf%C3%A9%20%25.bin"] = page
    (entry,) = fingerprint(web, "/d/caf%C3%A9%20%25.bin").files
    assert entry.path == "café %.bin"


def test_the_fingerprint_is_that_of_the_same_file_here(web: WebServer, page: Page, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(CONTENT)
    assert fingerprint(web).digest == open_source(tmp_path / "a.bin").fingerprint().digest


def test_a_file_that_is_named_has_no_rules(web: WebServer, page: Page) -> None:
    found = RemoteSource(f"{web.url}/a.bin", Reading(ignore=("*",)), patience=QUICK).fingerprint()
    assert (digest(found), found.parameters.ignore) == (SHA256, ())


def test_blake3(web: WebServer, page: Page) -> None:
    found = RemoteSource(f"{web.url}/a.bin", Reading(algorithm=Algorithm.BLAKE3), patience=QUICK).fingerprint()
    assert digest(found).raw == blake3(CONTENT).digest()
    assert found.document.algorithm is Algorithm.BLAKE3


def test_an_empty_file(web: WebServer) -> None:
    web.pages["/empty"] = Page(b"")
    (entry,) = fingerprint(web, "/empty").files
    assert (entry.size, entry.digest) == (0, Digest.of(b""))


def test_identity_is_asked_for_and_no_part_of_the_file(web: WebServer, page: Page) -> None:
    fingerprint(web)
    (sent,) = web.asked("GET")
    assert sent.headers["accept-encoding"] == "identity"
    assert "range" not in sent.headers


def test_memory_does_not_grow_with_the_file(web: WebServer) -> None:
    web.pages["/big"] = Page(bytes(100 * 2**20))
    tracemalloc.start()
    try:
        fingerprint(web, "/big")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 10 * 2**20


@pytest.mark.parametrize("etag", ['"v1"', None])
def test_progress_reaches_the_end(web: WebServer, page: Page, etag: str | None) -> None:
    page.etag = etag
    seen: list[Progress] = []
    page.faults = [truncated(page, 2**20)]
    RemoteSource(f"{web.url}/a.bin", patience=QUICK).fingerprint(seen.append)
    assert seen[-1] == Progress(len(CONTENT), len(CONTENT), 1, 1)
    assert max(one.done_bytes for one in seen) == len(CONTENT)


@pytest.mark.parametrize("code", [403, 404, 405, 501])
def test_a_server_that_refuses_head(web: WebServer, page: Page, code: int) -> None:
    page.head_status = code
    assert digest(fingerprint(web)) == SHA256


def test_a_stored_coding_is_hashed_as_it_is(web: WebServer) -> None:
    stored = gzip.compress(b"hello" * 1_000)
    web.pages["/a.json"] = Page(stored, headers={"Content-Encoding": "gzip"})
    (entry,) = fingerprint(web, "/a.json").files
    assert (entry.size, entry.digest) == (len(stored), Digest.of(stored))


def test_a_server_that_compresses_as_it_sends_is_refused(web: WebServer, page: Page) -> None:
    def compressed(handler: Handler) -> None:
        handler.send(200, gzip.compress(CONTENT), {"Content-Encoding": "gzip"}, page=page)

    page.faults = [compressed]
    error = refused(web)
    assert error.what == "object changed while it was read"


def test_a_server_that_states_no_size_is_refused(web: WebServer, page: Page) -> None:
    page.is_length_stated = False
    assert refused(web).what == "server does not say how large the file is"


@pytest.mark.parametrize(
    "etag",
    [f'"{hashlib.md5(b"something else").hexdigest()}"', f'"{"ab" * 32}"', f'"{"0" * 64}"', 'W/"weak"', None, "bare"],
)
def test_an_etag_is_never_a_content_hash(web: WebServer, page: Page, etag: str | None) -> None:
    page.etag = etag
    for reading in (Reading(), Reading(declared_by="example.org")):
        found = RemoteSource(f"{web.url}/a.bin", reading, patience=QUICK).fingerprint()
        assert digest(found) == SHA256
        assert not found.parameters


# ---- interruptions -------------------------------------------------------------------------------------------------


def test_an_interrupted_read_goes_on_where_it_stopped(web: WebServer, page: Page) -> None:
    page.faults = [truncated(page, 2**20), truncated(page, 1), status(503)]
    assert digest(fingerprint(web)) == SHA256
    ranges = [one.headers.get("range") for one in web.asked("GET")]
    last = len(CONTENT) - 1
    assert ranges == [None, f"bytes={2**20}-{last}", f"bytes={2**20 + 1}-{last}", f"bytes={2**20 + 1}-{last}"]
    assert all(one.headers["if-range"] == '"v1"' for one in web.asked("GET")[1:])


@pytest.mark.parametrize("etag", [None, 'W/"v1"'])
def test_without_a_strong_etag_it_starts_anew(web: WebServer, page: Page, etag: str | None) -> None:
    page.etag = etag
    page.faults = [truncated(page, 2**20), truncated(page, 5)]
    assert digest(fingerprint(web)) == SHA256
    assert [one.headers.get("range") for one in web.asked("GET")] == [None] * 3


def test_a_server_that_knows_no_ranges(web: WebServer, page: Page) -> None:
    page.has_ranges = False
    page.faults = [truncated(page, 2**20)]
    assert digest(fingerprint(web)) == SHA256


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_a_server_that_recovers(web: WebServer, page: Page, code: int) -> None:
    page.faults = [status(code), status(code, {"Retry-After": "0"})]
    assert digest(fingerprint(web)) == SHA256


def test_a_server_that_does_not_recover(web: WebServer, page: Page) -> None:
    page.faults = [status(503)] * 100
    error = refused(web)
    assert (error.what, error.got) == ("store does not answer after 4 attempts", "HTTP status 503")
    assert len(web.asked("GET")) == 4


def test_a_server_that_drips_is_given_up(web: WebServer, page: Page) -> None:
    page.faults = [truncated(page, 1)] * 100
    refused(web)
    assert len(web.asked("GET")) == 4


def test_a_server_that_hangs(web: WebServer, page: Page) -> None:
    hasty = replace(QUICK, read_s=0.05, head_s=0.05, attempts=2)
    page.faults = [silent] * 100
    assert refused(web, patience=hasty).what == "store does not answer after 2 attempts"


def test_a_server_that_hangs_midway(web: WebServer, page: Page) -> None:
    def stuck(handler: Handler) -> None:
        handler.send(200, CONTENT[:1_000], page=page, length=len(CONTENT))
        handler.hang()

    page.faults = [stuck]
    assert digest(fingerprint(web, patience=replace(QUICK, read_s=0.2))) == SHA256
    assert web.asked("GET")[1].headers["range"].startswith("bytes=1000-")


def test_a_head_that_never_ends(web: WebServer, page: Page) -> None:
    def endless(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not handler.web.released.wait(0.01):
            handler.wfile.write(b"X-Filler: x\r\n"[:2])

    page.faults = [endless]
    assert digest(fingerprint(web, patience=replace(QUICK, head_s=0.2))) == SHA256


@pytest.mark.parametrize("cut", [20, 40, 60, 100])
def test_a_head_that_breaks_off(web: WebServer, page: Page, cut: int) -> None:
    def broken(handler: Handler) -> None:
        head = f'HTTP/1.1 200 OK\r\nContent-Length: {len(CONTENT)}\r\nETag: "v1"\r\nLast-Modified: {page.modified}'
        handler.wfile.write(head.encode()[:cut])
        handler.hang_up()

    page.faults = [broken]
    assert digest(fingerprint(web)) == SHA256


def test_a_body_that_trickles(web: WebServer, page: Page) -> None:
    def trickle(handler: Handler) -> None:
        handler.send(200, b"", page=page, length=len(CONTENT))
        for byte in CONTENT:
            handler.wfile.write(bytes([byte]))
            if handler.web.released.wait(0.005):
                return

    page.faults = [trickle]
    assert digest(fingerprint(web, patience=replace(QUICK, read_s=0.1))) == SHA256


def test_nobody_is_there(web: WebServer) -> None:
    closed = WebServer()
    url = closed.url
    closed._server.server_close()
    with pytest.raises(SourceError) as raised:
        RemoteSource(f"{url}/a", patience=QUICK).fingerprint()
    assert raised.value.got == "ConnectionRefusedError"


# ---- wrong answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_range",
    ["bytes 0-{last}/{size}", "bytes {start}-{last}/9999999", "bytes {start}-5/{size}", "items 1-2/3", "", "bytes */5"],
)
def test_a_wrong_content_range_is_refused(web: WebServer, page: Page, content_range: str) -> None:
    def wrong(handler: Handler) -> None:
        values = {"start": 2**20, "last": len(CONTENT) - 1, "size": len(CONTENT)}
        headers = {"Content-Range": content_range.format(**values)} if content_range else {}
        handler.send(206, CONTENT[2**20 :], headers, page=page)

    page.faults = [truncated(page, 2**20), wrong]
    assert refused(web).what in ("server sends another range", "object changed while it was read")


def test_a_part_in_place_of_the_whole_is_refused(web: WebServer, page: Page) -> None:
    def part(handler: Handler) -> None:
        headers = {"Content-Range": f"bytes 0-9/{len(CONTENT)}"}
        handler.send(206, CONTENT[:10], headers, page=page)

    page.faults = [part]
    assert refused(web).what == "server sends another range"


def test_more_than_was_stated_is_no_part_of_the_file(web: WebServer, page: Page) -> None:
    page.faults = [lambda handler: handler.send(200, CONTENT + b"more", page=page, length=len(CONTENT))]
    assert digest(fingerprint(web)) == SHA256


@pytest.mark.parametrize("change", [-1, 1, 10_000])
def test_another_length_than_was_listed(web: WebServer, page: Page, change: int) -> None:
    other = CONTENT + bytes(change) if change > 0 else CONTENT[:change]
    page.faults = [lambda handler: handler.send(200, other, page=page)]
    error = refused(web)
    assert (error.what, error.where) == ("object changed while it was read", f"{web.url}/a.bin")


def test_more_than_was_listed_without_a_length(web: WebServer, page: Page) -> None:
    def chunked(handler: Handler) -> None:
        handler.send_response(200)
        for name, value in {**page_headers(page), "Transfer-Encoding": "chunked", "Connection": "close"}.items():
            handler.send_header(name, value)
        handler.end_headers()
        for part in (CONTENT, b"more"):
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
        handler.wfile.write(b"0\r\n\r\n")

    page.faults = [chunked]
    assert refused(web).got == "more"


@pytest.mark.parametrize("lengths", [("5", "6"), ("-1",), ("5a",), ("9" * 30,), ("٣",)])
def test_a_length_that_is_none(web: WebServer, lengths: tuple[str, ...]) -> None:
    def wrong(handler: Handler) -> None:
        lines = "".join(f"Content-Length: {length}\r\n" for length in lengths)
        handler.wfile.write(f"HTTP/1.1 200 OK\r\n{lines}Connection: close\r\n\r\nhello".encode())

    web.pages["/a"] = wrong
    assert refused(web, "/a").what == "server states a length that is none"


def test_what_is_no_http(web: WebServer) -> None:
    def other(handler: Handler) -> None:
        handler.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n")

    web.pages["/a"] = other
    assert refused(web, "/a").got == "BadStatusLine"


@pytest.mark.parametrize(
    ("code", "what"),
    [(401, "not allowed to read"), (403, "not allowed to read"), (404, "no such object or folder"),
     (410, "no such object or folder"), (400, "cannot read"), (304, "cannot read"), (204, "cannot read")],
)  # fmt: skip
def test_statuses_that_do_not_go_away(web: WebServer, code: int, what: str) -> None:
    web.pages["/a"] = status(code)
    assert refused(web, "/a").what == what
    assert len(web.asked("GET")) <= 1


# ---- change --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("etag", ['"v1"', None])
@pytest.mark.parametrize("field", ["etag", "modified", "content", "headers"])
def test_a_change_before_the_end_is_named(web: WebServer, page: Page, field: str, etag: str | None) -> None:
    page.etag = etag
    after = {"etag": '"v2"', "modified": "Fri, 20 Nov 2026 12:00:01 GMT", "content": CONTENT + b"x"}
    value = after.get(field, {"Content-Encoding": "br"})
    page.after = [lambda: setattr(page, field, value)]
    error = refused(web)
    assert (error.what, error.where) == ("object changed while it was read", f"{web.url}/a.bin")


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_change_between_two_parts(web: WebServer, page: Page, has_ranges: bool) -> None:
    page.has_ranges = has_ranges

    def change() -> None:
        page.content, page.etag = bytes(len(CONTENT)), '"v2"'

    page.faults = [truncated(page, 2**20)]
    page.after = [change]
    assert refused(web).what == "object changed while it was read"


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_change_that_is_undone_before_the_end(web: WebServer, page: Page, has_ranges: bool) -> None:
    other = Page(bytes(len(CONTENT)), etag='"v2"', has_ranges=has_ranges)
    page.faults = [truncated(page, 2**20), lambda handler: handler.serve(other)]
    assert refused(web).what == "object changed while it was read"


def test_a_file_that_goes_away(web: WebServer, page: Page) -> None:
    page.after = [lambda: web.pages.pop("/a.bin")]
    assert refused(web).what in ("object changed while it was read", "no such object or folder")


# ---- redirects, proxies and secrets --------------------------------------------------------------------------------


def test_redirects_are_followed_and_do_not_name_the_file(web: WebServer, page: Page) -> None:
    web.pages["/latest.csv"] = redirect("/somewhere/", 301)
    web.pages["/somewhere/"] = redirect(f"{web.url}/a.bin?token=hunter2", 307)
    web.pages["/a.bin?token=hunter2"] = page
    (entry,) = fingerprint(web, "/latest.csv").files
    assert (entry.path, entry.digest) == ("latest.csv", SHA256)


def test_endless_redirects(web: WebServer) -> None:
    web.pages["/a"] = redirect("/a")
    assert refused(web, "/a").what == "server redirects too often"
    assert len(web.asked("HEAD")) == 6


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/a", "http://[::1", "http://x:99999/"])
def test_redirects_to_what_is_no_web_address(web: WebServer, place: str) -> None:
    web.pages["/a"] = redirect(place)
    assert refused(web, "/a").what == "server redirects to what is no web address"


def everything(error: BaseException) -> str:
    """All that a log could show of an error, and all that hangs on it."""
    shown, link = "".join(traceback.format_exception(error)), error
    while link.__context__ is not None:
        link = link.__context__
        shown += repr(link) + str(link.args)
    return shown


@pytest.mark.parametrize("code", [None, 403, 503, 404])
def test_a_query_is_used_and_never_shown(web: WebServer, page: Page, code: int | None, caplog: object) -> None:
    path = "/a.bin?X-Amz-Signature=hunter2#hunter3"
    web.pages["/a.bin?X-Amz-Signature=hunter2"] = page if code is None else status(code)
    source = RemoteSource(web.url + path, patience=QUICK)
    assert source.location == f"{web.url}/a.bin"
    assert "hunter" not in repr(source)
    if code is None:
        assert digest(source.fingerprint()) == SHA256
        return
    with pytest.raises(SourceError) as raised:
        source.fingerprint()
    assert "hunter" not in everything(raised.value)


@pytest.mark.parametrize(
    "uri", ["https://user:hunter2@example.org/x", "https://hunter2@example.org/x", "http://:hunter2@example.org/x"]
)
def test_credentials_in_a_uri_are_refused(uri: str) -> None:
    with pytest.raises(SourceError) as raised:
        open_source(uri)
    assert "hunter2" not in everything(raised.value)
    assert raised.value.hint is not None


def test_netrc_goes_to_its_host_and_not_where_that_redirects(
    web: WebServer, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password hun%32ter\ndefault login x password y\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    expected = "Basic " + base64.b64encode(b"user:hun%32ter").decode()
    with WebServer() as other:
        other_url = other.url.replace("127.0.0.1", "localhost")
        other.pages["/b.bin"] = page
        web.pages["/a.bin"] = redirect(f"{other_url}/b.bin")
        fingerprint(web)
        assert all(one.headers["authorization"] == expected for one in web.requests)
        assert other.requests
        assert all("authorization" not in one.headers for one in other.requests)


def test_a_proxy_of_the_environment_is_used(web: WebServer, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    web.pages["http://data.example/a.bin"] = page
    monkeypatch.setenv("http_proxy", web.url.replace("http://", "http://user:hunter2@"))
    monkeypatch.delenv("no_proxy", raising=False)
    found = RemoteSource("http://data.example/a.bin", patience=QUICK).fingerprint()
    assert digest(found) == SHA256
    assert web.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpodW50ZXIy"
    assert web.requests[0].headers["host"] == "data.example"


def test_netrc_is_not_sent_in_the_open(
    web: WebServer, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine data.example login user password hunter2\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", web.url)
    monkeypatch.delenv("no_proxy", raising=False)
    web.pages["http://data.example/a.bin"] = page
    RemoteSource("http://data.example/a.bin", patience=QUICK).fingerprint()
    assert web.requests
    assert all("authorization" not in one.headers for one in web.requests)


@pytest.mark.parametrize("proxy", ["socks5://user:hunter2@127.0.0.1:1", "http://[hunter2", "hunter2://x"])
def test_a_proxy_that_is_none(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(SourceError) as raised:
        RemoteSource("http://data.example/a.bin", patience=QUICK).fingerprint()
    assert "hunter2" not in everything(raised.value)


# ---- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "", "/folder/", "/folder/?list", "/..", "/%2e%2e", "/a%2Fb", "/%FF", "/a%00"])
def test_names_that_cannot_be_a_file(web: WebServer, path: str) -> None:
    refused(web, path)
    assert web.requests == []


# ---- TLS -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """A server whose certificate is trusted."""
    context = self_signed(tmp_path / "certificate.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    with WebServer(context) as server:
        server.pages["/a.bin"] = Page(CONTENT)
        yield server


def test_https(secure: WebServer) -> None:
    assert digest(fingerprint(secure)) == SHA256


def test_https_through_a_proxy(secure: WebServer, web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", web.url.replace("http://", "http://user:hunter%202@"))
    monkeypatch.delenv("no_proxy", raising=False)
    assert digest(fingerprint(secure)) == SHA256
    expected = "Basic " + base64.b64encode(b"user:hunter 2").decode()
    assert {(one.method, one.headers["proxy-authorization"]) for one in web.requests} == {("CONNECT", expected)}
    assert all("proxy-authorization" not in one.headers for one in secure.requests)


def test_a_certificate_that_nobody_vouches_for(secure: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    assert refused(secure).what == "server has no valid certificate"


def test_a_certificate_of_another_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = self_signed(tmp_path / "certificate.pem", "127.0.0.2")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    with WebServer(context) as server:
        assert refused(server).what == "server has no valid certificate"


def test_https_does_not_go_on_in_the_open(secure: WebServer, web: WebServer, page: Page) -> None:
    secure.pages["/b"] = redirect(f"{web.url}/a.bin")
    assert refused(secure, "/b").what == "server redirects from https to http"
    assert web.requests == []


def test_no_tls_where_it_was_expected(web: WebServer) -> None:
    with pytest.raises(SourceError) as raised:
        RemoteSource(web.url.replace("http:", "https:") + "/a", patience=QUICK).fingerprint()
    assert raised.value.got == "SSLError"


# ---- open ----------------------------------------------------------------------------------------------------------


def test_open_reads_from_anywhere(web: WebServer, page: Page) -> None:
    source = RemoteSource(f"{web.url}/a.bin", patience=QUICK)
    assert source.list() == [("a.bin", len(CONTENT))]
    chance = random.Random(1)
    with source.open("a.bin") as file:
        assert file.read(10) == CONTENT[:10]
        for _ in range(20):
            start, count = chance.randrange(len(CONTENT)), chance.choice([1, 100, 100_000])
            file.seek(start)
            assert file.read(count) == CONTENT[start : start + count]
        file.seek(-5, 2)
        assert file.read() == CONTENT[-5:]
        assert file.read() == b""
        file.seek(len(CONTENT) + 10)
        assert file.read(1) == b""
        file.seek(0)
        assert file.read() == CONTENT


@pytest.mark.parametrize("etag", ['"v1"', None])
def test_open_survives_interruptions(web: WebServer, page: Page, etag: str | None) -> None:
    page.etag = etag
    page.faults = [truncated(page, 2**20), status(503), truncated(page, 100)]
    with RemoteSource(f"{web.url}/a.bin", patience=QUICK).open("a.bin") as file:
        assert file.read() == CONTENT


def test_open_sees_a_change(web: WebServer, page: Page) -> None:
    page.after = [lambda: setattr(page, "etag", '"v2"')]
    with RemoteSource(f"{web.url}/a.bin", patience=QUICK).open("a.bin") as file, pytest.raises(SourceError):
        file.read()


def test_open_of_what_is_not_there(web: WebServer, page: Page) -> None:
    with pytest.raises(SourceError):
        RemoteSource(f"{web.url}/a.bin", patience=QUICK).open("b.bin")
