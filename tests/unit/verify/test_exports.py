"""Exports, read by the libraries of those whose formats they are."""

from __future__ import annotations

import json
import shutil
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import mlcroissant
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from huggingface_hub import DatasetCard, ModelCard
from jsonschema import Draft202012Validator
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]
from spdx_python_model import v3_0_1 as spdx3

from provenance.errors import MalformedError, NotFoundError
from provenance.fingerprint.croissant import parse_croissant_sums
from provenance.ledger import Ledger
from provenance.ledger.running import RunRecorder
from provenance.signature import parse_envelope
from provenance.statement.described import read_described
from provenance.statement.quality import Quality, QualityResult
from provenance.statement.revocation import Revocation, RevocationReason
from provenance.statement.standards import Basis, Method, Standards
from provenance.verify.exports import FORMATS, export

STANDARDS = Standards(
    title="Passengers é",
    issuer="City Museum",
    description="Who sailed, and what became of them.",
    source="the museum's archive",
    origin_geography=("GB",),
    date_range=("1912-04-01", "1912-04-15"),
    method=Method.PRIMARY,
    basis=Basis.PUBLIC_TASK,
    personal_data=True,
    privacy_technologies=("names removed",),
    intended_use="teaching",
)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    folder = tmp_path_factory.mktemp("exports")
    made = Ledger.init(folder / "ledger")
    made.keyring.new("museum")
    work = folder / "work"
    (work / "raw" / "more").mkdir(parents=True)
    (work / "raw" / "a.csv").write_text("a,b\n1,2\n")
    (work / "raw" / "more" / "ü.txt").write_text("text")
    (work / "train.py").write_text("import pathlib\npathlib.Path('model').write_text('weights')\n")
    made.register(
        work / "raw", "t/raw", "1.0", license="CC0-1.0", origin="https://museum.example/raw", standards=STANDARDS,
        sensitivity="public", anchor=False,
    )  # fmt: skip
    recorder = RunRecorder(made, "train", folder=work, code=["train.py"], parameters={"rate": 0.5, "seed": 7})
    recorder.output("model", "t/model", "2", kind="model", license="MIT OR Apache-2.0")
    recorder.input("raw")
    recorder.execute(["python", "train.py"])
    recorder.finish()
    made.state("t/model", Quality(QualityResult.PASSED, passed=("accuracy",)))
    made.anchor()
    return made


def _json(ledger: Ledger, reference: str, form: str) -> Any:
    return json.loads(ledger.export(reference, form))


# rdflib, which mlcroissant reads with, warns of a class of its own.
RDFLIB = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")


@RDFLIB
def test_mlcroissant_loads_a_description_and_its_files(ledger: Ledger, tmp_path: Path) -> None:
    data = ledger.export("t/raw", "croissant")
    folder = tmp_path / "raw"
    shutil.copytree(ledger.place_of("t/raw"), folder)
    (folder / "croissant.json").write_bytes(data)
    found = mlcroissant.Dataset(folder / "croissant.json")
    metadata = found.metadata
    assert metadata.issues.errors == set()
    assert (metadata.name, metadata.version, metadata.license) == (
        "Passengers é", "1.0", ["https://spdx.org/licenses/CC0-1.0.html"],
    )  # fmt: skip
    assert metadata.description == STANDARDS.description
    assert [one.name for one in metadata.creators] == ["City Museum"]
    sums = {one.content_url: one.sha256 for one in metadata.distribution}
    # What it read is what the ledger knows, and our own reader takes it back.
    files = ledger.proofs("t/raw").files()
    assert sums == {entry.path: entry.digest.hex for entry in files}
    assert parse_croissant_sums(data) == {entry.path: entry.digest for entry in files}
    again = json.dumps(metadata.to_json(), default=str)
    assert {entry.digest.hex in again for entry in files} == {True}


def test_a_croissant_description_says_what_it_was_made_from(ledger: Ledger) -> None:
    value = _json(ledger, "t/model", "croissant")
    (source,), (activity,) = value["prov:wasDerivedFrom"], value["prov:wasGeneratedBy"]
    assert source["@id"].endswith(ledger.dataset("t/raw").digest.hex)
    assert (source["prov:label"], activity["prov:label"]) == ("t/raw@1.0", "train")
    assert value["license"] == "MIT OR Apache-2.0"
    said = {one["propertyID"].rpartition(":")[2]: one["value"] for one in value["identifier"]}
    assert said["verdict"].startswith("verified at D3; not performed: ")
    raw = _json(ledger, "t/raw", "croissant")
    assert raw["rai:dataCollectionTimeframe"] == ["1912-04-01", "1912-04-15"]
    assert raw["rai:personalSensitiveInformation"] == "holds personal data"


def test_the_hub_reads_a_card_and_we_take_it_back(ledger: Ledger, tmp_path: Path) -> None:
    data = ledger.export("t/raw", "card")
    (tmp_path / "README.md").write_bytes(data)
    found = DatasetCard.load(tmp_path / "README.md", ignore_metadata_errors=False)
    assert (found.data.pretty_name, found.data.license) == ("Passengers é", "cc0-1.0")
    assert found.data.to_dict()["provenance"]["sha256"] == ledger.dataset("t/raw").digest.hex
    assert STANDARDS.description is not None
    assert STANDARDS.description.replace(".", "") in found.text.replace(".", "")
    described = read_described(data)
    assert (described.license, described.standards.title) == ("CC0-1.0", "Passengers é")
    assert described.standards.description == STANDARDS.description
    model = ledger.export("t/model", "card")
    (tmp_path / "README.md").write_bytes(model)
    card = ModelCard.load(tmp_path / "README.md")
    assert (card.data.license, card.data.license_name) == ("other", "MIT OR Apache-2.0")
    assert "t/raw@1" in card.text
    assert read_described(model).license is None  # an expression is none of the Hub's


def test_our_own_croissant_describes_as_it_did(ledger: Ledger) -> None:
    described = read_described(ledger.export("t/raw", "croissant"))
    statement = ledger.proofs("t/raw").statement
    assert (described.license, described.origin) == (statement.license, statement.origin)
    for name in ("title", "issuer", "description", "date_range", "method", "intended_use", "source"):
        assert getattr(described.standards, name) == getattr(STANDARDS, name), name


def test_what_others_wrote_cannot_end_the_front_matter(tmp_path: Path) -> None:
    with Ledger.init(tmp_path) as made:
        made.keyring.new("x")
        (tmp_path / "f").write_text("f")
        hostile = Standards(title="x --- license: mit", description="---\nlicense: mit\n---\n<script>alert(1)</script>")
        made.register(tmp_path / "f", "t/x", "1", key="x", standards=hostile, anchor=False)
        data = made.export("t/x", "card")
    (tmp_path / "README.md").write_bytes(data)
    card = DatasetCard.load(tmp_path / "README.md")
    assert (card.data.license, card.data.pretty_name) == ("unknown", "x --- license: mit")
    assert "<script>" not in card.text


def test_securesystemslib_verifies_every_line_of_the_statements(ledger: Ledger) -> None:
    lines = ledger.export("t/model", "in-toto").splitlines()
    public = ledger.keyring.show("museum").public
    key = SSlibKey.from_crypto(load_pem_public_key(public.pem.encode()), keyid=public.keyid)
    for line in lines:
        envelope = Envelope.from_dict(json.loads(line))
        assert list(envelope.verify([key], threshold=1)) == [key.keyid]
        envelope.payload += b" "
        with pytest.raises(VerificationError):
            envelope.verify([key], threshold=1)
    assert len(lines) >= 2


def _spdx(data: bytes) -> Any:
    found = spdx3.SHACLObjectSet()
    spdx3.JSONLDDeserializer().deserialize_data(json.loads(data), found)
    return found


def test_the_spdx_model_reads_a_document(ledger: Ledger, tmp_path: Path) -> None:
    data = ledger.export("t/model", "spdx")
    found = _spdx(data)
    assert found.missing_ids - {"https://spdx.org/rdf/3.0.1/terms/ExpandedLicensing/NoAssertionLicense"} == set()
    (model,) = found.foreach_type(spdx3.ai_AIPackage)
    (raw,) = found.foreach_type(spdx3.dataset_DatasetPackage)
    assert (model.name, model.software_packageVersion) == ("t/model", "2")
    assert {one.key: one.value for one in model.ai_hyperparameter} == {"rate": "0.5", "seed": "7"}
    assert raw.dataset_hasSensitivePersonalInformation == spdx3.PresenceType.yes
    assert raw.dataset_confidentialityLevel == spdx3.dataset_ConfidentialityLevelType.clear
    assert raw.dataset_intendedUse == "teaching"
    assert [one.hashValue for one in raw.verifiedUsing] == [ledger.dataset("t/raw").digest.hex]
    related = {
        (one.relationshipType.rpartition("/")[2], one.from_.name, tuple(getattr(to, "name", None) for to in one.to))
        for one in found.foreach_type(spdx3.Relationship)
    }
    assert ("trainedOn", "t/model", ("t/raw",)) in related
    assert ("descendantOf", "t/model", ("t/raw",)) in related
    licences = {
        one.simplelicensing_licenseExpression for one in found.foreach_type(spdx3.simplelicensing_LicenseExpression)
    }
    assert licences == {"CC0-1.0", "MIT OR Apache-2.0"}
    (document,) = found.foreach_type(spdx3.SpdxDocument)
    assert [one.name for one in document.rootElement] == ["t/model"]
    # Written by that library and read again, it is the same graph.
    with (tmp_path / "again.json").open("wb") as file:
        spdx3.JSONLDSerializer().write(found, file)
    again = _spdx((tmp_path / "again.json").read_bytes())
    assert {one._id for one in again.objects if one._id} == {one._id for one in found.objects if one._id}


@cache
def _spdx_schema() -> Draft202012Validator:
    """SPDX 3.0.1's JSON Schema, as its project generates it and lib4sbom carries it."""
    schema = json.loads(files("lib4sbom").joinpath("schemas/spdx/3.0-schema.json").read_bytes())
    assert schema["properties"]["@context"]["const"] == "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
    return Draft202012Validator(schema)


def test_spdx_documents_fit_its_json_schema(ledger: Ledger) -> None:
    for name in ("t/model", "t/raw"):
        _spdx_schema().validate(_json(ledger, name, "spdx"))


@pytest.mark.parametrize(
    ("kind", "name", "wrong"),
    [
        ("dataset_DatasetPackage", "dataset_confidentialityLevel", "secret"),
        ("dataset_DatasetPackage", "dataset_datasetSize", -1),
        ("dataset_DatasetPackage", "dataset_datasetType", None),
        ("ai_AIPackage", "releaseTime", "yesterday"),
        ("ai_AIPackage", "madeUp", "x"),
        ("Relationship", "relationshipType", "madeOf"),
        ("Relationship", "to", []),
        ("SpdxDocument", "creationInfo", None),
    ],
)
def test_the_spdx_schema_refuses_what_we_do_not_write(ledger: Ledger, kind: str, name: str, wrong: object) -> None:
    """So that fitting it shows something."""
    value = _json(ledger, "t/model", "spdx")
    element = next(one for one in value["@graph"] if one["type"] == kind)
    if wrong is None:
        del element[name]
    else:
        element[name] = wrong
    assert not _spdx_schema().is_valid(value)


def test_the_spdx_model_refuses_what_we_do_not_write(ledger: Ledger) -> None:
    """So that reading it shows something."""
    for kind, name, wrong in (
        ("dataset_DatasetPackage", "dataset_confidentialityLevel", "secret"),
        ("dataset_DatasetPackage", "dataset_datasetSize", -1),
        ("ai_AIPackage", "releaseTime", "yesterday"),
        ("Relationship", "relationshipType", "madeOf"),
    ):
        value = _json(ledger, "t/model", "spdx")
        element = next(one for one in value["@graph"] if one["type"] == kind)
        element[name] = wrong
        with pytest.raises((TypeError, ValueError, KeyError)):
            _spdx(json.dumps(value).encode())


def test_cyclonedx_validates_and_reads_a_bill_of_materials(ledger: Ledger) -> None:
    data = ledger.export("t/model", "cyclonedx")
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(data.decode()) is None
    value = json.loads(data)
    value["components"][0]["type"] = "dataset"
    assert validator.validate_str(json.dumps(value)) is not None
    bom = Bom.from_json(json.loads(data))  # type: ignore[attr-defined]  # its serialiser adds it
    component = bom.metadata.component
    assert component is not None
    assert (component.type.value, component.group, component.name) == ("machine-learning-model", "t", "model")
    (raw,) = bom.components
    assert [str(one.alg.value) + " " + one.content for one in raw.hashes] == [
        f"SHA-256 {ledger.dataset('t/raw').digest.hex}"
    ]
    needs = {one.ref.value: {each.ref.value for each in one.dependencies} for one in bom.dependencies}
    assert needs == {component.bom_ref.value: {raw.bom_ref.value}, raw.bom_ref.value: set()}
    value = json.loads(data)
    card = value["metadata"]["component"]["modelCard"]
    assert card["modelParameters"]["datasets"] == [{"ref": raw.bom_ref.value}]


def test_the_statements_are_the_bytes_that_were_logged(ledger: Ledger) -> None:
    lines = ledger.export("t/model", "in-toto").splitlines()
    logged = [row.envelope for row in ledger.log.entries(0, ledger.log.size())]
    assert lines == logged
    (run,) = ledger.export("t/model", "slsa").splitlines()
    assert json.loads(parse_envelope(run).payload)["predicateType"] == "https://slsa.dev/provenance/v1"
    with pytest.raises(NotFoundError, match="no such statement"):
        ledger.export("t/raw", "slsa")


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_evidence_gives_the_same_bytes(ledger: Ledger, form: str) -> None:
    audit, evidence = ledger.audited("t/model")
    assert export(audit, evidence, form) == export(audit, evidence, form)
    assert export(audit, evidence, form).endswith(b"\n")


@RDFLIB
def test_a_failed_verdict_is_told(tmp_path: Path) -> None:
    with Ledger.init(tmp_path / "ledger") as other:
        other.keyring.new("one")
        (tmp_path / "a").write_text("a")
        other.register(tmp_path / "a", "t/a", "1", anchor=False)
        other.state("t/a", Revocation(RevocationReason.CONSENT_WITHDRAWN))
        for form in ("croissant", "spdx", "cyclonedx"):
            assert b"failed at" in other.export("t/a", form)
        assert mlcroissant.Dataset(json.loads(other.export("t/a", "croissant"))).metadata.issues.errors == set()
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(other.export("t/a", "cyclonedx").decode()) is None
        _spdx(other.export("t/a", "spdx"))
        _spdx_schema().validate(_json(other, "t/a", "spdx"))
        with pytest.raises(MalformedError, match="unknown format"):
            other.export("t/a", "prov")
        with pytest.raises(NotFoundError):
            other.export("t/none", "spdx")
