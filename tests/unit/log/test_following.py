"""Following a log written by hand: it is believed as far as it is verified, and its faults are proven."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping

import pytest

from provenance.errors import MalformedError, StoreError, VerificationError
from provenance.log import EntriesPath, TilePath, encode_tile_path, open_checkpoint, parse_vkey
from provenance.log.fault import FaultKind, LogFaultError, encode_evidence, verify_fork
from provenance.log.following import Follower, Head
from provenance.log.static import StaticPath
from provenance.log.tile import encode_entries
from provenance.merkle import CompactRange
from tests.simulators.hand_log import HandLog, leaf, mth

LOG = HandLog()
VERIFIER = parse_vkey(LOG.vkey)
ENTRIES = [b"" if number == 3 else b"entry %d" % number for number in range(1_000)]
SIZES = (0, 1, 2, 255, 256, 257, 300, 512, 600, 1_000)


def follower(files: Mapping[str, bytes], before: Mapping[str, bytes] | None = None) -> Follower:
    def read(path: StaticPath) -> bytes | None:
        return files.get(encode_tile_path(path)[1:])

    return Follower(read, head(files), before=None if before is None else head(before))


def head(files: Mapping[str, bytes]) -> Head:
    return Head(files["checkpoint"], open_checkpoint(files["checkpoint"], VERIFIER))


def entries_of(one: Follower, reached: CompactRange | None = None, *, all_tiles: bool = True) -> list[bytes]:
    return [entry for bundle in one.bundles(reached, all_tiles=all_tiles) for entry in bundle.entries]


@pytest.mark.parametrize("size", SIZES)
def test_a_log_of_any_size_is_read(size: int) -> None:
    files = LOG.files(ENTRIES[:size])
    one = follower(files)
    one.check_growth()
    bundles = list(one.bundles(all_tiles=True))
    assert [entry for bundle in bundles for entry in bundle.entries] == ENTRIES[:size]
    made = {encode_tile_path(bundle.path)[1:]: bundle.data for bundle in bundles}
    made |= {encode_tile_path(path)[1:]: data for bundle in bundles for path, data in bundle.tiles}
    assert {**made, "checkpoint": files["checkpoint"]} == files


@pytest.mark.parametrize("old", SIZES)
@pytest.mark.parametrize("new", SIZES)
def test_growth_is_verified_and_going_back_is_seen(old: int, new: int) -> None:
    before, after = LOG.files(ENTRIES[:old]), LOG.files(ENTRIES[:new])
    one = follower(after, before)
    if new >= old:
        one.check_growth()
        reached = follower(before).read_range(old // 256 * 256)
        assert entries_of(one, reached) == ENTRIES[old // 256 * 256 : new]
        return
    with pytest.raises(LogFaultError, match="went back") as raised:
        one.check_growth()
    assert raised.value.kind is FaultKind.WENT_BACK
    assert (raised.value.earlier, raised.value.later) == (before["checkpoint"], after["checkpoint"])


@pytest.mark.parametrize(("old", "new"), [(1, 1), (1, 2), (2, 3), (256, 256), (256, 300), (257, 1_000), (600, 601)])
def test_a_fork_is_proven_to_anybody(old: int, new: int) -> None:
    before = LOG.files(ENTRIES[:old])
    after = LOG.files([b"another", *ENTRIES[1:new]])
    with pytest.raises(LogFaultError, match="forked") as raised:
        follower(after, before).check_growth()
    evidence = encode_evidence(raised.value)
    earlier, later = verify_fork(evidence, VERIFIER)
    assert (earlier.size, later.size) == (old, new)
    with pytest.raises(VerificationError):
        verify_fork(evidence, parse_vkey(HandLog(seed=b"\x08" * 32).vkey))
    document = json.loads(evidence)
    for name in ("earlier", "later"):
        changed = {**document, name: document[name].replace("other.example", "outer.example", 1)}
        with pytest.raises((VerificationError, MalformedError)):
            verify_fork(json.dumps(changed).encode(), VERIFIER)


def test_honest_checkpoints_are_no_fork() -> None:
    old, new = LOG.files(ENTRIES[:3]), LOG.files(ENTRIES[:5])
    leaves = [leaf(entry) for entry in ENTRIES[:5]]
    proof = [leaves[2], leaves[3], mth(leaves[:2]), leaves[4]]
    fault = LogFaultError(
        FaultKind.FORKED, "x", earlier=old["checkpoint"], later=new["checkpoint"], root=mth(leaves[:3]), proof=proof
    )
    with pytest.raises(VerificationError, match="no fork"):
        verify_fork(encode_evidence(fault), VERIFIER)
    for later in (old, new):  # the same checkpoint twice; no proof at all
        fault = LogFaultError(FaultKind.FORKED, "x", earlier=old["checkpoint"], later=later["checkpoint"])
        with pytest.raises((VerificationError, MalformedError)):
            verify_fork(encode_evidence(fault), VERIFIER)
    for data in (b"", b"[]", b"{}", b'{"type":"urn:provenance-ledger:log-fault:1"}'):
        with pytest.raises(MalformedError):
            verify_fork(data, VERIFIER)


@pytest.mark.parametrize("size", [1, 256, 300, 600])
def test_no_file_can_be_withheld(size: int) -> None:
    files = LOG.files(ENTRIES[:size])
    for name in files.keys() - {"checkpoint"}:
        with pytest.raises(LogFaultError, match="withholds") as raised:
            entries_of(follower({key: data for key, data in files.items() if key != name}))
        assert raised.value.kind is FaultKind.WITHHELD
        assert raised.value.where == f"/{name}"


@pytest.mark.parametrize("size", [1, 256, 300, 600])
def test_no_byte_can_be_changed(size: int) -> None:
    files, chosen = LOG.files(ENTRIES[:size]), random.Random(size)
    for name in files.keys() - {"checkpoint"}:
        data = files[name]
        for at in {0, 1, len(data) - 1, *(chosen.randrange(len(data)) for _ in range(6))}:
            changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            with pytest.raises(LogFaultError) as raised:
                entries_of(follower({**files, name: changed}))
            assert raised.value.kind is FaultKind.MISMATCH


@pytest.mark.parametrize("cut", [b"", b"\x00"])
def test_files_of_a_wrong_length_are_refused(cut: bytes) -> None:
    files = LOG.files(ENTRIES[:300])
    for name in files.keys() - {"checkpoint"}:
        for data in (files[name] + b"\x00" * 32, files[name][:-1], cut):
            with pytest.raises(LogFaultError) as raised:
                entries_of(follower({**files, name: data}))
            assert raised.value.kind is FaultKind.MISMATCH


def test_entries_of_another_tree_are_told_of_before_any_is_given_out() -> None:
    files = LOG.files(ENTRIES[:600])
    other = LOG.files([*ENTRIES[:300], b"other", *ENTRIES[301:600]])
    given: list[bytes] = []
    with pytest.raises(LogFaultError, match="entries are not those") as raised:
        for bundle in follower({**files, "tile/entries/001": other["tile/entries/001"]}).bundles():
            given += bundle.entries
    assert given == ENTRIES[:256]
    assert raised.value.where == "/tile/entries/001"


def test_without_all_tiles_only_those_that_proofs_need_are_read() -> None:
    files = LOG.files(ENTRIES[:600])
    read: set[str] = set()

    def note(path: StaticPath) -> bytes | None:
        read.add(encode_tile_path(path))
        return files[encode_tile_path(path)[1:]]

    assert entries_of(Follower(note, head(files)), all_tiles=False) == ENTRIES[:600]
    assert "/tile/0/000" not in read and "/tile/1/000.p/2" in read


def test_partial_files_that_are_gone_are_taken_from_the_full_ones() -> None:
    """A log may remove a partial tile once the full one is there."""
    signed, later = LOG.files(ENTRIES[:600]), LOG.files([*ENTRIES, *(b"more" for _ in range(24))])
    files = {name: data for name, data in later.items() if ".p/" not in name}
    files |= {"checkpoint": signed["checkpoint"], "tile/1/000.p/2": signed["tile/1/000.p/2"]}
    bundles = list(follower(files).bundles(all_tiles=True))
    assert bundles[-1].data == signed["tile/entries/002.p/88"]
    assert [entry for bundle in bundles for entry in bundle.entries] == ENTRIES[:600]
    files["tile/entries/002"] = b"\x00\x09cut"
    with pytest.raises(LogFaultError, match="cut"):
        entries_of(follower(files))


def test_what_was_kept_is_verified_before_it_is_relied_on() -> None:
    files = LOG.files(ENTRIES[:600])
    wrong = follower(LOG.files([b"x", *ENTRIES[1:600]])).read_range(256)
    with pytest.raises(StoreError, match="damaged"):
        entries_of(follower(files), wrong)
    for size in (1, 255):
        with pytest.raises(StoreError, match="does not fit"):
            entries_of(follower(files), follower(files).read_range(size))
    with pytest.raises(StoreError, match="does not fit"):
        entries_of(follower(LOG.files(ENTRIES[:3])), follower(files).read_range(256))


def test_a_size_that_nobody_could_hold_ends_at_the_first_file() -> None:
    size = 2**64 - 1
    files = {"checkpoint": LOG.sign(size, b"\x01" * 32)}
    with pytest.raises(LogFaultError, match="withholds"):
        entries_of(follower(files))
    with pytest.raises(LogFaultError, match="withholds"):
        follower(files, LOG.files(ENTRIES[:3])).check_growth()


def test_entries_as_ours_are_read_too() -> None:
    assert encode_entries([b"a"]) == LOG.files([b"a"])["tile/entries/000.p/1"]
    assert encode_tile_path(EntriesPath(0, 1)) == "/tile/entries/000.p/1"
    assert encode_tile_path(TilePath(0, 0, 1)) == "/tile/0/000.p/1"
