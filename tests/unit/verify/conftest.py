"""One real lineage, bundled: a ledger anchored twice, whose second dataset names the first anchor's block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from provenance.ledger import Ledger
from provenance.policy import TrustRoots
from provenance.verify import ContentFinding


@dataclass(frozen=True, slots=True)
class RealBundle:
    """A bundle, what a stranger needs to verify it at D2 with its anchor, and the names in it."""

    data: bytes
    trust: TrustRoots
    contents: Mapping[str, ContentFinding]
    parent: str = "harbour/raw@1"
    target: str = "harbour/clean@1"


@pytest.fixture(scope="package")
def real(tmp_path_factory: pytest.TempPathFactory) -> RealBundle:
    folder = tmp_path_factory.mktemp("real")
    (folder / "raw.csv").write_text("1,2\n3,4\n")
    (folder / "clean").mkdir()
    (folder / "clean" / "rows.csv").write_text("1,2\n")
    with Ledger.init(folder, origin="real.example/log") as ledger:
        ledger.keyring.new("harbour")
        ledger.register(folder / "raw.csv", "harbour/raw", "1", origin="https://harbour.example/raw")
        ledger.register(folder / "clean", "harbour/clean", "1", parents=["harbour/raw"])
        contents = {
            name: ContentFinding(ledger.dataset(name).digest, "in hand")
            for name in ("harbour/raw@1", "harbour/clean@1")
        }
        return RealBundle(ledger.bundle("harbour/clean"), ledger.trust_roots(with_blocks=True), contents)
