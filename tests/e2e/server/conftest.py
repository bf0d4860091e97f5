"""One ledger with two anchored datasets, a server over it, and a server of narrow limits over another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from provenance import Ledger
from provenance.log import NoteVerifier, parse_vkey
from tests.e2e.server.process import ServerProcess, running_server
from tests.e2e.server.statements import source_key

TABLE = b"name,age\nAllen,29\nAllison,\n"
CLEANED = b"age\n29\n"
HARBOUR = source_key(1)
STRANGER = source_key(2)
REVOKED = source_key(3)
MUSEUM_P256 = source_key(4, "ecdsa-p256")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A ledger's folder, the key of its log, and its parents' folder, where servers may log."""

    folder: Path
    log_verifier: NoteVerifier
    place: Path


def prepare(place: Path) -> Prepared:
    """A ledger that trusts HARBOUR for one namespace and MUSEUM_P256 for any, and has revoked REVOKED."""
    with Ledger.init(place / "ledger") as ledger:
        ledger.keyring.trust_key("harbour", HARBOUR.public, namespaces=("harbour",))
        ledger.keyring.trust_key("museum", MUSEUM_P256.public)
        ledger.keyring.trust_key("former", REVOKED.public, revoked=True)
        return Prepared(place / "ledger", parse_vkey(ledger.keyring.vkey), place)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The ledger that most tests share: titanic/passengers@1 and titanic/cleaned@1, anchored."""
    found = prepare(tmp_path_factory.mktemp("served"))
    with Ledger.open(found.folder) as ledger:
        ledger.keyring.new("local")
        for name, content in (("passengers", TABLE), ("cleaned", CLEANED)):
            (found.place / name).mkdir()
            (found.place / name / f"{name}.csv").write_bytes(content)
        ledger.register(
            found.place / "passengers",
            "titanic/passengers",
            "1",
            key="local",
            origin="https://example.org/titanic",
            anchor=False,
        )
        receipt = ledger.register(
            found.place / "cleaned", "titanic/cleaned", "1", parents=["titanic/passengers"], key="local"
        )
        assert receipt.anchor is not None, receipt.anchor_problem
    return found


@pytest.fixture(scope="session")
def server(prepared: Prepared) -> Iterator[ServerProcess]:
    """A server over the shared ledger, with the limits it has by default."""
    with running_server(prepared.folder, prepared.place / "server.log") as running:
        yield running


@pytest.fixture(scope="session")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with narrow limits over a ledger of its own."""
    found = prepare(tmp_path_factory.mktemp("narrow"))
    limits = {
        "head_timeout_s": 0.6,
        "body_timeout_s": 1.2,
        "send_timeout_s": 0.6,
        "keep_alive_s": 1,
        "max_requests": 3,
        "max_connections": 12,
        "max_upload_bytes": 2**20,
        "max_request_bytes": 2**20,
    }
    with running_server(found.folder, found.place / "server.log", **limits) as running:
        yield running


class Described:
    """The API's own description, for holding answers against it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def check(self, name: str, value: object) -> None:
        """Fail unless `value` is what the schema `name` says."""
        schema = {"$ref": f"#/components/schemas/{name}", "components": self._document["components"]}
        Draft202012Validator(schema).validate(value)


@pytest.fixture(scope="session")
def described(server: ServerProcess) -> Described:
    """The description that the server gives of itself."""
    return Described(server.client.get("/openapi.json").json())
