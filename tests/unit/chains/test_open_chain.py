"""Which implementation a URI opens."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from provenance.chains import DEVELOPMENT_CHAIN_ID, open_chain
from provenance.chains.embedded import EmbeddedChain
from provenance.chains.genesis import BALANCE_ETHER, Genesis, new_genesis, parse_genesis
from provenance.errors import ChainError


def test_embedded(tmp_path: Path) -> None:
    chain = open_chain("embedded:", ledger_dir=tmp_path, chain_id=DEVELOPMENT_CHAIN_ID)
    assert isinstance(chain, EmbeddedChain)
    assert (tmp_path / "chain" / "chain.db").exists()
    chain.close()
    with pytest.raises(ChainError, match="expected chain id 1; got chain id 1886547830"):
        open_chain("embedded:", ledger_dir=tmp_path, chain_id=1)


@pytest.mark.parametrize("uri", ["nosuch:thing", "nosuch:", "file:///etc/passwd", ":", "embedded", ""])
def test_unknown_kinds(tmp_path: Path, uri: str) -> None:
    with pytest.raises(ChainError, match="no such kind of chain") as caught:
        open_chain(uri, ledger_dir=tmp_path)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def third_party(uri: str, *, ledger_dir: Path, funded: Sequence[str], timeout_s: float) -> object:
    return uri, ledger_dir, list(funded), timeout_s


def test_third_parties(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def entry_points(*, group: str, name: str) -> list[EntryPoint]:
        assert group == "provenance.chains"
        value = "tests.unit.chains.test_open_chain:third_party"
        return [EntryPoint(name, value, group)] if name == "other" else []

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    found: object = open_chain("other:x?y", ledger_dir=tmp_path, funded=["a"], timeout_s=3)
    assert found == ("other:x?y", tmp_path, ["a"], 3)
    monkeypatch.undo()


def test_genesis_is_read_as_it_was_written() -> None:
    genesis = new_genesis([f"0x{'ab' * 20}", f"0x{'cd' * 20}"], 1_750_000_000)
    assert parse_genesis(genesis.encode()) == genesis
    assert genesis.balance_wei == BALANCE_ETHER * 10**18
    encoded = genesis.encode()
    for cut in range(len(encoded)):
        with pytest.raises(ChainError):
            parse_genesis(encoded[:cut])
    with pytest.raises(ChainError):
        parse_genesis(encoded[:-1] + b',"more":1}')


def test_a_genesis_of_another_chain() -> None:
    with pytest.raises(ChainError, match="another chain"):
        parse_genesis(Genesis(1, 0, (), 1).encode())


def test_too_many_funded_addresses() -> None:
    with pytest.raises(ChainError, match="too many"):
        new_genesis([f"0x{number:040x}" for number in range(1001)], 0)
