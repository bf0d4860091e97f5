"""Bulk hashing equals hashlib in every tier, whatever the lengths, and notices lanes that are wrong."""

from __future__ import annotations

import random
from hashlib import sha256

import numpy as np
import pytest
import stringzilla
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import MalformedError, VerificationError
from provenance.merkle import EMPTY_ROOT, bulk, fold_pairs, leaf_hashes
from provenance.merkle.bulk import Hashes, HashTier, hash_parents, hash_slices, root_of_array, subtree_levels
from provenance.merkle.compiled import extensions
from tests.unit.merkle.oracle import LEAVES, mth

TIERS = [tier for tier in HashTier if tier is not HashTier.EXTENSIONS or extensions() is not None]


def array_of(hashes: list[bytes]) -> Hashes:
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 32)


def sliced(lengths: list[int], start: int = 0) -> tuple[Hashes, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    offsets = np.cumsum([start, *lengths], dtype=np.int64)
    return np.random.default_rng(1).integers(0, 256, int(offsets[-1]) + 3, dtype=np.uint8), offsets


def check(lengths: list[int], tier: HashTier, start: int = 0) -> None:
    data, offsets = sliced(lengths, start)
    raw = data.tobytes()
    expected = [sha256(raw[offsets[i] : offsets[i + 1]]).digest() for i in range(len(lengths))]
    found = hash_slices(data, offsets, tier=tier)
    assert found.shape == (len(lengths), 32)
    assert [row.tobytes() for row in found] == expected


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    "lengths",
    [
        [],
        [0],
        [0, 0, 0],
        [1],
        list(range(200)),
        [65] * 100,
        [100] * 20_000,
        [5_000_000],
        [5_000_000, 1, 5_000_000],
        [100] * 300 + [300_000] + [100] * 300,
        [100] * 50 + [5_000] + [100] * 9_000,
        [1_000 * (i % 9) for i in range(1_500)],
        [70_000 + 30_000 * (i % 5) for i in range(60)],
        [4_096] * 40,
        [4_095, 4_096, 4_097] * 9,
    ],
    ids=lambda lengths: f"{len(lengths)} of {sum(lengths)} bytes",
)
def test_slices_of_every_mix_of_lengths(lengths: list[int], tier: HashTier) -> None:
    check(lengths, tier)


@given(
    st.lists(st.integers(0, 300) | st.integers(3_000, 40_000), max_size=80), st.integers(0, 70), st.sampled_from(TIERS)
)
@settings(max_examples=150)
def test_random_lengths_and_a_first_offset_that_is_not_0(lengths: list[int], start: int, tier: HashTier) -> None:
    check(lengths, tier, start)


@pytest.mark.parametrize("tier", TIERS)
def test_every_way_of_the_lanes_is_taken(tier: HashTier, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_BATCH": 7, "_BATCH_BYTES": 900, "_LONE_BYTES": 200, "_UNEVEN_MEAN_BYTES": 60}.items():
        monkeypatch.setattr(bulk, name, value)
    generator = np.random.default_rng(3)
    for _ in range(60):
        longest = int(generator.integers(1, 1_000))
        check(generator.integers(0, longest, int(generator.integers(0, 40))).tolist(), tier)


@pytest.mark.parametrize("tier", TIERS)
def test_roots_and_levels_equal_the_oracle_at_every_size(tier: HashTier) -> None:
    for size in [*range(71), 127, 128, 129, 300]:
        leaves = array_of(LEAVES[:size])
        assert root_of_array(leaves, tier=tier) == mth(LEAVES[:size])
        levels = subtree_levels(leaves, tier=tier)
        for level, hashes in enumerate(levels):
            expected = [mth(LEAVES[i << level : (i + 1) << level]) for i in range(size >> level)]
            assert [row.tobytes() for row in hashes] == expected
    assert root_of_array(array_of([]), tier=tier) == EMPTY_ROOT


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 16_383, 16_384, 16_385, 40_001])
def test_parents_across_batches(tier: HashTier, count: int) -> None:
    level = np.random.default_rng(count).integers(0, 256, (count, 32), dtype=np.uint8)
    found = hash_parents(level, tier=tier)
    assert len(found) == (count + 1) // 2
    for index in {0, len(found) // 2, len(found) - 1} if count else ():
        pair = level[2 * index : 2 * index + 2].tobytes()
        assert found[index].tobytes() == (sha256(b"\x01" + pair).digest() if len(pair) == 64 else pair)


def test_read_only_and_sliced_arrays_are_hashed_as_they_look() -> None:
    leaves = array_of(LEAVES)
    assert not leaves.flags.writeable
    for tier in TIERS:
        assert root_of_array(leaves[3:200], tier=tier) == mth(LEAVES[3:200])
        assert root_of_array(leaves[::2], tier=tier) == mth(LEAVES[::2])


@pytest.mark.parametrize("damaged", [0, -1])
def test_lanes_that_are_wrong_are_noticed(damaged: int, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = stringzilla.Sha256s

    class Wrong:
        def __init__(self, count: int) -> None:
            self._lanes = genuine(count)

        def update(self, messages: object) -> Wrong:
            self._lanes.update(messages)
            return self

        def digest(self, out: Hashes) -> None:
            self._lanes.digest(out=out)
            out[damaged, 31] ^= 1

    monkeypatch.setattr(stringzilla, "Sha256s", Wrong)
    data, offsets = sliced([100] * 50)
    with pytest.raises(VerificationError, match="disagrees with hashlib"):
        hash_slices(data, offsets, tier=HashTier.LANES)
    with pytest.raises(VerificationError, match="disagrees with hashlib"):
        root_of_array(array_of(LEAVES), tier=HashTier.LANES)
    assert len(hash_slices(data, offsets, tier=HashTier.HASHLIB)) == 50


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    "offsets",
    [
        np.empty(0, np.int64),
        np.array([0, 5, 3]),
        np.array([0, 11]),
        np.array([-1, 4]),
        np.array([0, 2**62]),
        np.array([0, 4], np.int32),
        np.array([0.0, 4.0]),
        np.array([[0, 4]]),
    ],
    ids=str,
)
def test_offsets_that_lead_out_of_the_data_are_malformed(
    offsets: np.ndarray[tuple[int], np.dtype[np.int64]], tier: HashTier
) -> None:
    with pytest.raises(MalformedError):
        hash_slices(np.zeros(10, np.uint8), offsets, tier=tier)


@pytest.mark.parametrize("data", [np.zeros(10, np.int64), np.zeros((5, 2), np.uint8), np.zeros(20, np.uint8)[::2]])
def test_data_of_another_form_is_malformed(data: Hashes) -> None:
    with pytest.raises(MalformedError):
        hash_slices(data, np.array([0, 4]), tier=HashTier.LANES)


@pytest.mark.parametrize("hashes", [np.zeros((2, 31), np.uint8), np.zeros(64, np.uint8), np.zeros((2, 32), np.int8)])
def test_arrays_that_hold_no_hashes_are_malformed(hashes: Hashes) -> None:
    for work in (hash_parents, subtree_levels, root_of_array):
        with pytest.raises(MalformedError):
            work(hashes, tier=HashTier.LANES)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 17, 31, 33, 95, 96, 97, 191, 192, 193, 1_000, 9_000])
def test_leaves_and_folds_are_those_of_hashlib(tier: HashTier, count: int) -> None:
    chance = random.Random(count)
    messages = [chance.randbytes(chance.choice([0, 1, 54, 55, 64, 250, 1_024])) for _ in range(count)]
    leaves = leaf_hashes(messages, tier=tier)
    assert leaves == b"".join(sha256(b"\x00" + message).digest() for message in messages)
    pairs = [leaves[at : at + 64] for at in range(0, len(leaves) // 64 * 64, 64)]
    assert fold_pairs(leaves, tier=tier) == b"".join(sha256(b"\x01" + pair).digest() for pair in pairs)


def test_leaves_with_a_long_one_among_them() -> None:
    messages = [b"x" * 65_535, *(b"%d" % number for number in range(50))]
    expected = b"".join(sha256(b"\x00" + message).digest() for message in messages)
    assert leaf_hashes(messages, tier=HashTier.LANES) == expected


def test_lanes_that_disagree_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        def __init__(self, count: int) -> None: ...

        def update(self, messages: object) -> Wrong:
            return self

        def digest(self, *, out: object) -> None: ...

    monkeypatch.setattr(stringzilla, "Sha256s", Wrong)
    with pytest.raises(VerificationError, match="disagrees"):
        leaf_hashes([b"x"] * 100, tier=HashTier.LANES)
    with pytest.raises(VerificationError, match="disagrees"):
        fold_pairs(bytes(64 * 100), tier=HashTier.LANES)
