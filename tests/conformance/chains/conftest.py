"""One chain per implementation for the whole suite: every test starts from the nonce it finds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from provenance.chains import TransactionReceipt
from tests.conformance.chains.beds import BEDS, Bed
from tests.conformance.chains.contract import CREATION, sign


@pytest.fixture(scope="session", params=sorted(BEDS))
def bed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("chain")
    (folder / "server").mkdir()
    with BEDS[request.param](folder) as opened:
        yield opened


@pytest.fixture(scope="session")
def deployed(bed: Bed) -> TransactionReceipt:
    """The receipt of the test contract's deployment."""
    raw = sign(bed.key, bed.chain, nonce=bed.chain.nonce(bed.address), to=None, data=CREATION)
    receipt = bed.chain.receipt(bed.chain.send_raw(raw), timeout_s=20)
    assert receipt is not None and receipt.status == 1
    return receipt


@pytest.fixture(scope="session")
def contract(deployed: TransactionReceipt) -> str:
    """The test contract's address."""
    assert deployed.contract_address is not None
    return deployed.contract_address
