"""The log for strangers at the command line: exported, served by a plain web server, monitored and mirrored."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provenance.log import parse_vkey
from provenance.log.fault import verify_fork
from tests.sessions.session import COMMAND, Session, environment
from tests.simulators.hand_log import HandLog
from tests.simulators.static_server import static_server

OTHER = HandLog()
ENTRIES = [b"foreign %d" % number for number in range(600)]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    made = Session(tmp_path_factory.mktemp("files"))
    made.run("init", "--origin", "ledger.example/files")
    made.run("keys", "new", "lab")
    return made


def register(session: Session, name: str) -> None:
    (session.folder / name).mkdir()
    (session.folder / name / "data").write_text(name)
    session.run("register", name, "--name", f"s/{name}", "--version", "1", "--key", "lab", "--no-anchor")


@pytest.fixture
def stranger(tmp_path: Path) -> Session:
    """Somebody with a folder and no ledger."""
    return Session(tmp_path)


@pytest.fixture
def public(session: Session, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder for exports, and the URL at which a web server serves it."""
    folder = tmp_path_factory.mktemp("public")
    with static_server(folder) as url:
        yield folder, url


def test_a_stranger_follows_an_export(session: Session, stranger: Session, public: tuple[Path, str]) -> None:
    folder, url = public
    register(session, "one")
    assert "written      3 files" in session.run("log", "export", folder).out
    key = session.json("log", "checkpoint")["logKey"]
    follow = ("log", "monitor", url, "--vkey", key, "--state", "seen", "--watch", "s/*")
    first = stranger.json(*follow)
    assert [one["name"] for one in first["found"]] == ["s/one@1"]
    assert (first["size"], first["since"], first["complete"]) == (1, 0, True)
    assert stranger.json(*follow)["found"] == []
    register(session, "two")
    assert stranger.json(*follow)["size"] == 1  # until it is exported
    assert session.json("log", "export", folder) == {
        "where": str(folder),
        "since": 1,
        "size": 2,
        "root": session.json("log", "checkpoint")["root"],
        "files": 3,
        "bytes": sum(
            (folder / name).stat().st_size for name in ("checkpoint", "tile/0/000.p/2", "tile/entries/000.p/2")
        ),
    }
    said = stranger.run(*follow).out
    assert "entry 1  by s/*" in said and "dataset of s/two@1" in said and "2, 1 seen before" in said
    assert "as before" in session.run("log", "export", folder).out
    session.run("log", "publish", folder)
    copied = stranger.run("log", "mirror", url, "copy", "--vkey", key).out
    assert "size         2, was 0" in copied
    for name in ("checkpoint", "tile/0/000.p/2", "tile/entries/000.p/2"):
        assert (stranger.folder / "copy" / name).read_bytes() == (folder / name).read_bytes()
    assert stranger.json("log", "monitor", "copy", "--vkey", key, "--watch", "*")["seen"] == 2


def test_a_stranger_reads_the_server_itself(session: Session, stranger: Session) -> None:
    if not (session.folder / "three").exists():
        register(session, "three")
    key = session.json("log", "checkpoint")["logKey"]
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--json", "--publish", str(stranger.folder / "published")],
        cwd=session.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        url = json.loads("".join(lines))["url"]
        size = session.json("log", "checkpoint")["size"]
        found = stranger.json("log", "monitor", url, "--vkey", key, "--tiles", "--watch", "s/three@1")
        assert (found["size"], len(found["found"])) == (size, 1)
        assert stranger.json("log", "mirror", url, "copy", "--vkey", key, "--tiles")["size"] == size
        register(session, "later")
        while stranger.json("log", "monitor", "published", "--vkey", key)["size"] != size + 1:
            assert process.poll() is None
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def test_another_log_in_the_folder_is_refused_with_both_checkpoints(session: Session, tmp_path: Path) -> None:
    if not (session.folder / "four").exists():
        register(session, "four")
    OTHER.write(tmp_path, ENTRIES[:3])
    before = (tmp_path / "checkpoint").read_bytes()
    refused = session.run("log", "export", tmp_path, code=2)
    ours = session.run("log", "checkpoint").out
    for line in [*before.decode().splitlines(), *ours.splitlines()]:
        assert line in refused.err
    document = session.json("log", "export", tmp_path, code=2)
    assert document["checkpoints"] == {"published": before.decode(), "ledger": ours}
    assert document["error"]["kind"] == "conflict"
    assert (tmp_path / "checkpoint").read_bytes() == before


def test_a_log_that_is_not_ours(stranger: Session, public: tuple[Path, str]) -> None:
    folder, url = public
    OTHER.write(folder, ENTRIES[:300])
    follow = ("log", "monitor", url, "--vkey", OTHER.vkey, "--state", "seen")
    said = stranger.run(*follow, "--watch", "*").out
    assert said.count("leaf hash") == 300 and "checked      300 new entries, 300 watched" in said
    OTHER.write(folder, ENTRIES)
    assert stranger.json(*follow)["seen"] == 600
    stranger.run("log", "mirror", url, "copy", "--vkey", OTHER.vkey)
    assert (stranger.folder / "copy/tile/entries/001").read_bytes() == (folder / "tile/entries/001").read_bytes()

    (folder / "checkpoint").write_bytes(OTHER.files(ENTRIES[:299])["checkpoint"])
    back = stranger.json(*follow, code=1)
    assert (back["fault"], back["error"]["kind"]) == ("went back", "verification")

    shutil.rmtree(folder / "tile")
    OTHER.write(folder, [*ENTRIES[:599], b"another", b"and more"])
    forked = stranger.run(*follow, code=1)
    assert "log forked" in forked.err
    (evidence,) = [path for path in stranger.folder.glob("seen.evidence-*") if b'"forked"' in path.read_bytes()]
    assert evidence.name in forked.err
    earlier, later = verify_fork(evidence.read_bytes(), parse_vkey(OTHER.vkey))
    assert (earlier.size, later.size) == (600, 601)
    mirrored = stranger.json("log", "mirror", url, "copy", "--vkey", OTHER.vkey, "--evidence", "mine", code=1)
    assert mirrored["fault"] == "forked" and Path(mirrored["evidence"]).name.startswith("mine.evidence-")

    (folder / "tile/entries/000").unlink()
    withheld = stranger.json("log", "monitor", url, "--vkey", OTHER.vkey, code=1)
    assert (withheld["fault"], withheld["error"]["where"]) == ("withheld", "/tile/entries/000")


def test_a_monitor_that_looks_again_and_again(stranger: Session, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("public")
    OTHER.write(folder, ENTRIES[:1])
    process = subprocess.Popen(
        [*COMMAND, "log", "monitor", folder, "--vkey", OTHER.vkey, "--state", "seen", "--every", "1", "--watch", "*"],
        cwd=stranger.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or not lines[-1].startswith("checked"):
        lines.append(process.stdout.readline())
        assert process.poll() is None
    (folder / "checkpoint").rename(folder / "hidden")  # for a while there is nothing to read, which ends nothing
    time.sleep(1.5)
    OTHER.write(folder, ENTRIES[:2])
    while sum(line.startswith("entry") for line in lines) < 2:
        lines.append(process.stdout.readline())
        assert process.poll() is None
    refused = stranger.run(
        "log", "monitor", folder, "--vkey", OTHER.vkey, "--state", "seen", "--once", "--every", "1", code=2
    )
    assert "--once and --every" in refused.err
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert process.returncode == 130 and "Traceback" not in said
    assert "there is no log here" in said
    assert [line.split()[1] for line in lines if line.startswith("entry")] == ["0", "1"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("log", "monitor", "http://127.0.0.1:9", "--vkey", OTHER.vkey, "--timeout", "2"), 3),
        (("log", "monitor", "nowhere", "--vkey", OTHER.vkey), 3),
        (("log", "monitor", "nowhere", "--vkey", "x"), 2),
        (("log", "monitor", "nowhere"), 2),
        (("log", "monitor", "gopher://x", "--vkey", OTHER.vkey), 2),
        (("log", "monitor", "nowhere", "--vkey", OTHER.vkey, "--watch", "x"), 2),
        (("log", "monitor", "nowhere", "--vkey", OTHER.vkey, "--every", "0"), 2),
        (("log", "monitor", "nowhere", "--vkey", OTHER.vkey, "--timeout", "0"), 2),
        (("log", "monitor", "nowhere", "--vkey", OTHER.vkey, "--every", "1", "--json"), 2),
        (("log", "mirror", "nowhere", "copy", "--vkey", OTHER.vkey), 3),
        (("log", "mirror", "nowhere", ".", "--vkey", OTHER.vkey), 3),
        (("log", "export", "x"), 2),
    ],
)
def test_what_cannot_be_done_is_said(stranger: Session, arguments: tuple[str, ...], code: int) -> None:
    stranger.run(*arguments, code=code)
