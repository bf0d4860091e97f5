"""Monitoring and mirroring logs written by hand, and ours: what is told, remembered, refused and copied."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from provenance.errors import ConflictError, LogError, MalformedError, StoreError, VerificationError
from provenance.ledger.log_mirror import Mirrored, mirror_log
from provenance.ledger.log_monitor import Monitor
from provenance.ledger.log_state import read_state, write_evidence
from provenance.ledger.watching import MAX_PATTERNS, Found, Watch
from provenance.log import encode_tile_path, parse_vkey
from provenance.log.fault import FaultKind, LogFaultError, verify_fork
from provenance.log.static import StaticPath
from provenance.logs import LogFiles, open_log
from provenance.publishers import open_publisher
from tests.e2e.server.statements import as_parent, envelope_of, source_key, statement_of
from tests.simulators.hand_log import HandLog, leaf

LOG = HandLog()
VERIFIER = parse_vkey(LOG.vkey)
KEY, OTHER_KEY = source_key(1), source_key(2)
RAW = envelope_of(KEY, "museum/raw@1", b"raw")
CLEAN = envelope_of(OTHER_KEY, "lab/clean@2", b"clean", [as_parent("museum/raw@1", b"raw", RAW)])
ENTRIES = [b"foreign %d" % number for number in range(5_000)]
MIXED = [b"foreign", RAW, b"", CLEAN, b'{"payload":"not an envelope"}']


def poll(folder: Path, state: Path | None = None, *patterns: str) -> list[Found]:
    """One run of a monitor, as the command line makes it: what was told."""
    one = Monitor(open_log(str(folder)), VERIFIER, state=state, watch=Watch(patterns), all_tiles=True)
    told: list[Found] = []
    for progress in one.poll():
        told += progress.found
        one.remember(progress)
    assert progress.is_complete
    return told


def indexes(found: Sequence[Found]) -> list[int]:
    return [one.index for one in found]


# ---- what is told --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("museum/raw", [1, 3]),
        ("museum/raw@1", [1, 3]),
        ("museum/raw@2", []),
        ("museum/*", [1, 3]),
        ("lab/cle?n", [3]),
        ("lab/clean@*", [3]),
        ("Lab/clean", []),
        ("*", [0, 1, 2, 3, 4]),
        (KEY.public.keyid, [1]),
        (OTHER_KEY.public.keyid[:8], [3]),
        (statement_of("museum/raw@1", b"raw").digest.hex, [1, 3]),
        (leaf(b"foreign").hex(), [0]),
        (leaf(RAW).hex()[:16], [1]),
        ("00000000", []),
    ],
)
def test_patterns_name_entries(tmp_path: Path, pattern: str, told: list[int]) -> None:
    LOG.write(tmp_path, MIXED)
    assert indexes(poll(tmp_path, None, pattern)) == told


def test_what_is_ours_is_understood_and_the_rest_is_hashes(tmp_path: Path) -> None:
    LOG.write(tmp_path, MIXED)
    foreign, ours, *_ = (one.to_json() for one in poll(tmp_path, None, "*"))
    assert ours["name"] == "museum/raw@1" and ours["keyid"] == KEY.public.keyid
    assert set(foreign) == {"index", "pattern", "leafHash", "sha256"}
    assert foreign["leafHash"] == leaf(b"foreign").hex()


@pytest.mark.parametrize("pattern", ["", "abc", "ABCDEF0123", "0123456", "a b/c", "name", "\x1b/x", "x/" * 300])
def test_what_cannot_be_watched_is_refused(pattern: str) -> None:
    with pytest.raises(MalformedError):
        Watch((pattern,))


def test_patterns_are_bounded() -> None:
    with pytest.raises(MalformedError):
        Watch(("a/b",) * (MAX_PATTERNS + 1))


# ---- what is remembered --------------------------------------------------------------------------------------------


def test_an_entry_is_told_of_once(tmp_path: Path) -> None:
    state, told = tmp_path / "state", list[int]()
    for size in (0, 1, 2, 2, 255, 256, 257, 4_096, 4_097, 5_000):
        LOG.write(tmp_path / "log", ENTRIES[:size])
        told += indexes(poll(tmp_path / "log", state, "*"))
        assert told == list(range(size))
    assert (state.stat().st_mode & 0o777) == 0o600


def test_progress_is_remembered_in_the_middle(tmp_path: Path) -> None:
    LOG.write(tmp_path / "log", ENTRIES)
    one = Monitor(open_log(str(tmp_path / "log")), VERIFIER, state=tmp_path / "state", watch=Watch(("*",)))
    steps = one.poll()
    first = next(steps)
    one.remember(first)
    told = indexes(first.found) + indexes(next(steps).found)  # of which the second is not remembered
    assert told == list(range(5_000))
    assert indexes(poll(tmp_path / "log", tmp_path / "state", "*")) == list(range(4_096, 5_000))


def test_without_a_state_everything_is_looked_at(tmp_path: Path) -> None:
    LOG.write(tmp_path / "log", ENTRIES[:3])
    assert indexes(poll(tmp_path / "log", None, "*")) == indexes(poll(tmp_path / "log", None, "*")) == [0, 1, 2]


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    LOG.write(tmp_path / "log", ENTRIES[:600])
    poll(tmp_path / "log", state)
    good = state.read_text()
    document = json.loads(good)
    changes: list[dict[str, object]] = [
        {"seen": "601"},
        {"seen": "-1"},
        {"seen": "255"},
        {"reached": "511"},
        {"reached": "256"},
        {"nodes": []},
        {"nodes": ["zz"]},
        {"nodes": ["00"]},
        {"checkpoint": "x"},
        {"more": 1},
    ]
    damaged = ["", "{}", good[:-9], good.replace("log-state:1", "log-state:2")]
    damaged += [json.dumps({**document, **change}) for change in changes]
    for text in damaged:
        state.write_text(text)
        with pytest.raises(StoreError, match="damaged"):
            poll(tmp_path / "log", state)
    state.write_text(json.dumps({**document, "nodes": ["00" * 32]}))
    LOG.write(tmp_path / "log", ENTRIES[:700])
    with pytest.raises(StoreError, match="damaged"):
        poll(tmp_path / "log", state)


def test_the_state_of_another_log_is_refused(tmp_path: Path) -> None:
    LOG.write(tmp_path / "log", ENTRIES[:3])
    poll(tmp_path / "log", tmp_path / "state")
    with pytest.raises(ConflictError, match="another log"):
        read_state(tmp_path / "state", "another.example/log")


# ---- what is refused -----------------------------------------------------------------------------------------------


def fault_of(folder: Path, state: Path | None = None) -> LogFaultError:
    with pytest.raises(LogFaultError) as raised:
        poll(folder, state)
    return raised.value


def test_a_log_that_forked_or_went_back_leaves_evidence_and_what_was_seen(tmp_path: Path) -> None:
    state = tmp_path / "state"
    LOG.write(tmp_path / "log", ENTRIES[:300])
    poll(tmp_path / "log", state)
    before = state.read_bytes()
    shutil.rmtree(tmp_path / "log")
    LOG.write(tmp_path / "log", [*ENTRIES[:299], b"another", *ENTRIES[300:400]])
    fault = fault_of(tmp_path / "log", state)
    evidence = write_evidence(state, fault)
    assert evidence.name.startswith("state.evidence-")
    earlier, later = verify_fork(evidence.read_bytes(), VERIFIER)
    assert (earlier.size, later.size) == (300, 400)
    assert write_evidence(state, fault) == evidence
    shutil.rmtree(tmp_path / "log")
    LOG.write(tmp_path / "log", ENTRIES[:299])
    assert fault_of(tmp_path / "log", state).kind is FaultKind.WENT_BACK
    assert state.read_bytes() == before


def test_a_log_that_withholds_is_told_of(tmp_path: Path) -> None:
    LOG.write(tmp_path, ENTRIES[:300])
    (tmp_path / "tile/entries/000").unlink()
    fault = fault_of(tmp_path)
    assert (fault.kind, fault.where) == (FaultKind.WITHHELD, "/tile/entries/000")


def test_a_checkpoint_of_another_key_or_log_is_refused(tmp_path: Path) -> None:
    for other in (HandLog(seed=b"\x01" * 32), HandLog("another.example/log"), HandLog("x.example/y", name=LOG.name)):
        other.write(tmp_path / other.origin, ENTRIES[:1])
        with pytest.raises(VerificationError):
            poll(tmp_path / other.origin)


def test_a_log_whose_key_is_named_otherwise_is_read_by_its_origin(tmp_path: Path) -> None:
    other = HandLog("x.example/y", name="key-of-x")
    other.write(tmp_path, ENTRIES[:2])
    one = Monitor(open_log(str(tmp_path)), parse_vkey(other.vkey), origin="x.example/y")
    assert [progress.seen for progress in one.poll()] == [2]


def test_extension_lines_and_signatures_of_others_are_no_hindrance(tmp_path: Path) -> None:
    other = HandLog()
    other.extensions = ("a line", "another of 2026")
    files = other.write(tmp_path, ENTRIES[:2])
    stranger = HandLog(seed=b"\x01" * 32, name="witness.example/w").sign(2, b"\x00" * 32).split(b"\n\n")[1]
    (tmp_path / "checkpoint").write_bytes(files["checkpoint"] + stranger)
    assert indexes(poll(tmp_path, tmp_path / "state", "*")) == [0, 1]
    assert poll(tmp_path, tmp_path / "state", "*") == []


def test_where_no_log_is_nothing_is_believed(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="no log here"):
        poll(tmp_path)


# ---- what is copied ------------------------------------------------------------------------------------------------


def copy(source: Path | LogFiles, target: Path, verifier_of: HandLog = LOG) -> Mirrored:
    files = open_log(str(source)) if isinstance(source, Path) else source
    with closing(open_publisher(str(target))) as publisher:
        return mirror_log(files, publisher, parse_vkey(verifier_of.vkey))


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Counted:
    """A log's files, counted, that are gone after so many."""

    is_local = True

    def __init__(self, folder: Path, lasts: int = 1 << 60) -> None:
        self._inner, self.label, self._left, self.read_paths = open_log(str(folder)), "counted", lasts, list[str]()

    def checkpoint(self) -> bytes:
        return self._inner.checkpoint()

    def read(self, path: StaticPath) -> bytes | None:
        self._left -= 1
        if self._left < 0:
            raise LogError("log is gone")
        self.read_paths.append(encode_tile_path(path)[1:])
        return self._inner.read(path)

    def beside(self, name: str, max_bytes: int) -> bytes | None:
        return self._inner.beside(name, max_bytes)

    def close(self) -> None:
        """Nothing."""


def test_a_mirror_is_an_exact_copy_and_grows(tmp_path: Path) -> None:
    for size in (0, 1, 255, 256, 300, 1_000):
        expected = LOG.write(tmp_path / "log", ENTRIES[:size])
        done = copy(tmp_path / "log", tmp_path / "mirror")
        found = files_of(tmp_path / "mirror")
        assert found.items() >= expected.items()
        assert found.items() <= files_of(tmp_path / "log").items()
        assert done.head.checkpoint.size == size
        poll(tmp_path / "mirror")
    assert copy(tmp_path / "log", tmp_path / "mirror").files == 0


def test_a_mirror_that_was_stopped_anywhere_goes_on(tmp_path: Path) -> None:
    expected = LOG.write(tmp_path / "log", ENTRIES[:1_000])
    lasts, is_done = 0, False
    while not is_done:
        held, files = set(files_of(tmp_path / "mirror")), Counted(tmp_path / "log", lasts)
        try:
            copy(files, tmp_path / "mirror")
            is_done = True
        except LogError:
            assert not (tmp_path / "mirror/checkpoint").exists()
        assert not [path for path in files.read_paths if path in held and path.startswith("tile/entries")]
        lasts += 1
    assert lasts > 4
    assert files_of(tmp_path / "mirror") == expected


def test_nothing_unverified_is_copied(tmp_path: Path) -> None:
    LOG.write(tmp_path / "log", ENTRIES[:600])
    bundle = tmp_path / "log/tile/entries/001"
    bundle.write_bytes(bundle.read_bytes()[:-1] + b"x")
    with pytest.raises(LogFaultError, match="entries are not those"):
        copy(tmp_path / "log", tmp_path / "mirror")
    assert set(files_of(tmp_path / "mirror")) == {"tile/entries/000", "tile/0/000"}


def test_a_mirror_of_another_log_or_history_is_refused(tmp_path: Path) -> None:
    LOG.write(tmp_path / "log", ENTRIES[:600])
    copy(tmp_path / "log", tmp_path / "mirror")
    before = files_of(tmp_path / "mirror")
    other = HandLog("another.example/log")
    other.write(tmp_path / "other", ENTRIES[:600])
    with pytest.raises(ConflictError, match="another log"):
        copy(tmp_path / "other", tmp_path / "mirror", other)
    LOG.write(tmp_path / "fork", [b"x", *ENTRIES[1:700]])
    with pytest.raises(LogFaultError, match="forked"):
        copy(tmp_path / "fork", tmp_path / "mirror")
    assert files_of(tmp_path / "mirror") == before


def test_damage_of_a_mirror_is_not_blamed_on_the_log(tmp_path: Path) -> None:
    LOG.write(tmp_path / "log", ENTRIES[:600])
    copy(tmp_path / "log", tmp_path / "mirror")
    LOG.write(tmp_path / "log", ENTRIES[:900])
    tile = tmp_path / "mirror/tile/1/000.p/2"
    good = tile.read_bytes()
    tile.write_bytes(bytes(64))
    with pytest.raises(StoreError, match="damaged"):
        copy(tmp_path / "log", tmp_path / "mirror")
    tile.unlink()
    with pytest.raises(StoreError, match="damaged"):
        copy(tmp_path / "log", tmp_path / "mirror")
    tile.write_bytes(good)
    stopped = tmp_path / "mirror/tile/entries/002"  # what a run that was stopped left, and then a disk changed
    stopped.write_bytes(bytes(len((tmp_path / "log/tile/entries/002").read_bytes())))
    with pytest.raises(StoreError, match="damaged") as raised:
        copy(tmp_path / "log", tmp_path / "mirror")
    assert raised.value.where == str(stopped)
    stopped.unlink()
    assert copy(tmp_path / "log", tmp_path / "mirror").since == 600
    poll(tmp_path / "mirror")


@pytest.mark.parametrize("name", ["tile/entries/001", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"])
def test_a_monitor_finds_what_is_wrong_with_a_mirror(tmp_path: Path, name: str) -> None:
    LOG.write(tmp_path / "log", ENTRIES[:600])
    copy(tmp_path / "log", tmp_path / "mirror")
    file = tmp_path / "mirror" / name
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert fault_of(tmp_path / "mirror").kind is FaultKind.MISMATCH
    file.unlink()
    assert fault_of(tmp_path / "mirror").kind is FaultKind.WITHHELD
