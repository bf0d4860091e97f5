"""SHA-256 by the processor's extensions: hashlib's digests, in the memory it is given; what is wrong is not used."""

from __future__ import annotations

import ctypes
import random
import shutil
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from provenance.errors import VerificationError
from provenance.merkle import compiled, lists
from provenance.merkle.compiled import STREAMS, Extensions, Streams
from provenance.merkle.lists import hash_messages, root_of_hashes
from provenance.merkle.tier import HashTier
from tests.unit.merkle.oracle import LEAVES, mth

LENGTHS = [0, 1, 54, 55, 56, 57, 62, 63, 64, 65, 118, 119, 120, 121, 126, 127, 128, 129, 500, 8_192]
SOURCE = Path(compiled.__file__).with_name("sha256.c")


@pytest.fixture
def extensions() -> Extensions:
    found = compiled.extensions()
    if found is None:
        has = Path("/proc/cpuinfo").exists() and " sha_ni " in Path("/proc/cpuinfo").read_text()
        assert not has or not any(map(shutil.which, ("cc", "gcc", "clang"))), "the processor has them; not built?"
        pytest.skip("the processor has no SHA extensions, or there was no C compiler")
    return found


@pytest.fixture
def other_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    compiled.extensions.cache_clear()
    yield tmp_path / compiled.LIBRARY
    compiled.extensions.cache_clear()


def test_messages_of_every_mix_of_lengths(extensions: Extensions) -> None:
    rng = random.Random(5)
    for count in [*range(1, 9), 40]:
        for _ in range(150):
            messages = [rng.randbytes(rng.choice(LENGTHS)) for _ in range(count)]
            expected = b"".join(sha256(message).digest() for message in messages)
            assert lists._by_extensions(messages, b"".join(messages)) == expected


@pytest.mark.parametrize("prefix", [-1, 0, 1, 255])
def test_pieces_with_a_byte_in_front_of_each(extensions: Extensions, prefix: int) -> None:
    """Nothing is written beyond the digests, nor read beyond the pieces."""
    rng = random.Random(7)
    first = b"" if prefix < 0 else bytes([prefix])
    for width in [*range(200), 1_000]:
        for count in (0, 1, 2, 3, 4, 7):
            data = rng.randbytes(width * count)
            digests = ctypes.create_string_buffer(b"\xa5" * (32 * count + 64), 32 * count + 64)
            extensions.pieces(data, width, count, prefix, ctypes.addressof(digests))
            pieces = [data[width * place : width * (place + 1)] for place in range(count)]
            expected = b"".join(sha256(first + piece).digest() for piece in pieces)
            assert digests.raw == expected + b"\xa5" * 64


def test_a_message_beyond_four_gigabits_has_its_length_in_its_padding(extensions: Extensions) -> None:
    data = bytes(2**29 + 5)
    digests = ctypes.create_string_buffer(32)
    extensions.pieces(data, len(data), 1, -1, ctypes.addressof(digests))
    assert digests.raw == sha256(data).digest()


def test_hashes_side_by_side_of_any_lengths(extensions: Extensions) -> None:
    rng = random.Random(9)
    streams = Streams(extensions)
    for _ in range(60):
        hashers, counts = [sha256() for _ in range(STREAMS)], [0] * STREAMS
        for stream in range(STREAMS):
            streams.begin(stream)
        for _ in range(rng.randrange(5)):
            blocks = [rng.randrange(5) for _ in range(STREAMS)]
            pieces = [ctypes.create_string_buffer(rng.randbytes(64 * count), 64 * count or 1) for count in blocks]
            streams.update([ctypes.addressof(piece) for piece in pieces], blocks)
            for stream, piece in enumerate(pieces):
                hashers[stream].update(piece.raw[: 64 * blocks[stream]])
                counts[stream] += 64 * blocks[stream]
        for stream in rng.sample(range(STREAMS), STREAMS):
            rest = rng.randbytes(rng.randrange(64))
            hashers[stream].update(rest)
            assert streams.finish(stream, rest, counts[stream] + len(rest)) == hashers[stream].digest()


def test_lists_and_roots(extensions: Extensions) -> None:
    messages = [bytes([number % 256]) * (number % 300) for number in range(500)]
    expected = b"".join(sha256(message).digest() for message in messages)
    assert hash_messages(messages, tier=HashTier.EXTENSIONS) == expected
    assert hash_messages([memoryview(message) for message in messages], tier=HashTier.EXTENSIONS) == expected
    run = memoryview(bytearray(b"".join(messages)))
    assert hash_messages(messages, tier=HashTier.EXTENSIONS, run=run) == expected
    for size in [*range(1, 70), 127, 300]:
        assert root_of_hashes(b"".join(LEAVES[:size]), tier=HashTier.EXTENSIONS) == mth(LEAVES[:size])


def test_a_wrong_digest_is_noticed(extensions: Extensions, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = Extensions.slices
    for damaged in (0, 32 * 99 + 31):

        def wrong(
            self: Extensions, data: bytes | int, offsets: int, count: int, digests: int, damaged: int = damaged
        ) -> None:
            genuine(self, data, offsets, count, digests)
            ctypes.c_uint8.from_address(digests + damaged).value ^= 1

        monkeypatch.setattr(Extensions, "slices", wrong)
        with pytest.raises(VerificationError, match="disagrees with hashlib"):
            hash_messages([b"x"] * 100, tier=HashTier.EXTENSIONS)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("0x428a2f98", "0x428a2f98"), ("0x428a2f98", "0x428a2f99"), ("0xc67178f2", "0xc67178f3"),
     ("0x5be0cd19", "0x5be0cd18"),
     ("rest + 9 <= BLOCK", "rest + 8 <= BLOCK"), ("8 * length_bytes", "length_bytes"), ("w[7] = y[0]", "w[7] = y[1]"),
     ("+ DIGEST * taken", "+ DIGEST * (taken / 2)"), ("0x0405060700010203", "0x0405060700010200"),
     ("? 1 : 0;", "? 2 : 0;")],
)  # fmt: skip
def test_a_library_that_is_wrong_is_not_used(
    extensions: Extensions, other_library: Path, right: str, wrong: str
) -> None:
    source = SOURCE.read_text()
    assert right in source
    command = ["cc", "-O3", "-shared", "-fPIC", "-x", "c", "-o", str(other_library), "-"]
    subprocess.run(command, input=source.replace(right, wrong), text=True, check=True)
    assert (compiled.extensions() is not None) == (right == wrong)


@pytest.mark.parametrize("content", [None, "", "\x7fELF"])
def test_what_is_no_library_is_not_used(other_library: Path, content: str | None) -> None:
    if content is not None:
        other_library.write_text(content)
    assert compiled.extensions() is None
