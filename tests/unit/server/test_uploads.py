"""Hashing uploads: forms cut, split and changed anywhere."""

from __future__ import annotations

import hashlib

import pytest

from provenance.errors import MalformedError, ProvenanceError
from provenance.server.bodies import MediaType, parse_media_type
from provenance.server.uploads import FormHasher, PlainHasher, Upload, hasher_for

CONTENT = b"a,b\r\n1,2\r\n--b\r\n\r\n-\r\r\n--"
HEADER = b'Content-Disposition: form-data; name="file"; filename="a b.csv"\r\nContent-Type: text/csv\r\n\r\n'
FORM = b"--bound\r\n" + HEADER + CONTENT + b"\r\n--bound--\r\n"


def hashed(*pieces: bytes, boundary: str = "bound") -> Upload:
    """The file in a form that came in these pieces."""
    hasher = FormHasher(boundary)
    for piece in pieces:
        hasher.feed(piece)
    return hasher.finish()


def test_a_form_gives_digest_size_and_name() -> None:
    upload = hashed(FORM)
    assert upload.digest.raw == hashlib.sha256(CONTENT).digest()
    assert (upload.size, upload.name) == (len(CONTENT), "a b.csv")


def test_how_a_form_was_split_does_not_matter() -> None:
    whole = hashed(FORM)
    for at in range(len(FORM)):
        assert hashed(FORM[:at], FORM[at:]) == whole
    assert hashed(*[FORM[at : at + 1] for at in range(len(FORM))]) == whole


def test_a_form_cut_anywhere_is_refused() -> None:
    end = FORM.rindex(b"--bound--") + len(b"--bound--")
    for at in range(end):
        with pytest.raises(MalformedError):
            hashed(FORM[:at])


def test_a_form_with_any_byte_changed_gives_another_file_or_none() -> None:
    whole, start = hashed(FORM), FORM.index(CONTENT)
    for at in range(len(FORM)):
        changed = FORM[:at] + bytes([FORM[at] ^ 0x01]) + FORM[at + 1 :]
        try:
            upload = hashed(changed)
        except ProvenanceError:
            continue
        in_content = start <= at < start + len(CONTENT)
        assert (upload.digest != whole.digest) if in_content else True


@pytest.mark.parametrize("content", [b"", b"\r\n", b"\0", b"-" * 100_000, b"\r\n--boun" * 10_000])
def test_any_content_is_hashed_exactly(content: bytes) -> None:
    upload = hashed(b"--bound\r\n" + HEADER + content + b"\r\n--bound--\r\n")
    assert (upload.digest.raw, upload.size) == (hashlib.sha256(content).digest(), len(content))


@pytest.mark.parametrize(
    "form",
    [
        b"",
        b"--bound--\r\n",
        FORM[:-11] + b"\r\n--bound\r\n" + HEADER + b"second\r\n--bound--\r\n",
        FORM.replace(b'"file"', b'"other"'),
        FORM.replace(b'name="file"; ', b""),
        FORM.replace(b"form-data", b"attachment"),
        FORM.replace(b"Content-Disposition", b"Content-Location"),
        FORM.replace(b"a b.csv", b"\xff\xfe"),
        FORM.replace(b'filename="a b.csv"', b"filename"),
        b"--bound\r\n" + HEADER[:-2] + HEADER + b"x\r\n--bound--\r\n",
        b"--bound\r\nX: " + b"y" * 4_100 + b"\r\n" + HEADER + b"x\r\n--bound--\r\n",
        b"--bound\r\n" + b"X: y\r\n" * 2_000 + HEADER + b"x\r\n--bound--\r\n",
        FORM.replace(b"bound", b"other"),
    ],
)
def test_any_other_form_is_refused(form: bytes) -> None:
    with pytest.raises(MalformedError):
        hashed(form)


def test_names_in_utf_8_are_kept() -> None:
    assert hashed(FORM.replace(b"a b.csv", "\u00e9\u4e2d.csv".encode())).name == "\u00e9\u4e2d.csv"
    assert hashed(FORM.replace(b'; filename="a b.csv"', b"")).name is None
    assert hashed(FORM.replace(b"a b.csv", b'a\\"b.csv')).name == 'a"b.csv'


def test_the_hasher_follows_the_media_type() -> None:
    assert isinstance(hasher_for(MediaType("application/octet-stream")), PlainHasher)
    assert isinstance(hasher_for(parse_media_type('multipart/form-data; boundary="a b"')), FormHasher)
    for boundary in ("", "x" * 71, "a ", "\u00e9", "a\x00b", 'a"b'):
        with pytest.raises(MalformedError):
            hasher_for(MediaType("multipart/form-data", {"boundary": boundary}))


def test_a_plain_body_is_the_file() -> None:
    hasher = PlainHasher()
    hasher.feed(b"a")
    hasher.feed(b"b")
    assert hasher.finish() == Upload(hasher.finish().digest, 2, None)
    assert hasher.finish().digest.raw == hashlib.sha256(b"ab").digest()
