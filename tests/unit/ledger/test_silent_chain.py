"""Verification when the chain does not answer: it goes on without, and does not ask again at once."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provenance import Ledger, Report
from provenance.chains import open_chain
from provenance.policy import Status


@pytest.fixture
def anchored(tmp_path: Path) -> Path:
    """A ledger with one anchored dataset."""
    (tmp_path / "a.csv").write_text("1\n")
    with Ledger.init(tmp_path) as ledger:
        ledger.keyring.new("local")
        receipt = ledger.register(tmp_path / "a.csv", "ns/a", "1")
        assert receipt.anchor is not None, receipt.anchor_problem
    return tmp_path


class SilentEndpoint:
    """An endpoint that hangs up on everyone, and counts them."""

    def __init__(self) -> None:
        self.calls = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._hang_up)
        self._thread.start()

    @property
    def uri(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _hang_up(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.calls += 1
            connection.close()

    def close(self) -> None:
        """Stop listening."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


def block_status(report: Report) -> Status:
    """Whether the anchor's block was found on the chain."""
    return next(check.status for check in report.checks if check.id == "anchor.block")


def test_a_silent_chain_is_asked_once_and_again_after_a_while(anchored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = SilentEndpoint()
    config = anchored / ".provenance" / "config.toml"
    config.write_text(config.read_text().replace("embedded:", endpoint.uri))
    try:
        with Ledger.open(anchored) as ledger, ThreadPoolExecutor(8) as pool:
            reports = list(pool.map(lambda _: ledger.verify_reference("ns/a"), range(8)))
            assert {block_status(report) for report in reports} == {Status.NOT_PERFORMED}
            assert all(report.sound for report in reports)
            once = endpoint.calls
            assert once > 0
            monkeypatch.setattr("provenance.ledger.blocks.CHAIN_SILENCE_S", 0.0)
            ledger._blocks.forget_silence()
            ledger.verify_reference("ns/a")
            assert endpoint.calls == 2 * once
            ledger.verify_reference("ns/a", ask_chain=False)
            assert endpoint.calls == 2 * once
    finally:
        endpoint.close()


def test_a_final_block_is_asked_for_once(anchored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def counting(*arguments: object, **options: object) -> object:
        opened.append(1)
        return open_chain(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("provenance.ledger.ledger.open_chain", counting)
    with Ledger.open(anchored) as ledger, ThreadPoolExecutor(8) as pool:
        reports = list(pool.map(lambda _: ledger.verify_reference("ns/a"), range(16)))
    assert {block_status(report) for report in reports} == {Status.PASSED}
    assert len(opened) == 1
