"""A clock that goes back two years, and comes again: the C library's own, by libfaketime, in processes of their own."""

from __future__ import annotations

import http.client
import itertools
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from provenance.ledger import Ledger
from provenance.ledger.witness_folder import make_witness, open_witness_folder
from provenance.ledger.witnessing import add_witness, collect
from provenance.log import encode_vkey, open_cosigned, parse_vkey
from tests.e2e.aftermath import check_nothing_is_anchored_twice, check_receipt
from tests.faults.steps import KEY, make_ledger
from tests.faults.strace import tool
from tests.paths import PROJECT
from tests.sessions.session import COMMAND, environment

YEAR_S = 365 * 86_400
BACK = "-2y"
_WAIT_S = 60


def _clock(offset: str | None) -> dict[str, str]:
    """The environment of a process whose clock is off by `offset`; the monotonic clock and files' times stay true."""
    if offset is None:
        return environment()
    # The program that sets it up stays between a process and its signals: what it sets is taken instead.
    found = subprocess.run([tool("faketime"), "-m", "-f", offset, "env"], capture_output=True, text=True, check=True)
    told = dict(line.split("=", 1) for line in found.stdout.splitlines() if "=" in line)
    more = {name: told[name] for name in ("LD_PRELOAD", "FAKETIME")}
    return environment({**more, "NO_FAKE_STAT": "1", "DONT_FAKE_MONOTONIC": "1"})


def _step(place: Path, number: int, offset: str | None) -> dict[str, Any]:
    dataset = place / f"data{number}"
    dataset.mkdir()
    (dataset / "rows.csv").write_text(f"row,{number}\n")
    command = [sys.executable, "-m", "tests.faults.clock_worker", str(place), str(dataset), str(number)]
    done = subprocess.run(command, cwd=PROJECT, env=_clock(offset), capture_output=True, text=True, timeout=_WAIT_S)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_registrations_and_anchors_go_on_and_contradict_nothing(tmp_path: Path) -> None:
    with make_ledger(tmp_path) as ledger:
        ledger.keyring.new(KEY)
    told = [_step(tmp_path, number, offset) for number, offset in enumerate((None, BACK, None))]
    now = time.time()
    assert abs(told[0]["time"] - now) < YEAR_S < now - told[1]["time"], "the clock did not go back"
    created = [datetime.strptime(one["created"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) for one in told]
    assert (created[0] - created[1]).total_seconds() > YEAR_S  # a source's time is its own claim, right or wrong
    assert all(one["anchored"] == "anchored" for one in told)
    with Ledger.open(tmp_path) as ledger:
        events = check_nothing_is_anchored_twice(ledger)
        assert len(events) == 6  # each registration is anchored, and then the event
        for number, one in enumerate(told):
            check_receipt(ledger, one["receipt"])
            report = ledger.verify(f"clock/n@{number}")
            assert report.verified, report
            assert not [check for check in report.checks if check.status.value == "failed"]
        with ledger.chain() as chain:
            assert chain.info().head.time_s >= now - YEAR_S, "blocks went back with the clock"
        examined = ledger.fsck(independent=True)
        assert examined.clean, examined.findings


@contextmanager
def _serving(folder: Path, port: int, offset: str | None) -> Iterator[None]:
    """`provenance witness serve` by a clock that is off by `offset`."""
    command = [*COMMAND, "witness", "serve", str(folder), "--port", str(port), "--json"]
    with subprocess.Popen(command, env=_clock(offset), stdout=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + _WAIT_S
            while not _answers(port):
                assert process.poll() is None and time.monotonic() < deadline, "the witness does not answer"
                time.sleep(0.05)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(_WAIT_S) in (0, -signal.SIGTERM)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/logs")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def test_times_of_cosignatures_never_go_back(tmp_path: Path) -> None:
    """What a witness says is of the largest tree it saw at a time (C2SP tlog-cosignature): an earlier time for a
    larger tree would contradict what it said of the smaller one."""
    folder, port = tmp_path / "witness", _free_port()
    vkey = encode_vkey(make_witness(folder, "witness.example/clock").verifier)
    times, clocks = [], (None, BACK, None)
    with make_ledger(tmp_path / "ledger") as ledger:
        ledger.keyring.new(KEY)
        with open_witness_folder(folder) as witness:
            witness.state.watch(ledger.keyring.vkey)
        add_witness(ledger, f"http://127.0.0.1:{port}", vkey, quorum=1)
        for number, offset in enumerate(clocks):
            dataset = tmp_path / f"data{number}"
            dataset.mkdir()
            (dataset / "rows.csv").write_text(f"row,{number}\n")
            ledger.register(dataset, "clock/n", str(number), origin="https://clock.example", anchor=False)
            with _serving(folder, port, offset):
                done = collect(ledger)
            assert done is not None and done.is_met, done
            note = ledger.log.checkpoint().note
            opened = open_cosigned(note, parse_vkey(ledger.keyring.vkey), [parse_vkey(vkey)])
            times.append(opened.cosignatures[0].time_s)
            assert ledger.verify(f"clock/n@{number}").verified
    assert abs(times[0] - time.time()) < 3_600
    assert times[1] == times[0], "no later than it had said, and not by a clock that is wrong"
    assert times[2] >= times[1]
    assert all(later >= earlier for earlier, later in itertools.pairwise(times))
