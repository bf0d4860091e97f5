"""Files that version 1 of every format wrote verify for ever. They are never regenerated."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from provenance import ContentFinding, parse_trust, verify_bundle
from provenance.encoding import Digest
from provenance.errors import MalformedError
from provenance.policy import Level
from provenance.signature.oms import parse_oms, verify_oms
from provenance.verify import encode_bundle, parse_bundle

FOLDER = Path(__file__).parent / "v1"
MODEL = "titanic/survival-model@1"
MODEL_DIGEST = Digest.from_hex("349cbc57bf8a91ae7e20f5d004a66e2512c4a271a022f7a69733ae4f1b69a1f6")


def test_bundle_verifies() -> None:
    data, trust = (FOLDER / "model.bundle.json").read_bytes(), parse_trust((FOLDER / "trust.json").read_bytes())
    report = verify_bundle(data, trust, contents={MODEL: ContentFinding(MODEL_DIGEST, "here")})
    assert report.failures == ()
    assert (report.verified, report.level, report.missing) == (True, Level.D2, ("quality",))
    assert [artefact.name for artefact in report.artefacts] == [
        MODEL,
        "titanic/cleaned@1",
        "titanic/passengers@1",
        "titanic/codes@1",
    ]
    assert report.not_after is not None
    assert report.not_after.time == "2026-11-20T20:41:56Z"


def test_the_development_label_cannot_be_taken_away() -> None:
    evidence = parse_bundle((FOLDER / "model.bundle.json").read_bytes())
    unlabelled = tuple(replace(receipt, development=False) for receipt in evidence.anchors)
    assert unlabelled != evidence.anchors
    trust = parse_trust((FOLDER / "trust.json").read_bytes())
    report = verify_bundle(encode_bundle(replace(evidence, anchors=unlabelled)), trust)
    assert report.sound
    assert report.not_after is not None
    assert "development chain" in report.not_after.clock


def test_bundle_re_encodes_to_the_same_bytes() -> None:
    data = (FOLDER / "model.bundle.json").read_bytes()
    assert encode_bundle(parse_bundle(data)) == data


def test_another_digest_does_not_verify() -> None:
    data, trust = (FOLDER / "model.bundle.json").read_bytes(), parse_trust((FOLDER / "trust.json").read_bytes())
    report = verify_bundle(data, trust, contents={MODEL: ContentFinding(Digest.of(b"other"), "here")})
    assert (report.verified, report.level) == (False, Level.D0)


def test_the_oms_bundle_verifies() -> None:
    trust = parse_trust((FOLDER / "trust.json").read_bytes())
    lab = next(source.key for source in trust.sources if source.name == "lab")
    bundle = parse_oms((FOLDER / "survival-model.oms.json").read_bytes())
    verify_oms(bundle, lab)
    assert [file.name for file in bundle.statement.files] == ["model.json"]


@pytest.mark.parametrize("version", ["v0", "v2", "v10"])
def test_another_version_is_refused_by_name(version: str) -> None:
    value = json.loads((FOLDER / "model.bundle.json").read_bytes())
    value["mediaType"] = value["mediaType"].replace("v1", version)
    with pytest.raises(MalformedError, match="mediaType"):
        parse_bundle(json.dumps(value).encode())
