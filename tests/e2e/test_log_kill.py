"""A mirror and a monitor that are killed at any moment: nothing is half there, and the next run goes on."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

from provenance.log import parse_checkpoint, parse_note
from tests.sessions.session import COMMAND, Session, environment
from tests.simulators.hand_log import HandLog

LOG = HandLog()
ENTRIES = [b"%d" % number for number in range(20_000)]
KILLS = 6


def whole_files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".new-")
    }


def test_a_mirror_that_is_killed_has_whole_files_and_goes_on(tmp_path: Path) -> None:
    earlier = LOG.write(tmp_path / "log", ENTRIES[:300])
    session, chosen = Session(tmp_path), random.Random(6)
    mirror = ("log", "mirror", "log", "copy", "--vkey", LOG.vkey)
    session.run(*mirror)
    later = LOG.write(tmp_path / "log", ENTRIES)
    expected = {**earlier, **later}
    for _ in range(KILLS):
        bundles = tmp_path / "copy/tile/entries"
        wanted, deadline = len(list(bundles.iterdir())) + chosen.randrange(1, 12), time.monotonic() + 30
        process = subprocess.Popen(
            [*COMMAND, *mirror], cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and len(list(bundles.iterdir())) < wanted:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
        found = whole_files(tmp_path / "copy")
        note = found.pop("checkpoint")
        assert all(expected[name] == data for name, data in found.items())
        size = parse_checkpoint(parse_note(note).text).size
        assert session.json("log", "monitor", "copy", "--vkey", LOG.vkey)["size"] == size
    session.run(*mirror)
    found = whole_files(tmp_path / "copy")
    assert {name: found[name] for name in later} == later
    assert not list((tmp_path / "copy").glob(".new-*"))
    assert session.json("log", "monitor", "copy", "--vkey", LOG.vkey)["seen"] == len(ENTRIES)


def test_a_monitor_that_is_killed_misses_nothing(tmp_path: Path) -> None:
    """It tells of an entry again rather than not at all."""
    LOG.write(tmp_path / "log", ENTRIES)
    monitor = ("log", "monitor", "log", "--vkey", LOG.vkey, "--state", "seen", "--watch", "*")
    told: set[int] = set()
    chosen = random.Random(7)
    for _ in range(KILLS):
        process = subprocess.Popen(
            [*COMMAND, *monitor], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(chosen.randrange(1, 20_000))]
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=10)
        told |= {int(line.split()[1]) for line in [*lines, *rest.splitlines()] if line.startswith(b"entry ")}
    done = subprocess.run(
        [*COMMAND, *monitor], cwd=tmp_path, env=environment(), capture_output=True, timeout=60, check=True
    )
    told |= {int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith(b"entry ")}
    assert told == set(range(len(ENTRIES)))
