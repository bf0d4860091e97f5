"""The examples of the API's documents, captured from the application itself.

A ledger is made in a temporary folder from the data under `examples/`, requests are made of it in this process, and
what was sent and answered becomes `provenance/server/openapi/examples.json`. Keys and times are new at every run.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from provenance import Ledger
from provenance.encoding import Digest, b64encode, canonical_json
from provenance.fingerprint import FileEntry, fingerprint_files
from provenance.ledger.key_events import announce_key, revoke_key
from provenance.server import DEFAULT_LIMITS, ServerLimits, create_app
from provenance.server.openapi.operations import BUNDLE, DSSE
from provenance.signature import PrivateKey, derive_private_key, encode_envelope, parse_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE, DatasetStatement, PinnedName, encode_statement
from provenance.statement.key_event import KeyReason
from provenance.statement.revocation import Revocation, RevocationReason
from provenance.statement.usage import Usage

PROJECT = Path(__file__).resolve().parent.parent
TARGET = PROJECT / "provenance" / "server" / "openapi" / "examples.json"
ORIGIN = "ledger.example/main"
FILE = b"time,metre\n2024-01-01T00:00:00Z,4.21\n"
Examples = dict[str, dict[str, Any]]


def write_examples() -> None:
    """Capture every example anew and write the file."""
    examples = asyncio.run(capture())
    text = json.dumps(dict(sorted(examples.items())), indent=1, ensure_ascii=False)
    TARGET.write_text(text + "\n", encoding="utf-8")


async def capture() -> Examples:
    """All examples by name."""
    with tempfile.TemporaryDirectory() as folder:
        with Ledger.init(Path(folder) / "ledger", origin=ORIGIN) as ledger:
            prepare(ledger, Path(folder))
            examples = Examples()
            async with client_of(ledger) as client:
                await submitting(client, ledger, examples)
                await looking(client, examples)
                await verifying(client, examples)
                await refused(client, ledger, examples)
                await concerned(client, ledger, examples)
            await overloaded(ledger, examples)
        return examples


def prepare(ledger: Ledger, folder: Path) -> None:
    """Register two datasets, one made from the other, and anchor them."""
    raw, cleaned = folder / "raw", folder / "cleaned"
    for place in (raw, cleaned):
        place.mkdir()
    table = "name,age,survived\nAllen,29,1\nAllison,,0\n"
    (raw / "passengers.csv").write_text(table, encoding="utf-8")
    (cleaned / "cleaned.csv").write_text("age,survived\n29,1\n", encoding="utf-8")
    ledger.keyring.new("museum", algorithm="ed25519")
    origin = "https://example.org/titanic"
    ledger.register(
        raw, "titanic/passengers", "1", license="CC0-1.0", origin=origin, sensitivity="public", anchor=False
    )
    ledger.register(
        cleaned, "titanic/cleaned", "1", parents=["titanic/passengers"], license="CC0-1.0", sensitivity="public"
    )


def client_of(ledger: Ledger, limits: ServerLimits = DEFAULT_LIMITS) -> httpx.AsyncClient:
    """A client of the application over this ledger."""
    transport = httpx.ASGITransport(create_app(ledger, limits=limits))
    return httpx.AsyncClient(transport=transport, base_url="http://ledger.example")


def envelope(key: PrivateKey, name: str, data: bytes = FILE) -> bytes:
    """A statement on a dataset of one file, signed."""
    fingerprint = fingerprint_files([FileEntry("gauge.csv", len(data), Digest.of(data))])
    statement = DatasetStatement(
        name=PinnedName.parse(name),
        fingerprint=fingerprint.document,
        manifest=fingerprint.digest,
        created="2026-01-01T00:00:00Z",
        license="CC-BY-4.0",
        origin="https://example.org/gauge",
    )
    return encode_envelope(sign_envelope(encode_statement(statement), PAYLOAD_TYPE, key))


async def submitting(client: httpx.AsyncClient, ledger: Ledger, examples: Examples) -> None:
    """A statement by a source elsewhere, sent twice."""
    key = derive_private_key("ed25519", bytes(range(32)))
    ledger.keyring.trust_key("harbour", key.public)
    body = envelope(key, "harbour/gauge@1")
    examples["envelope"] = example("A statement on one file, signed with Ed25519", json.loads(body))
    for name, summary in (("receipt", "A new statement"), ("receiptAgain", "The same statement again")):
        examples[name] = example(summary, await post(client, "/v1/statements", body, DSSE))


async def looking(client: httpx.AsyncClient, examples: Examples) -> None:
    """What reading gives."""
    for name, summary, path in (
        ("entry", "The first entry", "/v1/entries/0"),
        ("anchors", "One anchor on the development chain", "/v1/anchors"),
        ("datasets", "The first page of two", "/v1/datasets?limit=1"),
        ("dataset", "A dataset with one version", "/v1/datasets/titanic/passengers"),
        ("version", "A version", "/v1/datasets/titanic/passengers/1"),
        ("lineage", "A dataset made from another", "/v1/lineage/titanic/cleaned@1"),
        ("bundle", "The bundle of one dataset", "/v1/bundles/titanic/passengers@1"),
        ("health", "Alive", "/healthz"),
        ("readiness", "Ready", "/readyz"),
    ):
        examples[name] = example(summary, (await client.get(path)).raise_for_status().json())
    examples["checkpoint"] = example("A log of three entries", (await client.get("/checkpoint")).text)
    examples["mapHead"] = example("Of the anchored checkpoint", (await client.get("/map/head")).text)
    tile = (await client.get("/tile/0/000.p/3")).raise_for_status().content
    examples["tile"] = example("Three leaf hashes, here in base64", b64encode(tile))
    cursors = {"anchorCursor": "YW5jaG9yczox", "versionCursor": "dmVyc2lvbnM6MA"}
    cursors["impactCursor"] = "aW1wYWN0OjE3NTkyMTg2MDQ0NDE3"
    cursors["datasetCursor"] = examples["datasets"]["value"]["nextCursor"]
    examples.update({name: example("A cursor", text) for name, text in cursors.items()})


async def verifying(client: httpx.AsyncClient, examples: Examples) -> None:
    """Questions and reports."""
    digest = examples["version"]["value"]["digest"]["sha256"]
    bundle = examples["bundle"]["value"]
    examples["verifyDigest"] = example("A digest", {"digest": digest})
    examples["verifyReference"] = example("A reference", {"reference": "titanic/passengers@1"})
    examples["verifyBundle"] = example("A bundle in a JSON object", {"bundle": bundle})
    examples["form"] = example("A file in a form", {"file": FILE.decode()})
    examples["fileBytes"] = example("A file", FILE.decode())
    asked = json.dumps(examples["verifyDigest"]["value"]).encode()
    examples["report"] = example("Verified, level D2", await post(client, "/v1/verify", asked))
    first = bundle["entries"][0]
    broken = {**bundle, "entries": [{**first, "proof": first["proof"].replace("index 0", "index 1")}]}
    report = await post(client, "/v1/verify", canonical_json(broken) + b"\n", BUNDLE)
    examples["reportFailed"] = example("A bundle whose proof was changed", report)


async def concerned(client: httpx.AsyncClient, ledger: Ledger, examples: Examples) -> None:
    """What was said later, and who is concerned."""
    digest = examples["version"]["value"]["digest"]["sha256"]
    keyid = announce_key(ledger, "museum").keyid
    wanted = {"reference": "titanic/passengers@1", "digest": digest}
    policy = {"format": "urn:provenance-ledger:policy:1", "name": "training", "allowedLicenses": ["MIT"]}
    examples["auditRequest"] = example("A dataset whose bytes are in hand", wanted)
    examples["gateRequest"] = example("One dataset under a policy", {"policy": policy, "inputs": [wanted]})
    for name, summary, path in (
        ("audit", "An audit of a source", "/v1/audit"),
        ("gate", "Denied: another licence", "/v1/gate"),
    ):
        asked = json.dumps(examples[f"{name}Request"]["value"]).encode()
        examples[name] = example(summary, await post(client, path, asked))
    ledger.state("titanic/passengers@1", Usage("evaluation"))
    for body in (Usage("training"), Revocation(RevocationReason.CONSENT_WITHDRAWN)):
        ledger.state("titanic/passengers@1", body)
    for name, summary, path in (
        ("impact", "One dataset was made from it", "/v1/impact/titanic/passengers@1"),
        ("impactPath", "The way to one of them", "/v1/impact/titanic/passengers@1?to=titanic/cleaned@1"),
        ("events", "The first page of two", "/v1/events/titanic/passengers@1?limit=1"),
        ("usage", "The first page of two", "/v1/usage/titanic/passengers@1?limit=1"),
    ):
        examples[name] = example(summary, (await client.get(path)).raise_for_status().json())
    revoke_key(ledger, "museum", KeyReason.RETIRED)
    said = (await client.get(f"/v1/keys/{keyid}?limit=1")).raise_for_status().json()
    answer = (await client.get("/v1/map/name/titanic/cleaned")).raise_for_status().json()
    examples["mapAnswer"] = example("One entry, and no other", answer)
    examples["keyEvents"] = example("The first page of two", said)
    examples["keyCursor"] = example("A cursor", said["nextCursor"])
    examples["usageCursor"] = example("A cursor", examples["usage"]["value"]["nextCursor"])
    examples["eventCursor"] = example("A cursor", examples["events"]["value"]["nextCursor"])


async def refused(client: httpx.AsyncClient, ledger: Ledger, examples: Examples) -> None:
    """One problem document a status."""
    harbour, stranger = (derive_private_key("ed25519", bytes(range(start, start + 32))) for start in (0, 1))
    good = envelope(harbour, "harbour/gauge@2")
    parsed = parse_envelope(good)
    signature = replace(parsed.signatures[0], sig=bytes(64))
    forged = encode_envelope(replace(parsed, signatures=(signature,)))
    requests = {
        400: ("POST", "/v1/statements", {"content": good[:-1], "headers": {"Content-Type": DSSE}}),
        403: ("POST", "/v1/statements", {"content": envelope(stranger, "a/b@1"), "headers": {"Content-Type": DSSE}}),
        404: ("GET", "/v1/entries/7", {}),
        405: ("DELETE", "/v1/datasets", {}),
        409: (
            "POST",
            "/v1/statements",
            {"content": envelope(harbour, "harbour/gauge@1", b"other"), "headers": {"Content-Type": DSSE}},
        ),
        413: ("POST", "/v1/statements", {"content": bytes(70_000), "headers": {"Content-Type": DSSE}}),
        414: ("GET", f"/v1/datasets/{'n' * 65}/name", {}),
        415: ("POST", "/v1/verify", {"content": b"x", "headers": {"Content-Type": "text/plain"}}),
        422: ("POST", "/v1/statements", {"content": forged, "headers": {"Content-Type": DSSE}}),
    }
    for status, (method, path, rest) in requests.items():
        add_problem(examples, status, await client.request(method, path, **rest))  # type: ignore[arg-type]
    async with client_of(ledger, replace(DEFAULT_LIMITS, body_timeout_s=0.2)) as hurried:
        headers = {"Content-Type": DSSE}
        add_problem(examples, 408, await hurried.post("/v1/statements", content=slowly(), headers=headers))


async def overloaded(ledger: Ledger, examples: Examples) -> None:
    """The answer of a server that has too much to do."""
    async with client_of(ledger, replace(DEFAULT_LIMITS, max_requests=0)) as client:
        add_problem(examples, 503, await client.get("/checkpoint"))


async def slowly() -> AsyncIterator[bytes]:
    """A body that takes its time."""
    yield b"{"
    await asyncio.sleep(0.4)
    yield b"}"


async def post(client: httpx.AsyncClient, path: str, body: bytes, media_type: str = "application/json") -> Any:
    """The JSON of a successful answer."""
    response = await client.post(path, content=body, headers={"Content-Type": media_type})
    assert response.is_success, response.text
    return response.json()


def add_problem(examples: Examples, status: int, response: httpx.Response) -> None:
    """Add a problem document, which must have the status."""
    assert response.status_code == status, response.text
    document = response.json()
    examples[f"problem{status}"] = example(document["title"], document)


def example(summary: str, value: Any) -> dict[str, Any]:
    """An OpenAPI Example Object."""
    return {"summary": summary, "value": value}
