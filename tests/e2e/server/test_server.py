"""What clients use the API for, against a real server process."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from provenance import Ledger, verify_bundle
from provenance.log import entry_leaf, parse_proof, verify_proof
from provenance.policy import TrustRoots
from provenance.statement.revocation import Revocation, RevocationReason
from provenance.statement.usage import Usage
from tests.e2e.server.conftest import HARBOUR, MUSEUM_P256, TABLE, Described, Prepared
from tests.e2e.server.process import ServerProcess
from tests.e2e.server.statements import FILE_NAME, as_parent, envelope_of

DSSE = {"Content-Type": "application/vnd.dsse.envelope.v1+json"}
BUNDLE = "application/vnd.provenance-ledger.bundle.v1+json"


def statuses(report: dict[str, Any]) -> dict[str, str]:
    """The statuses of the target's checks by name."""
    return {c["check"]: c["status"] for c in report["checks"] if c["subject"] == report["target"]}


def verify(server: ServerProcess, question: dict[str, Any]) -> dict[str, Any]:
    """The report on a question."""
    response = server.client.post("/v1/verify", json=question)
    assert response.status_code == 200, response.text
    report: dict[str, Any] = response.json()
    return report


@pytest.mark.parametrize("key", [HARBOUR, MUSEUM_P256], ids=["ed25519", "p256"])
def test_a_statement_signed_elsewhere_is_logged_and_proven(
    server: ServerProcess, prepared: Prepared, described: Described, key: Any
) -> None:
    name = f"harbour/gauge-{key.public.algorithm}@1"
    envelope = envelope_of(key, name)
    first = server.client.post("/v1/statements", content=envelope, headers=DSSE)
    assert first.status_code == 201, first.text
    receipt = first.json()
    described.check("Receipt", receipt)
    assert (receipt["name"], receipt["created"], receipt["signer"]) == (name, True, key.public.keyid)
    assert first.headers["location"] == f"/v1/entries/{receipt['index']}"
    proof = parse_proof(receipt["proof"].encode())
    assert verify_proof(proof, entry_leaf(envelope), prepared.log_verifier).checkpoint.size > receipt["index"]

    entry = server.client.get(first.headers["location"]).json()
    described.check("Entry", entry)
    assert entry["leafHash"] == entry_leaf(envelope).hex()
    assert entry["envelope"]["sha256"] == hashlib.sha256(envelope).hexdigest() == receipt["envelope"]["sha256"]
    assert entry["envelope"]["statement"]["subject"][0]["name"] == name
    verify_proof(parse_proof(entry["proof"].encode()), entry_leaf(envelope), prepared.log_verifier)


def test_a_statement_sent_again_is_the_same_entry(server: ServerProcess, described: Described) -> None:
    envelope = envelope_of(HARBOUR, "harbour/again@1")
    first = server.client.post("/v1/statements", content=envelope, headers=DSSE)
    again = server.client.post("/v1/statements", content=envelope, headers={"Content-Type": "application/json"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["location"] == first.headers["location"]
    assert again.json()["created"] is False
    receipt = server.client.get("/v1/receipts/harbour/again").json()
    described.check("Receipt", receipt)
    assert receipt["index"] == first.json()["index"]


def test_statements_sent_at_once_all_get_entries_of_their_own(server: ServerProcess) -> None:
    envelopes = [envelope_of(HARBOUR, f"harbour/at-once@{number}", b"%d" % number) for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda body: server.client.post("/v1/statements", content=body, headers=DSSE), envelopes * 2)
        )
    assert sorted(answer.status_code for answer in answers) == [200] * 24 + [201] * 24
    assert len({answer.json()["index"] for answer in answers}) == 24


def test_a_derived_dataset_has_its_lineage(server: ServerProcess, described: Described) -> None:
    parent = envelope_of(HARBOUR, "harbour/raw@1", b"raw")
    server.client.post("/v1/statements", content=parent, headers=DSSE).raise_for_status()
    child = envelope_of(HARBOUR, "harbour/derived@1", b"derived", [as_parent("harbour/raw@1", b"raw", parent)])
    server.client.post("/v1/statements", content=child, headers=DSSE).raise_for_status()
    lineage = server.client.get("/v1/lineage/harbour/derived@1").json()
    described.check("Lineage", lineage)
    assert lineage["edges"] == [{"child": "harbour/derived@1", "parent": "harbour/raw@1"}]
    assert lineage["sound"] is True
    assert server.client.get("/v1/lineage/harbour/raw").json()["descendants"] == ["harbour/derived@1"]


def test_what_was_said_of_a_dataset_and_who_is_concerned(
    server: ServerProcess, prepared: Prepared, described: Described
) -> None:
    parent = envelope_of(HARBOUR, "harbour/said@1", b"said")
    server.client.post("/v1/statements", content=parent, headers=DSSE).raise_for_status()
    child = envelope_of(HARBOUR, "harbour/made@1", b"made", [as_parent("harbour/said@1", b"said", parent)])
    server.client.post("/v1/statements", content=child, headers=DSSE).raise_for_status()
    assert server.client.get("/v1/events/harbour/said").json() == {
        "about": "harbour/said@1", "items": [], "nextCursor": None,
    }  # fmt: skip
    with Ledger.open(prepared.folder) as ledger:
        for purpose in ("training", "evaluation", "demonstration"):
            ledger.state("harbour/said", Usage(purpose))
        ledger.state("harbour/said", Revocation(RevocationReason.ERRONEOUS))
    first = server.client.get("/v1/events/harbour/said@1?limit=3").json()
    described.check("EventPage", first)
    second = server.client.get(f"/v1/events/harbour/said@1?limit=3&cursor={first['nextCursor']}").json()
    described.check("EventPage", second)
    says = [item["says"] for item in first["items"] + second["items"]]
    assert says == [
        {"purpose": "training"}, {"purpose": "evaluation"}, {"purpose": "demonstration"}, {"reason": "erroneous"},
    ]  # fmt: skip
    assert second["nextCursor"] is None
    impact = server.client.get("/v1/impact/harbour/said").json()
    described.check("Impact", impact)
    made = {"name": "harbour/made@1", "distance": 1, "via": "harbour/said@1", "spared": False}
    assert (impact["count"], impact["affected"], impact["path"], impact["nextCursor"]) == (1, [made], None, None)
    way = server.client.get("/v1/impact/harbour/said?to=harbour/made").json()
    described.check("Impact", way)
    assert way["path"] == ["harbour/said@1", "harbour/made@1"]
    assert server.client.get("/v1/impact/harbour/made?to=harbour/said").status_code == 404
    uses = server.client.get("/v1/usage/harbour/said@1?limit=2").json()
    described.check("EventPage", uses)
    rest = server.client.get(f"/v1/usage/harbour/said@1?limit=2&cursor={uses['nextCursor']}").json()
    assert [item["says"]["purpose"] for item in uses["items"] + rest["items"]] == [
        "training", "evaluation", "demonstration",
    ]  # fmt: skip
    report = server.client.post("/v1/verify", json={"reference": "harbour/made@1"}).json()
    assert report["verdict"] == "failed"
    entry = server.client.get(f"/v1/entries/{second['items'][0]['index']}").json()
    described.check("Entry", entry)
    assert entry["envelope"]["statement"]["predicateType"] == "urn:provenance-ledger:revocation:1"


def test_an_audit_and_a_gate_go_by_the_digest_that_was_computed(server: ServerProcess, described: Described) -> None:
    made = envelope_of(HARBOUR, "harbour/audited@1", b"audited")
    digest = (
        server.client.post("/v1/statements", content=made, headers=DSSE).raise_for_status().json()["digest"]["sha256"]
    )
    asked = {"reference": "harbour/audited@1", "digest": digest}
    audit = server.client.post("/v1/audit", json=asked).raise_for_status().json()
    described.check("Audit", audit)
    assert (audit["target"], audit["level"], [item["name"] for item in audit["items"]]) == (
        "harbour/audited@1", "D2", ["harbour/audited@1"],
    )  # fmt: skip
    assert server.client.post("/v1/audit", json={"reference": "harbour/audited@1"}).json()["level"] == "D0"
    policy = {"format": "urn:provenance-ledger:policy:1", "name": "p"}
    gate = server.client.post("/v1/gate", json={"policy": policy, "inputs": [asked]}).raise_for_status().json()
    described.check("GateAnswer", gate)
    assert gate["allowed"] is True
    wrong = [asked, {**asked, "digest": "00" * 32}, {"reference": "no/such@1"}]
    gate = server.client.post("/v1/gate", json={"policy": policy, "inputs": wrong}).json()
    assert [one["allowed"] for one in gate["decisions"]] == [True, False, False]
    rules = {**policy, "rules": [{"id": "r", "expression": "true", "message": "m"}]}
    for body in (
        {"policy": rules, "inputs": [asked]},
        {"policy": policy, "inputs": []},
        {"policy": policy, "inputs": [asked] * 65},
        {"policy": {**policy, "format": "x"}, "inputs": [asked]},
        {"policy": policy, "inputs": ["harbour/audited@1"]},
        {"policy": policy, "inputs": [{"reference": "/etc/passwd"}]},
    ):
        answer = server.client.post("/v1/gate", json=body)
        assert answer.status_code in (400, 413), body
        described.check("Problem", answer.json())
    assert server.client.post("/v1/audit", json={"reference": "no/such@1"}).status_code == 404


def test_datasets_are_found_by_name_and_version(server: ServerProcess, described: Described) -> None:
    found = server.client.get("/v1/datasets/titanic/passengers").json()
    described.check("DatasetVersions", found)
    assert [row["name"] for row in found["versions"]] == ["titanic/passengers@1"]
    version = server.client.get("/v1/datasets/titanic/passengers/1").json()
    described.check("Dataset", version)
    assert version == found["latest"]


def test_lists_of_250_are_paged_without_gap_or_repeat(server: ServerProcess, described: Described) -> None:
    names = [f"harbour/series@{number}" for number in range(250)]
    for name in names:
        body = envelope_of(HARBOUR, name, name.encode())
        server.client.post("/v1/statements", content=body, headers=DSSE).raise_for_status()

    def walk(path: str, field: str, limit: int, **query: str) -> tuple[list[str], int]:
        found, pages, cursor = list[str](), 0, None
        while True:
            parameters = {**query, "limit": str(limit), **({"cursor": cursor} if cursor else {})}
            page = server.client.get(path, params=parameters).raise_for_status().json()
            described.check("DatasetPage" if field == "items" else "DatasetVersions", page)
            found += [row["name"] for row in page[field]]
            pages, cursor = pages + 1, page["nextCursor"]
            if cursor is None:
                return found, pages

    assert walk("/v1/datasets/harbour/series", "versions", 100) == (names, 3)
    assert walk("/v1/datasets/harbour/series", "versions", 125) == (names, 2)
    assert walk("/v1/datasets/harbour/series", "versions", 1_000) == (names, 1)
    everything, pages = walk("/v1/datasets", "items", 37)
    assert [name for name in everything if name in names] == names and len(set(everything)) == len(everything)
    assert pages == -(-len(everything) // 37)
    assert walk("/v1/datasets", "items", 1_000, namespace="titanic")[0] == ["titanic/passengers@1", "titanic/cleaned@1"]
    assert walk("/v1/datasets", "items", 5, namespace="nobody") == ([], 1)


def test_a_digest_and_a_reference_are_verified(server: ServerProcess, described: Described) -> None:
    digest = server.client.get("/v1/datasets/titanic/passengers/1").json()["digest"]["sha256"]
    report = verify(server, {"digest": digest})
    described.check("Report", report)
    assert report["verified"] is True and report["level"] == "D2"
    assert {"content", "log.inclusion", "signature", "anchor.receipt", "anchor.block"} <= {
        name for name, status in statuses(report).items() if status == "passed"
    }
    for reference in ("titanic/passengers", "titanic/passengers@1", digest[:8], digest):
        report = verify(server, {"reference": reference})
        assert (report["verdict"], report["sound"]) == ("incomplete", True)
        assert statuses(report)["content"] == "not performed"


def test_a_reference_never_makes_the_server_read_its_own_files(server: ServerProcess, prepared: Prepared) -> None:
    moved = prepared.place / "passengers" / "passengers.csv"
    content = moved.read_bytes()
    moved.write_bytes(b"tampered")
    try:
        report = verify(server, {"reference": "titanic/passengers"})
        assert statuses(report)["content"] == "not performed"
        assert str(prepared.place) not in str(report)
    finally:
        moved.write_bytes(content)


def test_an_uploaded_file_is_hashed_and_recognised(server: ServerProcess, prepared: Prepared) -> None:
    envelope = envelope_of(HARBOUR, "harbour/upload@1", b"x" * 3_000_000)
    server.client.post("/v1/statements", content=envelope, headers=DSSE).raise_for_status()
    before = sorted(prepared.folder.rglob("*"))
    for files, check in (
        ({"file": ("passengers.csv", TABLE)}, "content"),
        ({"file": ("renamed.csv", TABLE)}, "content.file"),
        ({"file": (FILE_NAME, b"x" * 3_000_000)}, "content"),
    ):
        response = server.client.post("/v1/verify", files=files)
        assert response.status_code == 200, response.text
        assert statuses(response.json())[check] == "passed"
    plain = server.client.post("/v1/verify", content=TABLE, headers={"Content-Type": "application/octet-stream"})
    assert statuses(plain.json())["content.file"] == "passed"
    # A digest alone does not say that this was a dataset of one file of another name.
    unnamed = server.client.post("/v1/verify", files={"file": ("other.csv", b"x" * 3_000_000)})
    assert unnamed.status_code == 404
    assert sorted(prepared.folder.rglob("*")) == before


def test_what_nobody_registered_is_not_found(server: ServerProcess) -> None:
    for response in (
        server.client.post("/v1/verify", json={"digest": "0" * 64}),
        server.client.post("/v1/verify", json={"reference": "no/such"}),
        server.client.post("/v1/verify", files={"file": ("a", TABLE + b"one byte more")}),
        server.client.get("/v1/datasets/no/such"),
        server.client.get("/v1/datasets/titanic/passengers/2"),
        server.client.get("/v1/lineage/no/such@1"),
        server.client.get("/v1/bundles/no/such@1"),
        server.client.get("/v1/events/no/such@1"),
        server.client.get("/v1/impact/no/such@1"),
        server.client.get("/v1/receipts/no/such@1"),
        server.client.get(f"/v1/entries/{2**64 - 1}"),
    ):
        assert response.status_code == 404, response.text
        assert response.json()["type"] == "urn:provenance-ledger:problem:not-found"


def test_a_bundle_verifies_here_and_offline(server: ServerProcess, prepared: Prepared, described: Described) -> None:
    response = server.client.get("/v1/bundles/titanic/cleaned@1")
    assert response.headers["content-type"] == BUNDLE
    described.check("Bundle", response.json())
    with Ledger.open(prepared.folder) as ledger:
        trust = ledger.trust_roots(with_blocks=True)
    assert verify_bundle(response.content, trust).sound
    assert not verify_bundle(response.content, TrustRoots()).sound

    raw = server.client.post("/v1/verify", content=response.content, headers={"Content-Type": BUNDLE})
    assert raw.status_code == 200 and raw.json()["verdict"] == "incomplete" and raw.json()["sound"] is True
    wrapped = verify(server, {"bundle": response.json()})
    assert wrapped == raw.json()
    lean = server.client.get("/v1/bundles/titanic/cleaned@1", params={"manifests": "false"})
    assert lean.json()["blobs"] == {} and len(lean.content) < len(response.content)
    changed = response.json()
    changed["entries"][0]["proof"] = changed["entries"][0]["proof"].replace("index 1", "index 0")
    report = verify(server, {"bundle": changed})
    described.check("Report", report)
    assert report["verified"] is False and statuses(report)["log.inclusion"] == "failed"


def test_what_another_process_registers_is_there_at_once(server: ServerProcess, prepared: Prepared) -> None:
    folder = prepared.place / "elsewhere"
    folder.mkdir()
    (folder / "a.csv").write_text("1\n")
    with Ledger.open(prepared.folder) as ledger:
        ledger.register(folder, "titanic/elsewhere", "1", key="local", anchor=False)
    assert server.client.get("/v1/datasets/titanic/elsewhere/1").status_code == 200


def test_verification_goes_on_while_another_process_anchors(
    server: ServerProcess, prepared: Prepared, described: Described
) -> None:
    envelope = envelope_of(HARBOUR, "harbour/anchored@1", b"anchored")
    server.client.post("/v1/statements", content=envelope, headers=DSSE).raise_for_status()
    before = server.client.get("/v1/anchors").json()
    described.check("AnchorPage", before)
    done = threading.Event()

    def ask(_: int) -> list[dict[str, Any]]:
        reports = []
        while not done.is_set():
            reports.append(verify(server, {"reference": "harbour/anchored@1"}))
        return reports

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask, number) for number in range(8)]
        try:
            anchor(prepared.folder)
        finally:
            done.set()
        reports = [report for future in asking for report in future.result()]
    assert reports and all(report["sound"] for report in reports)
    report = verify(server, {"reference": "harbour/anchored@1"})
    assert statuses(report)["anchor.receipt"] == statuses(report)["anchor.block"] == "passed"
    after = server.client.get("/v1/anchors", params={"limit": "1"}).json()
    assert after["items"] == before["items"][:1] and after["nextCursor"] is not None
    rest = server.client.get("/v1/anchors", params={"cursor": after["nextCursor"]}).json()
    assert [row["size"] for row in rest["items"]] == [server.client.get("/readyz").json()["size"]]


def anchor(folder: Path) -> None:
    """Anchor from a process of its own, as the command line does."""
    code = "import sys; from provenance import Ledger\nwith Ledger.open(sys.argv[1]) as l: print(l.anchor().status)"
    result = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    assert result.stdout == "anchored\n", result.stderr


def test_health_and_readiness(server: ServerProcess, described: Described) -> None:
    described.check("Health", server.client.get("/healthz").json())
    ready = server.client.get("/readyz").json()
    described.check("Readiness", ready)
    assert ready["size"] >= 2


def test_every_answer_forbids_sniffing_framing_and_scripts(server: ServerProcess) -> None:
    for path in ("/checkpoint", "/v1/datasets", "/nothing/here", "/openapi.json"):
        headers = server.client.get(path, headers={"Origin": "https://elsewhere.example"}).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert not [name for name in headers if name.startswith("access-control")] and "server" not in headers


def test_the_documentation_pages_that_load_from_elsewhere_are_not_there(server: ServerProcess) -> None:
    assert server.client.get("/docs").status_code == server.client.get("/redoc").status_code == 404
