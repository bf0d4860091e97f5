"""One place, registered under two names: a changed byte is found for both."""

from __future__ import annotations

from pathlib import Path

from provenance.ledger import Ledger


def test_a_changed_byte_is_found_under_either_name(tmp_path: Path) -> None:
    data, made = tmp_path / "d", tmp_path / "made"
    for folder in (data, made):
        folder.mkdir()
        (folder / "x.csv").write_text(folder.name)
    with Ledger.init(tmp_path / "ledger") as ledger:
        ledger.keyring.new("source")
        ledger.register(data, "ns/d", "1", anchor=False)
        ledger.register(made, "ns/made", "1", parents=["ns/d"], anchor=False)
        ledger.register(data, "ns/other", "1", anchor=False)
        (data / "x.csv").write_text("e")
        for target in ("ns/d", "ns/other", data):
            report = ledger.verify(target, ask_chain=False)
            assert report.verdict == "failed"
            assert "ns/made@1" in report.affected
