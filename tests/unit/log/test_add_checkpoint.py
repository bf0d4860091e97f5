"""The request to a witness: read back as written, and nothing else is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.errors import MalformedError
from provenance.log.add_checkpoint import (
    MAX_PROOF_HASHES,
    AddCheckpoint,
    encode_add_checkpoint,
    parse_add_checkpoint,
)

NOTE = b"log.example\n2\nAAAA\n\n\xe2\x80\x94 log.example AAAA\n"
# By hand, as c2sp.org/tlog-witness has its example.
EXAMPLE = (
    b"old 20852163\n"
    b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    b"\n"
    b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    + "— example.com/behind-the-sofa Az3grlF=\n".encode()
)


def test_the_form_of_the_specification_is_read() -> None:
    found = parse_add_checkpoint(EXAMPLE)
    assert (found.old, len(found.proof), found.proof[0][:4].hex()) == (20852163, 1, "0ac5186a")
    assert found.note.startswith(b"example.com/behind-the-sofa\n20852163\n")
    assert encode_add_checkpoint(found) == EXAMPLE


@given(st.integers(1, 2**64 - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=MAX_PROOF_HASHES))
def test_what_is_written_is_read_back(old: int, proof: list[bytes]) -> None:
    request = AddCheckpoint(old, tuple(proof), NOTE)
    assert parse_add_checkpoint(encode_add_checkpoint(request)) == request


def test_every_mutation_of_the_head_is_another_request_or_an_error() -> None:
    head = EXAMPLE.index(b"\n\n") + 2
    request = parse_add_checkpoint(EXAMPLE)
    for place in range(head):
        for bit in (1, 4, 32, 128):
            mutated = bytearray(EXAMPLE)
            mutated[place] ^= bit
            try:
                assert parse_add_checkpoint(bytes(mutated)) != request
            except MalformedError:
                continue


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n", b"old 1\n", b"old 1\n\n", b"old\n\n" + NOTE, b"old 01\n\n" + NOTE, b"old -1\n\n" + NOTE,
        b"new 1\n\n" + NOTE, b"old 1\r\n\n" + NOTE, b"old 18446744073709551616\n\n" + NOTE, b"old 1\nAAAA\n\n" + NOTE,
        b"old 0\n" + b"A" * 43 + b"=\n\n" + NOTE, b"old 1\n" + (b"A" * 43 + b"=\n") * 64 + b"\n" + NOTE,
        b"old 1\n\xff\n\n" + NOTE, b"old \xc2\xb2\n\n" + NOTE, b"old 1\n\n" + b"x" * 10_000_000,
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_add_checkpoint(data)
