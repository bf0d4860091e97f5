"""The log's map against a naive one: every answer, every size, and no changed byte."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from provenance.encoding import Digest
from provenance.errors import ConflictError, MalformedError, ProvenanceError, StoreError, VerificationError
from provenance.log import Cosigner, LogKey, LogSigner, NoteSigner, entry_leaf
from provenance.log.algorithm import ML_DSA_44
from provenance.log.map import (
    KeyKind,
    MapAnswer,
    MapKey,
    bucket_bits,
    encode_answer,
    head_root,
    keys_of,
    open_head,
    parse_answer,
    parse_bucket,
    sign_head,
    verify_answer,
)
from provenance.signature import encode_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE
from provenance.statement.events import Body, Event, encode_event
from provenance.statement.review import Decision, Review
from provenance.statement.usage import Usage
from provenance.stores.log_map import LogMap
from tests.unit.verify.forge import CREATED, Lineage, key

SIGNER = NoteSigner("map.example/log", b"\x04" * 32)
OTHER = NoteSigner("map.example/log", b"\x05" * 32)
LOG_ROOT = sha256(b"the log").digest()


def _mth(leaves: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.1, over leaf hashes."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"").digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + _mth(leaves[:half]) + _mth(leaves[half:])).digest()


def _naive(entries: list[list[bytes]]) -> bytes:
    """The root of a map, written from the format's page alone."""
    size = len(entries)
    bits = max(0, len(f"{size:b}") - 3) if size else 0
    lists: dict[bytes, list[int]] = {}
    for index, keys in enumerate(entries):
        for one in keys:
            lists.setdefault(one, []).append(index)
    buckets = [b""] * 2**bits
    for one in sorted(lists):
        number = int("".join(f"{byte:08b}" for byte in one)[:bits] or "0", 2)
        root = _mth([sha256(b"\0" + index.to_bytes(8, "big")).digest() for index in lists[one]])
        buckets[number] += one + len(lists[one]).to_bytes(8, "big") + root
    return _mth([sha256(b"\0" + data).digest() for data in buckets])


def _keys(chance: random.Random, few: int) -> list[bytes]:
    """Up to four keys of an entry, some of them everybody's."""
    return list({sha256(b"%d" % chance.randrange(few)).digest() for _ in range(chance.randrange(5))})


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[LogMap]:
    found = LogMap(tmp_path / "map.db")
    yield found
    found.close()


def _answer(kept: LogMap, asked: MapKey) -> MapAnswer:
    found = kept.find(asked.digest)
    head = sign_head(SIGNER, found.state.size, LOG_ROOT, found.state.root)
    return MapAnswer(asked, found.bucket, found.hashes, LOG_ROOT, head, found.entries)


@pytest.mark.parametrize("few", [3, 40, 100_000])
def test_the_root_is_the_naive_ones_at_every_size_however_it_was_reached(kept: LogMap, few: int) -> None:
    chance, entries = random.Random(few), list[list[bytes]]()
    while len(entries) < 700:
        more = [_keys(chance, few) for _ in range(chance.choice((1, 1, 2, 7, 31, 64, 255)))]
        kept.add(len(entries), more, LOG_ROOT)
        entries += more
        assert kept.state().root == _naive(entries), len(entries)
    with pytest.raises(ConflictError):
        kept.add(5, [[]], LOG_ROOT)


def test_a_large_map_has_tiles_above_tiles(kept: LogMap) -> None:
    chance = random.Random(1)
    entries = [_keys(chance, 10_000) for _ in range(9_000)]  # 2^11 buckets
    kept.add(0, entries, LOG_ROOT)
    assert bucket_bits(9_000) == 11
    kept.add(9_000, [[b"\xff" * 32, b"\x00" * 32]], LOG_ROOT)
    assert kept.state().root == _naive([*entries, [b"\xff" * 32, b"\x00" * 32]])


def test_every_answer_is_the_whole_list_or_says_that_there_is_none(kept: LogMap) -> None:
    chance = random.Random(2)
    names = [MapKey(KeyKind.NAME, f"t/{number}") for number in range(60)]
    entries = [chance.sample(names, chance.randrange(4)) for _ in range(300)]
    for size in (1, 2, 8, 300):
        kept.clear()
        kept.add(0, [[one.digest for one in some] for some in entries[:size]], LOG_ROOT)
        for asked in (*names, MapKey(KeyKind.NAME, "t/none"), MapKey(KeyKind.SIGNER, "0" * 64)):
            listed = verify_answer(parse_answer(encode_answer(_answer(kept, asked))), [LogKey(SIGNER.verifier)])
            assert listed.entries == tuple(index for index, some in enumerate(entries[:size]) if asked in some)
            assert (listed.size, listed.origin, listed.log_root) == (size, "map.example/log", LOG_ROOT)


def test_nothing_can_be_left_out_added_or_shown_of_something_else(kept: LogMap) -> None:
    names = [MapKey(KeyKind.NAME, f"t/{number}") for number in range(40)]
    kept.add(0, [[names[number % 40].digest, names[0].digest] for number in range(100)], LOG_ROOT)
    good, log = _answer(kept, names[0]), [LogKey(SIGNER.verifier)]
    nobody = (MapKey(KeyKind.NAME, f"t/none{number}") for number in range(100))
    absent = _answer(kept, next(one for one in nobody if kept.find(one.digest).bucket))
    assert verify_answer(absent, log).entries == ()
    assert len(verify_answer(good, log).entries) == 100
    other = next(one for one in names[1:] if kept.find(one.digest).bucket == good.bucket)
    wrong = [
        replace(good, entries=good.entries[:-1]),
        replace(good, entries=()),
        replace(good, entries=(*good.entries, 100)),
        replace(good, entries=(good.entries[1], good.entries[0], *good.entries[2:])),
        replace(good, bucket=b""),
        replace(good, bucket=good.bucket[72:]),
        replace(good, key=MapKey(KeyKind.NAME, "t/none")),
        replace(good, key=other),
        replace(good, log_root=bytes(32)),
        replace(absent, entries=(1,)),
        replace(absent, key=names[0]),
        replace(absent, bucket=b""),
        replace(good, head=sign_head(OTHER, 100, LOG_ROOT, kept.state().root)),
        replace(good, head=sign_head(SIGNER, 99, LOG_ROOT, kept.state().root)),
        replace(good, head=sign_head(NoteSigner("other/log", b"\x04" * 32), 100, LOG_ROOT, kept.state().root)),
    ]
    for number, one in enumerate(wrong):
        with pytest.raises(ProvenanceError):
            print(number, verify_answer(one, log))
    with pytest.raises(VerificationError):
        verify_answer(good, [])


def test_no_byte_of_an_answer_can_be_changed(kept: LogMap) -> None:
    names = [MapKey(KeyKind.NAME, f"t/{number}") for number in range(9)]
    kept.add(0, [[names[number].digest] for number in range(9)], LOG_ROOT)
    good = _answer(kept, names[3])
    data, truth = encode_answer(good), verify_answer(good, [LogKey(SIGNER.verifier)])
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        try:
            found = verify_answer(parse_answer(bytes(changed)), [LogKey(SIGNER.verifier)])
        except ProvenanceError:
            continue
        # A signature line of a key that nobody knows may say anything.
        assert found == truth, place
    for place in range(len(data)):
        with pytest.raises(ProvenanceError):
            parse_answer(data[:place])


def test_a_bucket_has_one_form() -> None:
    item = bytes(31) + b"\1" + (1).to_bytes(8, "big") + bytes(32)
    assert parse_bucket(item)[0].count == 1
    for data in (item[:-1], item + item, bytes(32) + bytes(8) + bytes(32), item[:31] + b"\2" + item[32:] + item):
        with pytest.raises(MalformedError):
            parse_bucket(data)


def test_a_head_is_of_the_log_and_binds_both_roots() -> None:
    head = open_head(sign_head(SIGNER, 7, LOG_ROOT, bytes(32)), [LogKey(SIGNER.verifier)])
    assert (head.origin, head.size) == ("map.example/log/map", 7)
    assert head.root == head_root(LOG_ROOT, bytes(32)) == sha256(b"\1" + LOG_ROOT + bytes(32)).digest()


def test_keys_of_entries() -> None:
    lineage = Lineage()
    lineage.add("a")
    envelope = lineage.log.envelopes[0]
    signer = MapKey(KeyKind.SIGNER, key(1).public.keyid)
    digest, name = lineage.statements["a"].digest.hex, MapKey(KeyKind.NAME, "forge/a")
    assert keys_of(envelope) == (signer, MapKey(KeyKind.SUBJECT, digest), name)

    def said(body: Body) -> tuple[MapKey, ...]:
        event = Event(lineage.pin("a"), body, CREATED)
        return keys_of(encode_envelope(sign_envelope(encode_event(event), PAYLOAD_TYPE, key(1))))

    about = Digest.of(envelope).hex
    assert said(Review(Decision.APPROVED))[3:] == (MapKey(KeyKind.ABOUT, about),)
    assert said(Usage("x"))[3:] == (MapKey(KeyKind.USE, about),)
    assert keys_of(b"anything") == keys_of(envelope[:-1]) == ()
    for value in ("", "x", "0" * 63, "A" * 64):
        with pytest.raises(MalformedError):
            MapKey(KeyKind.SIGNER, value)
    assert len({MapKey(KeyKind.ABOUT, about).digest, MapKey(KeyKind.USE, about).digest}) == 2
    assert len(entry_leaf(envelope)) == 32


def test_a_file_that_is_damaged_says_so(tmp_path: Path) -> None:
    path = tmp_path / "map.db"
    path.write_bytes(b"not a database, and long enough to be looked at" * 100)
    with pytest.raises(StoreError, match="map"):
        LogMap(path)
    path.unlink()
    with_mode = LogMap(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with_mode.close()


def test_a_head_owes_a_line_by_every_type_that_the_log_signs_with(kept: LogMap) -> None:
    kept.add(0, [[b"x" * 32]], LOG_ROOT)
    answer, second = _answer(kept, MapKey(KeyKind.NAME, "t/none")), Cosigner("map.example/log", b"\x04" * 32, ML_DSA_44)
    keys = [LogKey(SIGNER.verifier), LogKey(second.verifier)]
    with pytest.raises(VerificationError, match="lacks a signature"):
        verify_answer(answer, keys)
    both = sign_head(LogSigner((SIGNER, second)), 1, LOG_ROOT, kept.state().root)
    assert verify_answer(replace(answer, head=both), keys).size == 1
