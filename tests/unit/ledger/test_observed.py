"""What a command opens while it runs: of its inputs, and what nobody named."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from provenance.ledger import Ledger
from provenance.ledger.reading import ReadUsage
from provenance.ledger.running import RunRecorder
from provenance.machine import opens
from provenance.machine.opens import watch_opens
from provenance.policy import Status
from provenance.statement.run import Run
from provenance.verify import Check

SCRIPT = """
import mmap, os, pathlib, sys
sys.path.insert(0, os.getcwd())
import helper
texts = [pathlib.Path('raw/a').read_text(), pathlib.Path('other/list').read_text()]
with open('raw/deep/b', 'rb') as file:
    texts.append(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[:].decode())
pathlib.Path('scratch').write_text('x')
pathlib.Path('scratch').read_text()
pathlib.Path('out').mkdir()
pathlib.Path('out/c').write_text(''.join(texts) + helper.WORD)
pathlib.Path('out/c').read_text()
"""


@pytest.fixture
def folder(ledger: Ledger, tmp_path: Path) -> Path:
    made = tmp_path / "work"
    (made / "raw" / "deep").mkdir(parents=True)
    (made / "other").mkdir()
    for path, text in (
        ("raw/a", "1"), ("raw/deep/b", "2"), ("raw/unread", "3"), ("other/list", "4"), ("other/unread", "5"),
        ("helper.py", "WORD = 'w'\n"), ("work.py", SCRIPT),
    ):  # fmt: skip
        (made / path).write_text(text)
    ledger.register(made / "raw", "h/raw", "1", key="someone", origin="https://h.example/raw", anchor=False)
    return made


def _recorder(ledger: Ledger, folder: Path, *code: str) -> RunRecorder:
    recorder = RunRecorder(ledger, "work", folder=folder, code=["work.py", *code], key="someone")
    recorder.output("out", "h/out", "1")
    recorder.input("raw")
    return recorder


def test_what_a_command_opened_is_stated(ledger: Ledger, folder: Path) -> None:
    recorder = _recorder(ledger, folder, "helper.py")
    recorder.execute([sys.executable, "work.py"])
    assert recorder.unnamed == ("other/list",)
    recorder.finish()
    run = ledger.said_about("h/out")[0].event.body
    assert isinstance(run, Run)
    assert run.observed is not None
    read = ReadUsage()
    for entry in ledger.proofs("h/raw").files():
        if entry.path != "unread":
            read.add(entry)
    assert (run.observed.files, run.observed.root) == (2, read.digest)
    assert (run.observed.unnamed, run.observed.whole) == (1, True)
    assert (run.observed.unnamed_writes, recorder.unnamed_writes) == (1, ("scratch",))
    assert run.exit_code == 0
    (check,) = (check for check in ledger.verify(folder / "out").checks if check.id == "run")
    assert check.status is Status.PASSED
    assert "it opened 1 files of its folder that nobody named" in check.note


def test_code_that_is_not_named_is_told_of(ledger: Ledger, folder: Path) -> None:
    recorder = _recorder(ledger, folder)
    recorder.execute([sys.executable, "work.py"])
    assert recorder.unnamed == ("helper.py", "other/list")


def test_where_nothing_tells_it_is_not_whole(ledger: Ledger, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opens, "MAX_FOLDERS", 1)
    recorder = _recorder(ledger, folder)
    recorder.execute([sys.executable, "work.py"])
    recorder.finish()
    run = ledger.said_about("h/out")[0].event.body
    assert isinstance(run, Run)
    assert run.observed is not None
    assert run.observed.whole is False
    monkeypatch.setattr(sys, "platform", "other")
    with watch_opens(folder) as found:
        (folder / "raw" / "a").read_text()
    assert (found.files, found.is_whole) == (set(), False)


def test_names_are_of_any_bytes_and_nothing_is_left_open(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/\xff\n \xc3\xa9"
    descriptor = os.open(odd, os.O_CREAT | os.O_WRONLY)
    os.close(descriptor)
    before, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    with watch_opens(tmp_path) as found:
        subprocess.run(["cat", odd], check=True, capture_output=True)
        (tmp_path / "new" / "in").mkdir(parents=True)
    assert found.files == {os.fsdecode(b"\xff\n \xc3\xa9")}
    assert found.is_whole
    assert (len(list(Path("/proc/self/fd").iterdir())), threading.active_count()) == (before, threads)


def test_more_than_can_be_told_is_not_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip(f"the queue takes {limit} events")
    monkeypatch.setattr(opens._Watch, "_work", lambda self: self._stopped())
    monkeypatch.setattr(
        opens._Watch,
        "_stopped",
        lambda self: (os.read(self._stop_in, 1), self._take(self._read()), self._drain()),
        raising=False,
    )
    monkeypatch.setattr(
        opens._Watch, "_drain", lambda self: [self._take(data) for data in iter(self._read, b"")], raising=False
    )
    names = [tmp_path / f"{number}" for number in range(200)]
    for name in names:
        name.touch()
    with watch_opens(tmp_path) as found:
        for number in range(limit + 1_000):
            names[number % 200].open("rb").close()
    assert not found.is_whole


MOVES = """
import os, pathlib
os.rename({old!r}, 'x')
pathlib.Path({read!r}).read_text()
os.rename('x', {old!r})
pathlib.Path('new').write_text('n')
os.rename('new', 'newer')
pathlib.Path('out').mkdir()
pathlib.Path('raw/a').read_text()
"""


@pytest.mark.parametrize(("old", "read"), [("other/list", "x"), ("other", "x/list"), ("scratch", "x")])
def test_what_is_moved_about_is_not_whole(ledger: Ledger, folder: Path, old: str, read: str) -> None:
    (folder / "work.py").write_text(
        ("open('scratch', 'w').close()\n" if old == "scratch" else "") + MOVES.format(old=old, read=read)
    )
    recorder = _recorder(ledger, folder)
    recorder.execute([sys.executable, "work.py"])
    assert recorder._observed is not None
    # What the command made itself may be called what it likes.
    assert recorder._observed.whole is (old == "scratch")


def test_an_input_whose_manifest_is_elsewhere_stops_nothing(ledger: Ledger, folder: Path) -> None:
    recorder = _recorder(ledger, folder)
    manifest = ledger.proofs("h/raw").statement.manifest
    recorder.execute(
        [sys.executable, "-c", "import pathlib; pathlib.Path('raw/a').read_text(); pathlib.Path('out').mkdir()"]
    )
    ledger.blobs.remove(manifest)
    recorder._observe({"raw/a": 0}, watched("raw/a"))
    assert recorder._observed is not None
    assert (recorder._observed.whole, recorder.unnamed) == (False, ())


def watched(*files: str) -> opens.Opens:
    found = opens.Opens()
    found.files, found.is_whole = set(files), True
    return found


WRITES = """
import os, pathlib
pathlib.Path('raw/unread').read_text()
pathlib.Path('other/unread').write_text('changed')
pathlib.Path('new/deep').mkdir(parents=True)
pathlib.Path('new/deep/file').write_text('n')
pathlib.Path('gone').write_text('g')
os.remove('gone')
os.remove('other/list')
pathlib.Path('out').mkdir()
pathlib.Path('out/c').write_text('c')
pathlib.Path('__pycache__').mkdir()
pathlib.Path('__pycache__/x.pyc').write_text('c')
os.rename('helper.py', 'renamed.py')
"""


def test_what_else_was_written_is_counted(ledger: Ledger, folder: Path) -> None:
    (folder / "work.py").write_text(WRITES)
    recorder = _recorder(ledger, folder)
    recorder.execute([sys.executable, "work.py"])
    assert recorder.unnamed_writes == ("gone", "new/deep/file", "other/list", "other/unread", "renamed.py")


LINKED = "import os, time\nos.mkdir('out')\n{}\nopen('x').read()\n"


@pytest.mark.parametrize(
    ("did", "is_whole"),
    [
        ("os.link('other/list', 'x')", False),
        ("os.mkdir('d'); os.link('other/list', 'd/x'); os.rename('d/x', 'x')", False),
        ("os.link('other/list', 'x'); open('x').read(); os.remove('x'); open('x', 'w')", False),
        ("os.link('other/list', 'x'); os.remove('other/list')", False),
        ("open('x', 'w')", True),
    ],
)
def test_what_is_opened_by_another_name_is_not_whole(ledger: Ledger, folder: Path, did: str, is_whole: bool) -> None:
    (folder / "work.py").write_text(LINKED.format(did))
    recorder = _recorder(ledger, folder)
    recorder.execute([sys.executable, "work.py"])
    assert recorder._observed is not None
    assert recorder._observed.whole is is_whole


DETACHED = """
import os, sys, time
os.mkdir('out')
for _ in range(2):
    if os.fork():
        os._exit(0)
    os.setsid()
for descriptor in range(3):
    os.close(descriptor)
time.sleep({})
open('other/list').read()
"""


@pytest.mark.parametrize(("seconds", "is_whole"), [(4, False), (0.1, True)])
def test_who_is_still_at_work_is_found_and_not_killed(
    ledger: Ledger, folder: Path, seconds: float, is_whole: bool
) -> None:
    (folder / "work.py").write_text(DETACHED.format(seconds) + "open('late', 'w')\n")
    recorder = _recorder(ledger, folder)
    recorder.execute([sys.executable, "work.py"])
    assert recorder._observed is not None
    assert recorder._observed.whole is is_whole
    assert ("other/list" in recorder.unnamed) is is_whole  # what ends in a moment is still watched
    deadline = time.monotonic() + 30
    while not (folder / "late").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (folder / "late").exists()


def _copied(ledger: Ledger, folder: Path, command: Sequence[str]) -> dict[str, Check]:
    (folder / "canned.csv").write_text("invented\n")
    recorder = RunRecorder(ledger, "work", folder=folder, code=["canned.csv"], key="someone")
    recorder.output("out", "h/out", "1")
    recorder.input("raw")
    recorder.execute(command)
    recorder.finish()
    ledger.keyring.new("other")
    ledger.replay("h/out", key="other")
    return {check.id: check for check in ledger.verify("h/out").checks if check.subject == "h/out@1"}


def test_a_run_that_opened_no_input_says_so_and_is_agreed_with_by_nobody(ledger: Ledger, folder: Path) -> None:
    checks = _copied(ledger, folder, ["cp", "canned.csv", "out"])
    assert checks["run"].status is Status.PASSED
    assert checks["run"].note.endswith("; it opened no file of its inputs")
    assert checks["agreement"].status is Status.NOT_PERFORMED
    assert "opened no file" in checks["agreement"].note
    gap = ("h/out@1", "a run that is said to have made it opened no file of its inputs")
    assert gap in ledger.audit("h/out")[0].gaps()


def test_one_file_of_an_input_is_enough(ledger: Ledger, folder: Path) -> None:
    checks = _copied(ledger, folder, ["sh", "-c", "cat raw/a > /dev/null; cp canned.csv out"])
    assert checks["run"].note == "made by sh in step work"
    assert checks["agreement"].status is Status.PASSED
    assert not [gap for _, gap in ledger.audit("h/out")[0].gaps() if "opened no file" in gap]
