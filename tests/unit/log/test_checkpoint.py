"""Checkpoints: a real one of another log, strict text, every changed byte rejected, origins bound."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import MalformedError, ProvenanceError, VerificationError
from provenance.limits import MAX_UINT64
from provenance.log import Cosigner, NoteSigner, parse_vkey, sign_note
from provenance.log.checkpoint import (
    Checkpoint,
    encode_checkpoint,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from provenance.merkle import EMPTY_ROOT

LOG = NoteSigner("ledger.example/main", bytes(range(32)))
ROOT = bytes(range(100, 132))
HEAD = Checkpoint("ledger.example/main", 70_000, ROOT)
ROOT_LINE = base64.b64encode(ROOT)

REAL_VKEY = "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
REAL_LOG = "arche2025h1.staging.ct.transparency.dev"
REAL_CHECKPOINT = f"""\
{REAL_LOG}
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— {REAL_LOG} zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— {REAL_LOG} ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
""".encode()  # noqa: E501


def test_a_checkpoint_that_a_public_log_signed_opens() -> None:
    head = open_checkpoint(REAL_CHECKPOINT, parse_vkey(REAL_VKEY))
    assert (head.origin, head.size) == (REAL_LOG, 1_432_088_532)
    with pytest.raises(VerificationError):
        open_checkpoint(REAL_CHECKPOINT.replace(b"\n1432088532\n", b"\n1432088533\n"), parse_vkey(REAL_VKEY))


def test_the_bytes_are_the_ones_of_the_specification() -> None:
    assert encode_checkpoint(HEAD) == b"ledger.example/main\n70000\n" + ROOT_LINE + b"\n"
    assert open_checkpoint(sign_checkpoint(HEAD, LOG), LOG.verifier) == HEAD


@pytest.mark.parametrize("size", [0, 1, 255, 256, 2**53, 2**63, MAX_UINT64])
def test_every_size_round_trips(size: int) -> None:
    head = Checkpoint("o", size, ROOT if size else EMPTY_ROOT)
    assert parse_checkpoint(encode_checkpoint(head)) == head


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"o\n1\n",
        b"o\n1\n" + ROOT_LINE,
        b"\n1\n" + ROOT_LINE + b"\n",
        b"o\n\n" + ROOT_LINE + b"\n",
        b"o\n01\n" + ROOT_LINE + b"\n",
        b"o\n00\n" + ROOT_LINE + b"\n",
        b"o\n+1\n" + ROOT_LINE + b"\n",
        b"o\n-1\n" + ROOT_LINE + b"\n",
        b"o\n 1\n" + ROOT_LINE + b"\n",
        b"o\n1_0\n" + ROOT_LINE + b"\n",
        b"o\n1.0\n" + ROOT_LINE + b"\n",
        b"o\n0x1\n" + ROOT_LINE + b"\n",
        "o\n\u0661\n".encode() + ROOT_LINE + b"\n",  # an Arabic-Indic digit
        b"o\n18446744073709551616\n" + ROOT_LINE + b"\n",
        b"o\n" + b"9" * 5_000 + b"\n" + ROOT_LINE + b"\n",
        b"o\n0\n" + ROOT_LINE + b"\n",  # the empty tree has one root
        b"o\n1\n" + ROOT_LINE[:-1] + b"\n",
        b"o\n1\n" + base64.b64encode(ROOT[:-1]) + b"\n",
        b"o\n1\n" + base64.b64encode(ROOT + b"x") + b"\n",
        b"o\n1\n" + ROOT_LINE.replace(b"M=", b"N=") + b"=\n",
        b"o\n1\n" + ROOT_LINE + b" \n",
        b"o\n1\n" + ROOT_LINE + b"\r\n",
        b"o\n1\n" + ROOT_LINE + b"\n\n",
        b"o\n1\n" + ROOT_LINE + b"\nextension\n\n",
        b"o\n1\n" + ROOT_LINE + b"\n\nextension\n",
        b"o\n1\n" + ROOT_LINE + b"\nextension",
        b"o\x00\n1\n" + ROOT_LINE + b"\n",
        b"\xff\n1\n" + ROOT_LINE + b"\n",
        b"a" * 1_000_001,
    ],
)
def test_malformed_texts_are_rejected(text: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_checkpoint(text)


@pytest.mark.parametrize("origin", ["", "a\nb", "a\x00", "\ud800", "a\tb"])
def test_origins_that_cannot_be_encoded_are_refused(origin: str) -> None:
    with pytest.raises(MalformedError):
        Checkpoint(origin, 1, ROOT)


@pytest.mark.parametrize("size", [-1, MAX_UINT64 + 1])
def test_sizes_outside_uint64_are_refused(size: int) -> None:
    with pytest.raises(MalformedError):
        Checkpoint("o", size, ROOT)


def test_extension_lines_are_read_but_never_signed_by_us() -> None:
    text = encode_checkpoint(HEAD) + b"Timestamp: 1679315147\n"
    head = parse_checkpoint(text)
    assert head.extensions == ("Timestamp: 1679315147",)
    assert encode_checkpoint(head) == text
    assert open_checkpoint(sign_note(text, [LOG]), LOG.verifier) == head
    with pytest.raises(MalformedError, match="extension"):
        sign_checkpoint(head, LOG)


def test_a_checkpoint_of_another_log_is_rejected() -> None:
    other = Checkpoint("ledger.example/other", 1, ROOT)
    data = sign_note(encode_checkpoint(other), [LOG])
    with pytest.raises(VerificationError, match="another log"):
        open_checkpoint(data, LOG.verifier)
    assert open_checkpoint(data, LOG.verifier, origin="ledger.example/other") == other
    with pytest.raises(MalformedError, match="not the log's"):
        sign_checkpoint(other, LOG)


def test_a_witness_key_is_no_log_key() -> None:
    with pytest.raises(MalformedError, match="not a log's"):
        open_checkpoint(sign_checkpoint(HEAD, LOG), Cosigner("ledger.example/main", bytes(32)).verifier)


def test_another_key_under_the_same_name_is_not_the_log() -> None:
    impostor = NoteSigner("ledger.example/main", bytes(32))
    with pytest.raises(VerificationError):
        open_checkpoint(sign_checkpoint(HEAD, impostor), LOG.verifier)


def test_every_changed_byte_and_every_truncation_is_rejected() -> None:
    data = sign_checkpoint(HEAD, LOG)
    for at in range(len(data)):
        with pytest.raises(ProvenanceError):
            open_checkpoint(data[:at], LOG.verifier)
        for value in {*(data[at] ^ (1 << bit) for bit in range(8)), 0, 10, 32, 48, 61} - {data[at]}:
            with pytest.raises(ProvenanceError):
                open_checkpoint(data[:at] + bytes([value]) + data[at + 1 :], LOG.verifier)
        with pytest.raises(ProvenanceError):
            open_checkpoint(data[:at] + data[at + 1 :], LOG.verifier)
    for more in (b"\n", b" ", b"\x00", data):
        with pytest.raises(ProvenanceError):
            open_checkpoint(data + more, LOG.verifier)


@settings(max_examples=80, deadline=None)
@given(
    origin=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40),
    size=st.integers(1, MAX_UINT64),
    root=st.binary(min_size=32, max_size=32),
)
def test_any_checkpoint_round_trips(origin: str, size: int, root: bytes) -> None:
    head = Checkpoint(origin, size, root)
    assert parse_checkpoint(encode_checkpoint(head)) == head


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([b"o", b"\n", b"0", b"1", b"17", ROOT_LINE, b"=", b"A", b" "]), max_size=9).map(b"".join)
)
def test_any_text_is_refused_in_the_error_tree_or_re_encodes(text: bytes) -> None:
    try:
        head = parse_checkpoint(text)
    except MalformedError:
        return
    assert encode_checkpoint(head) == text
