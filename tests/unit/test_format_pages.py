"""The examples in the format pages are what the code makes."""

from __future__ import annotations

import json
import re

from provenance.encoding import Digest, b64encode, canonical_json
from provenance.fingerprint import FileEntry, Fingerprint, encode_manifest, fingerprint_files, parse_parameters
from provenance.fingerprint.chunks import ChunkMap, encode_chunk_map, parse_chunk_map
from provenance.log import Cosigner, LogKey, NoteSigner, encode_vkey
from provenance.log.map import (
    BucketItem,
    KeyKind,
    MapAnswer,
    MapKey,
    encode_answer,
    encode_bucket,
    list_root,
    sign_head,
    verify_answer,
)
from provenance.merkle import leaf_hash
from provenance.policy import SizeSpan, TimeSpan, TrustRoots, encode_trust, parse_trust
from provenance.policy.policy import parse_policy
from provenance.statement import DatasetStatement, Pin, PinnedName, encode_statement
from provenance.statement.checked_range import CheckedRange, DataSample, EntryCheck, EntryOutcome, SkipReason
from provenance.statement.events import Event, encode_event
from provenance.statement.log_attestation import CheckMethod, LogAttestation, encode_log_attestation
from provenance.statement.revocation import Revocation, RevocationReason
from provenance.statement.standards import parse_standards
from tests.paths import PROJECT

PAGES = PROJECT / "docs" / "formats"


def blocks(page: str) -> list[str]:
    return re.findall(r"```json\n(.*?)```", (PAGES / page).read_text("utf-8"), re.DOTALL)


def example() -> Fingerprint:
    return fingerprint_files(
        [FileEntry("data/é.csv", 0, Digest.of(b"")), FileEntry("data/a.csv", 3, Digest.of(b"a,b"))]
    )


def test_fingerprint_page() -> None:
    manifest, document = blocks("fingerprint.md")
    assert manifest.encode() == encode_manifest(example())
    assert document.rstrip("\n").encode() == canonical_json(example().document.to_json())
    assert f"`{example().digest}`" in (PAGES / "fingerprint.md").read_text("utf-8")


def test_statement_page() -> None:
    statement = DatasetStatement(
        name=PinnedName.parse("titanic/passengers@1"),
        fingerprint=example().document,
        manifest=Digest.of(encode_manifest(example())),
        created="2026-11-20T12:00:00Z",
        license="Apache-2.0",
        origin="https://example.org/titanic",
    )
    shown, standards, parameters = blocks("statement.md")
    assert parse_standards(json.loads(standards)).to_json() == json.loads(standards)
    assert canonical_json(parse_parameters(json.loads(parameters)).to_json()).decode() == parameters.strip()
    assert json.loads(shown) == json.loads(encode_statement(statement))


def test_chunks_page() -> None:
    (shown,) = blocks("chunks.md")
    digests = Digest.of(b"first").raw + Digest.of(b"second").raw
    shown = shown.replace("<FILE ROOT>", example().document.file_root.hex).replace("<CHUNKS>", b64encode(digests))
    chunks = ChunkMap(example().document.file_root, {"a.bin": digests})
    assert shown.encode() == encode_chunk_map(chunks)
    assert parse_chunk_map(shown.encode()) == chunks


def test_events_page() -> None:
    (shown,) = blocks("events.md")
    about = Pin(PinnedName.parse("titanic/passengers@1"), example().digest, Digest.of(b""))
    body = Revocation(RevocationReason.CONSENT_WITHDRAWN, "2026-11-01T00:00:00Z", "the museum withdrew its consent")
    assert json.loads(shown) == json.loads(encode_event(Event(about, body, "2026-11-20T12:00:00Z")))
    named = set(re.findall(r"\(\.\./schemas/([a-z0-9.-]+\.json)\)", (PAGES / "events.md").read_text("utf-8")))
    named |= {"dataset-1.json", "openlineage-batch-1.json", "log-attestation-1.json"}  # pages of their own
    assert named == {path.name for path in (PROJECT / "docs" / "schemas").iterdir()}


def test_log_attestation_page() -> None:
    (shown,) = blocks("log-attestation.md")
    nothing = SkipReason.INAPPLICABLE
    first = EntryOutcome(0, {EntryCheck.RECORDS: SkipReason.SAMPLED}, DataSample(0, 16, 4_000, 1_048_576))
    second = EntryOutcome(1, dict.fromkeys((EntryCheck.REFERENCES, EntryCheck.DATA, EntryCheck.RECORDS), nothing))
    root = Digest.of(b"root")
    attestation = LogAttestation(
        attester="attester.example/a1", origin="ledger.example/main", size=2, root=root, tree_root=root,
        entries=CheckedRange.of([first, second]), seed=Digest.of(b"seed"),
        method=CheckMethod("training", Digest.of(b"policy"), 16), created="2026-11-20T12:00:00Z",
    )  # fmt: skip
    assert json.loads(shown) == json.loads(encode_log_attestation(attestation))
    text = (PAGES / "log-attestation.md").read_text("utf-8")
    assert all(f"`{reason}`" in text for reason in SkipReason)
    assert re.findall(
        r"^\| `([a-z]+)` \| (?:a DSSE|a known|by a key|parents|licence|files|all rec)", text, re.MULTILINE
    ) == [*EntryCheck]


def test_every_format_has_a_page_that_the_index_names() -> None:
    named = set(re.findall(r"\]\(([a-z-]+\.md)\)", (PAGES / "README.md").read_text("utf-8")))
    assert named == {page.name for page in PAGES.glob("*.md")} - {"README.md"}


def test_policy_page() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", (PAGES / "policy.md").read_text("utf-8"), re.DOTALL)
    policy = parse_policy(shown.encode())
    assert (policy.name, len(policy.rules), policy.max_age_days) == ("training", 1, 365)


def test_trust_roots_page() -> None:
    *_, shown = blocks("trust-roots.md")
    logs = [NoteSigner("ledger.example/main", bytes([number]) * 32).verifier for number in (1, 2)]
    witnesses = [Cosigner("witness.example/w1", bytes([number]) * 32).verifier for number in (3, 4)]
    old, new, retired, younger = (encode_vkey(verifier) for verifier in (*logs, *witnesses))
    trust = TrustRoots(
        logs=(old, new),
        log_spans=(SizeSpan(old, 0, 70_000), SizeSpan(new, 69_001)),
        witnesses=(retired, younger),
        witness_spans=(
            TimeSpan(retired, None, "2027-02-01T00:00:00Z"),
            TimeSpan(younger, "2027-01-01T00:00:00Z"),
        ),
        quorum=1,
    )
    assert parse_trust(shown.encode()) == trust
    assert canonical_json(json.loads(shown)) + b"\n" == encode_trust(trust)


def test_map_page() -> None:
    (shown,) = blocks("map.md")
    signer, asked = NoteSigner("ledger.example/main", b"\x07" * 32), MapKey(KeyKind.NAME, "titanic/passengers")
    bucket = encode_bucket([BucketItem(asked.digest, 1, list_root((0,)))])
    log_root = leaf_hash(b"an entry")
    head = sign_head(signer, 1, log_root, leaf_hash(bucket))
    answer = MapAnswer(asked, bucket, (), log_root, head, (0,))
    assert shown.encode() == encode_answer(answer)
    assert verify_answer(answer, [LogKey(signer.verifier)]).entries == (0,)
