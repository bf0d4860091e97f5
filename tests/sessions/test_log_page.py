"""docs/log.md: what a stranger types into a shell is typed into one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.paths import PROJECT
from tests.sessions.session import Session
from tests.simulators.hand_log import leaf
from tests.simulators.static_server import static_server

TOOLS = ("sh", "curl", "openssl", "sed", "grep", "cut", "base64", "head", "tail", "od", "awk", "sha256sum", "tr")


def test_the_page_shows_how_a_shell_verifies_a_log(anchored: Session, tmp_path: Path) -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    assert not missing, f"the page's examples need {', '.join(missing)}: install them"
    page = (PROJECT / "docs/log.md").read_text()
    script = "set -e\n" + "".join(re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE))
    assert "openssl" in script and "sha256sum" in script
    anchored.run("log", "export", tmp_path / "public")
    key = anchored.json("log", "checkpoint")["logKey"]
    (tmp_path / "work").mkdir()

    def run(vkey: str) -> subprocess.CompletedProcess[str]:
        with static_server(tmp_path / "public") as url:
            return subprocess.run(
                ["sh", "-c", script],
                cwd=tmp_path / "work",
                env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LOG": url, "VKEY": vkey, "LC_ALL": "C.UTF-8"},
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )

    done = run(key)
    assert done.returncode == 0, done.stderr
    verified, first, second = done.stdout.splitlines()
    entry = (tmp_path / "work/bundle").read_bytes()
    expected = leaf(entry[2 : 2 + int.from_bytes(entry[:2], "big")]).hex()
    assert verified == "Signature Verified Successfully"
    assert first.split()[0] == second == expected
    wrong = run(key[:-4] + ("AAAA" if key[-4:] != "AAAA" else "BBBB"))
    assert wrong.returncode != 0 and "Verified Successfully" not in wrong.stdout
