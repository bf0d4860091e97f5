"""Local files and folders: every odd thing a file system can hold, and datasets that change while they are read."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import socket
import stat
import subprocess
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from provenance.encoding import Digest
from provenance.errors import SourceError
from provenance.fingerprint import Fingerprint
from provenance.sources import Progress, Reading, open_source
from provenance.sources.local import listing, run


def _fingerprint(path: Path) -> Fingerprint:
    return open_source(path).fingerprint()


def _refused(path: Path) -> SourceError:
    with pytest.raises(SourceError) as raised:
        _fingerprint(path)
    assert raised.value.message.isprintable()
    return raised.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "dataset"
    made.mkdir()
    (made / "a.csv").write_bytes(b"1,2\n")
    return made


# ---- what a fingerprint is -----------------------------------------------------------------------------------------


def _naive(folder: Path) -> bytes:
    """The digest by the written rules: `sha256sum` for contents, rfc8785 for JSON, RFC 9162 by its recursion."""
    names = sorted(str(p.relative_to(folder)).encode() for p in folder.rglob("*") if p.is_file())
    leaves, total = [], 0
    for name in names:
        path = folder / os.fsdecode(name)
        said = subprocess.run(["sha256sum", "--zero", "--", path], capture_output=True, check=True).stdout
        size = path.stat().st_size
        total += size
        leaves.append(rfc8785.dumps({"path": name.decode(), "size": size, "digest": {"sha256": said[:64].decode()}}))

    def root(of: list[bytes]) -> bytes:
        if len(of) == 1:
            return hashlib.sha256(b"\0" + of[0]).digest()
        half = 1
        while 2 * half < len(of):
            half *= 2
        return hashlib.sha256(b"\1" + root(of[:half]) + root(of[half:])).digest()

    files = {"algorithm": "sha256", "count": len(leaves), "leaf": "urn:provenance-ledger:file-leaf:1"}
    document: dict[str, Any] = {
        "format": "urn:provenance-ledger:fingerprint:1",
        "files": {**files, "root": root(leaves).hex()},
        "totalBytes": total,
    }
    return hashlib.sha256(rfc8785.dumps(document)).digest()


def test_the_digest_is_what_sha256sum_and_a_naive_tree_give(folder: Path) -> None:
    chance = random.Random(5)
    for number in range(70):
        path = folder / f"d{number % 7}" / ("sub/" * (number % 3)) / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(chance.choice([0, 1, 63, 64, 4_096, 100_000])))
    (folder / "big").write_bytes(chance.randbytes(3 * 2**20 + 17))
    (folder / "name\nwith\\newline").write_bytes(b"x")
    assert _fingerprint(folder).digest.raw == _naive(folder)


def test_a_single_file_is_a_dataset_of_that_name(folder: Path) -> None:
    made = _fingerprint(folder / "a.csv")
    assert [(f.path, f.size, f.digest) for f in made.files] == [("a.csv", 4, Digest.of(b"1,2\n"))]
    assert made == _fingerprint(folder)  # which holds it alone
    (folder / "a.csv").rename(folder / "b.csv")
    assert _fingerprint(folder / "b.csv").digest != made.digest


def test_the_order_of_a_directory_means_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        (folder / f"s{number % 3}").mkdir(exist_ok=True)
        (folder / f"s{number % 3}" / f"{number}").write_bytes(b"%d" % number)
    expected = _fingerprint(folder)
    genuine = os.scandir
    for seed in range(5):
        chance = random.Random(seed)

        @contextmanager
        def shuffled(path: Any, chance: random.Random = chance) -> Iterator[Any]:
            with genuine(path) as listing:
                entries = list(listing)
            chance.shuffle(entries)
            yield iter(entries)

        monkeypatch.setattr(os, "scandir", shuffled)
        assert _fingerprint(folder) == expected


def test_names_are_bytes_and_are_not_normalised(folder: Path) -> None:
    composed = "é"
    decomposed = unicodedata.normalize("NFD", composed)
    odd = [
        composed,
        decomposed,
        "new\nline",
        "back\\slash",
        "tab\t",
        "\u202egnp.exe",
        "\x1b[31m",
        " ",
        "-rf",
        "a b",
        "\U0001f600",
    ]
    for number, name in enumerate(odd):
        (folder / name).write_bytes(b"%d" % number)
    found = {entry.path: entry.digest for entry in _fingerprint(folder).files}
    for number, name in enumerate(odd):
        assert found[name] == Digest.of(b"%d" % number)
    assert len(found) == len(odd) + 1


def test_empty_files_count_and_empty_folders_do_not(folder: Path) -> None:
    before = _fingerprint(folder)
    (folder / "empty").mkdir()
    (folder / "empty" / "deeper").mkdir()
    assert _fingerprint(folder) == before
    (folder / "empty" / "deeper" / "file").touch()
    (added,) = set(_fingerprint(folder).files) - set(before.files)
    assert (added.path, added.size, added.digest) == ("empty/deeper/file", 0, Digest.of(b""))


def test_two_hard_links_are_two_files(folder: Path) -> None:
    (folder / "b.csv").hardlink_to(folder / "a.csv")
    assert [entry.path for entry in _fingerprint(folder).files] == ["a.csv", "b.csv"]


def test_nothing_but_the_ledger_in_use_is_left_out(folder: Path) -> None:
    before = _fingerprint(folder)
    ledger, other = folder / ".provenance", folder / "sub" / ".provenance"
    for place in (ledger, other):
        place.mkdir(parents=True)
        (place / "config.toml").write_bytes(b"x")
        (place / "ledger.db").write_bytes(b"x")
    inside = {".provenance/config.toml", ".provenance/ledger.db"}
    others = {"a.csv", "sub/.provenance/config.toml", "sub/.provenance/ledger.db"}
    assert {entry.path for entry in _fingerprint(folder).files} == inside | others
    left = open_source(folder, Reading(leave_out=ledger)).fingerprint()
    assert {entry.path for entry in left.files} == others
    shutil.rmtree(other.parent)
    assert open_source(folder, Reading(leave_out=folder / "x" / ".." / ".provenance")).fingerprint() == before
    assert open_source(folder, Reading(leave_out=folder / "nowhere")).fingerprint() != before


def test_a_deep_tree(folder: Path) -> None:
    place = folder.joinpath(*["d"] * 800)
    place.mkdir(parents=True)
    (place / "file").write_bytes(b"deep")
    assert "d/" * 800 + "file" in {entry.path for entry in _fingerprint(folder).files}


def test_a_tree_deeper_than_a_path_can_say_is_refused(folder: Path) -> None:
    here = Path.cwd()
    os.chdir(folder)
    try:
        for _ in range(30):
            Path("d" * 200).mkdir()
            os.chdir("d" * 200)
        Path("file").touch()
    finally:
        os.chdir(here)
    try:
        assert "name too long" in _refused(folder).message
    finally:
        subprocess.run(["rm", "-rf", folder / ("d" * 200)], check=True)


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["a.csv", "dir", "nowhere", ".", "link", "/dev/null", "/"])
@pytest.mark.parametrize("where", ["link", "dir/link"])
def test_a_symbolic_link_inside_is_refused(folder: Path, target: str, where: str) -> None:
    (folder / "dir").mkdir()
    (folder / where).symlink_to(target)
    error = _refused(folder)
    assert (error.got, error.where) == ("a symbolic link", str(folder / where))
    assert error.hint is not None


def test_the_dataset_itself_may_be_a_link_and_is_where_it_leads(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "file").symlink_to(folder / "a.csv")
    assert open_source(tmp_path / "link").location == str(folder)
    assert _fingerprint(tmp_path / "link") == _fingerprint(folder)
    assert [entry.path for entry in _fingerprint(tmp_path / "file").files] == ["a.csv"]


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    assert _refused(tmp_path / "loop").got == "a loop of links"
    assert _refused(tmp_path / "dangling").what == "no such file or folder"


def _make_fifo(path: Path) -> None:
    os.mkfifo(path)


def _make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's name is limited to a hundred bytes
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize(("make", "kind"), [(_make_fifo, "a pipe"), (_make_socket, "a socket")])
def test_what_is_no_file_is_refused_and_not_waited_for(folder: Path, make: Callable[[Path], None], kind: str) -> None:
    make(folder / "odd")
    for place in (folder, folder / "odd"):
        error = _refused(place)
        assert (error.got, error.where) == (kind, str(folder / "odd"))


def test_a_device_is_refused() -> None:
    assert _refused(Path("/dev/null")).got == "a device"


def test_a_name_that_is_not_utf8_is_refused(folder: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9")).touch()
    error = _refused(folder)
    assert error.what == "file name is not UTF-8"
    assert error.where is not None
    assert "udce9" in error.where
    assert error.hint == "rename it"
    for folder_name in (b"\xff", b"\xc3\x28"):
        other = folder.parent / f"other{folder_name[1:]!r}"
        (other / os.fsdecode(folder_name)).mkdir(parents=True)
        (other / os.fsdecode(folder_name) / "x").touch()
        assert _refused(other).what == "file name is not UTF-8"


def test_a_folder_that_holds_nothing_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "empty" / "empty").mkdir(parents=True)
    assert _refused(tmp_path / "empty").what == "folder holds no files"


@pytest.mark.parametrize("name", ["missing", "a.csv/inside", "x" * 300, "nul\0", "x/" * 3_000])
def test_a_place_that_is_not_there(folder: Path, name: str) -> None:
    with pytest.raises(SourceError):
        open_source(folder / name)


def test_too_many_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "b.csv").touch()
    monkeypatch.setattr(listing, "MAX_FILES", 2)
    _fingerprint(folder)
    (folder / "c.csv").touch()
    assert _refused(folder).what == "folder holds too many files"


def _as_nobody(work: Callable[[], str]) -> str:
    """What `work` returns in a process that is not the superuser, for whom nothing is closed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            os.write(writer, work().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        answer = answers.read().decode()
    os.waitpid(child, 0)
    return answer


@pytest.mark.parametrize("closed", ["a.csv", "dir"])
def test_what_may_not_be_read_is_named(folder: Path, closed: str) -> None:
    (folder / "dir").mkdir()
    (folder / "dir" / "b.csv").touch()
    opened = [folder, *folder.parents]
    modes = {path: path.stat().st_mode for path in opened}
    for path in opened[:-1]:
        path.chmod(stat.S_IMODE(modes[path]) | 0o055)
    (folder / closed).chmod(0)

    def attempt() -> str:
        try:
            open_source(folder).fingerprint()
        except SourceError as error:
            return json.dumps([error.what, error.got, error.where])
        return "read"

    try:
        answer = _as_nobody(attempt)
    finally:
        (folder / closed).chmod(0o700)
        for path in opened[:-1]:
            path.chmod(stat.S_IMODE(modes[path]))
    assert json.loads(answer) == ["cannot read", "Permission denied", str(folder / closed)]


# ---- URIs ----------------------------------------------------------------------------------------------------------


def test_file_uris(folder: Path) -> None:
    odd = folder / "a b%20#?é.csv"
    odd.write_bytes(b"x")
    expected = _fingerprint(odd)
    for uri in (
        odd.as_uri(),
        odd.as_uri().replace("file://", "file://localhost"),
        odd.as_uri().replace("file://", "FILE:"),
    ):
        assert open_source(uri).fingerprint() == expected


@pytest.mark.parametrize(
    "uri",
    [
        "file://elsewhere/etc/hostname",
        "file:etc/hostname",
        "file://",
        "file:",
        "file:///etc/hostname?x",
        "file:///etc/hostname#x",
        "file://user:hunter2@elsewhere/x",
        "https://user:hunter2@example.org/x",
        "http://[::1",
        "HTTP://x",
        "x://",
    ],
)
def test_uris_that_are_no_local_file(uri: str) -> None:
    with pytest.raises(SourceError) as raised:
        open_source(uri)
    if not uri.startswith("file"):
        assert "hunter2" not in str(raised.value)


# ---- change while it is read ---------------------------------------------------------------------------------------


def _during_reading(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object], after_files: int = 1) -> None:
    """Call `act` once, when this many files have been read."""
    genuine, count = run._hash_file, [0]

    def hashing(*arguments: Any) -> Any:
        entry = genuine(*arguments)
        count[0] += 1
        if count[0] == after_files:
            act()
        return entry

    monkeypatch.setattr(run, "_hash_file", hashing)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


def _rewrite_in_place(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"X")


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("f1")


def _replace(path: Path) -> None:
    new = path.with_name("new")
    new.write_bytes(path.read_bytes())
    os.utime(new, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    new.replace(path)


def _rewrite_and_hide(path: Path) -> None:
    """Change a byte and set the time of modification back, as a forger would."""
    before = path.stat()
    _rewrite_in_place(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "added": (lambda folder: (folder / "added").write_bytes(b"x"), "added"),
    "added deep": (lambda folder: (folder / "dir" / "added").write_bytes(b"x"), "dir/added"),
    "removed": (lambda folder: (folder / "f0").unlink(), "f0"),
    "renamed": (lambda folder: (folder / "f0").rename(folder / "g0"), "g0"),
    "appended": (lambda folder: _append(folder / "f0"), "f0"),
    "truncated": (lambda folder: os.truncate(folder / "f0", 1), "f0"),
    "rewritten": (lambda folder: _rewrite_in_place(folder / "f0"), "f0"),
    "rewritten and hidden": (lambda folder: _rewrite_and_hide(folder / "f0"), "f0"),
    "replaced": (lambda folder: _replace(folder / "f0"), "f0"),
    "linked": (lambda folder: _link(folder / "f0"), "f0"),
    "mode": (lambda folder: (folder / "f0").chmod(0o600), "f0"),
}


@pytest.mark.parametrize("after_files", [1, 4])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_between_any_two_files_is_noticed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: str, after_files: int
) -> None:
    """Also where the file that changes was read before, or is read after."""
    (folder / "a.csv").unlink()
    (folder / "dir").mkdir()
    (folder / "dir" / "x").write_bytes(b"x")
    for number in range(4):
        (folder / f"f{number}").write_bytes(b"content")
    act, path = CHANGES[change]
    _during_reading(monkeypatch, lambda: act(folder), after_files)
    error = _refused(folder)
    assert error.where == str(folder / path) or change == "renamed"
    monkeypatch.undo()
    if change != "linked":
        _fingerprint(folder)  # once it holds still


def test_a_folder_exchanged_for_the_moment_of_opening_is_noticed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renaming a folder touches no time of the files in it: only the inode that was read gives it away."""
    (folder / "dir").mkdir()
    (folder / "dir" / "x").write_bytes(b"good")
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "x").write_bytes(b"evil")
    genuine = os.open

    def exchanging(path: Any, *arguments: Any) -> int:
        if path != str(folder / "dir" / "x"):
            return genuine(path, *arguments)
        (folder / "dir").rename(tmp_path / "aside")
        (tmp_path / "evil").rename(folder / "dir")
        descriptor = genuine(path, *arguments)
        (folder / "dir").rename(tmp_path / "evil")
        (tmp_path / "aside").rename(folder / "dir")
        return descriptor

    monkeypatch.setattr(os, "open", exchanging)
    assert _refused(folder).where == str(folder / "dir" / "x")


def test_a_file_that_grows_all_the_time_is_refused_and_not_followed(folder: Path) -> None:
    """A thread appends as fast as it can; the reader must give up on it."""
    path, stop = folder / "grows", threading.Event()
    path.write_bytes(b"x" * 2**20)

    def append() -> None:
        with path.open("ab", buffering=0) as file:
            while not stop.is_set() and file.tell() < 2**28:
                file.write(b"y" * 4_096)

    thread = threading.Thread(target=append)
    thread.start()
    try:
        started = time.monotonic()
        assert _refused(folder).what == "file changed while it was read"
        assert time.monotonic() - started < 5
    finally:
        stop.set()
        thread.join()
    assert _fingerprint(folder).files[-1].size == path.stat().st_size


def test_a_file_rewritten_over_and_over_gives_one_of_its_states_or_none(folder: Path) -> None:
    """Two contents of one size alternate; a mixture of both must never come out."""
    path, stop = folder / "flips", threading.Event()
    contents = [bytes([letter]) * 300_000 for letter in b"ab"]
    path.write_bytes(contents[0])
    states = {Digest.of(content) for content in contents}

    def flip() -> None:
        turn = 0
        with path.open("r+b", buffering=0) as file:
            while not stop.is_set():
                turn += 1
                file.seek(0)
                file.write(contents[turn % 2])
                if turn % 7 == 0:
                    time.sleep(0.05)

    thread = threading.Thread(target=flip)
    thread.start()
    refused = 0
    try:
        for attempt in range(4_000):  # a busy machine may let the writer rest for long
            if attempt >= 40 and refused:
                break
            try:
                (entry,) = [f for f in _fingerprint(folder).files if f.path == "flips"]
                assert entry.digest in states
            except SourceError:
                refused += 1
    finally:
        stop.set()
        thread.join()
    assert refused > 0


def test_a_file_just_written_is_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second write within one tick of the file system's clock would leave no trace."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    (folder / "now").write_bytes(b"x")
    _fingerprint(folder)
    assert len(waits) == 1
    assert 0 < waits[0] <= 0.011
    old = time.time_ns() - 10**9
    monkeypatch.setattr(time, "time_ns", lambda: old + 2 * 10**9)
    _fingerprint(folder)
    assert len(waits) == 1


def test_a_time_ahead_hides_no_file_just_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    ahead = time.time_ns() + 10**15
    (folder / "ahead").touch()
    os.utime(folder / "ahead", ns=(ahead, ahead))
    (folder / "now").write_bytes(b"x")
    _fingerprint(folder)
    assert len(waits) == 1


def test_the_first_failure_ends_the_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(900):  # below what several processes are made for
        (folder / f"{number:04}").write_bytes(b"x")
    read: list[str] = []

    def hashing(path: str, *_: Any) -> Any:
        read.append(path)
        raise SourceError("cannot read", where=path)

    monkeypatch.setattr(run, "_hash_file", hashing)
    _refused(folder)
    assert len(read) <= 8 * (os.cpu_count() or 1)


# ---- progress ------------------------------------------------------------------------------------------------------


def test_progress_counts_every_byte_and_file_once(folder: Path) -> None:
    for number in range(300):
        (folder / f"{number:03}").write_bytes(b"x" * number)
    (folder / "big").write_bytes(bytes(3 * 2**20))
    seen: list[Progress] = []
    made = open_source(folder).fingerprint(seen.append)
    assert seen[-1] == Progress(made.document.total_bytes, made.document.total_bytes, 302, 302)
    assert [p.done_bytes for p in seen] == sorted(p.done_bytes for p in seen)
    assert {(p.total_bytes, p.total_files) for p in seen} == {(made.document.total_bytes, 302)}


def test_a_callback_that_fails_ends_the_reading(folder: Path) -> None:
    class Stop(Exception):
        pass

    def stop(_: Progress) -> None:
        raise Stop

    (folder / "b").write_bytes(b"x")
    with pytest.raises(Stop):
        open_source(folder).fingerprint(stop)
