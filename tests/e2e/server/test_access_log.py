"""A real server that keeps an access log, and what it leaves when it is stopped."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from provenance.ledger import Ledger
from tests.paths import PROJECT


def test_a_server_logs_who_asked_for_what(tmp_path: Path) -> None:
    with Ledger.init(tmp_path / "ledger") as ledger:
        ledger.keyring.new("server")
        (tmp_path / "a").write_text("a")
        ledger.register(tmp_path / "a", "t/a", "1", anchor=False)
    command = [sys.executable, "-m", "provenance.cli", "--ledger", str(tmp_path / "ledger")]
    serving = [*command, "serve", "--port", "0", "--access-log", "--key", "server", "--json"]
    with subprocess.Popen(
        serving, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            text = ""
            while (match := re.search(r'"url": "([^"]+)"', text)) is None:
                line = process.stdout.readline()
                assert line, "the server ended"
                text += line
            for _ in range(3):
                with urllib.request.urlopen(f"{match[1]}/v1/lineage/t/a", timeout=10) as answer:
                    assert answer.status == 200
        finally:
            process.terminate()
            process.wait(30)
    shown = subprocess.run(
        [*command, "log", "access", "--json"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    records = json.loads(shown.stdout)["records"]
    assert [(one["about"], one["status"]) for one in records] == [("t/a", 200)] * 3
    assert len({one["actor"] for one in records}) == 1
    table = subprocess.run([*command, "log", "access", "--about", "t/a"], cwd=PROJECT, capture_output=True, text=True)
    assert table.stdout.count("GET /v1/lineage/{ref}") == 3
    assert (
        "access-batch"
        in subprocess.run([*command, "log", "show"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    )
    with Ledger.open(tmp_path / "ledger") as ledger:
        assert ledger.fsck().clean
