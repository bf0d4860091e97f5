"""Lineage that other tools' documents declare: read, logged once, and never more than declared."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import queue
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot5, JsonV1Dot6, JsonV1Dot7
from huggingface_hub import DatasetCard, DatasetCardData, ModelCard, ModelCardData
from hypothesis import given
from hypothesis import strategies as st
from prov.model import ProvDocument

from provenance.encoding import Digest
from provenance.errors import MalformedError, NotFoundError, PolicyError, ProvenanceError, SourceError
from provenance.ledger import Ledger
from provenance.ledger.importing import Imported, declared_graph, import_document
from provenance.ledger.receiving import Receiver, read_event
from provenance.lineage.imports import FORMS, Declared, DeclaredDataset, DeclaredStep, Origin, read_document, tell
from provenance.statement.credentials import without_secrets
from provenance.verify.drawing import draw
from tests.paths import vectors

CREATED = "2026-01-02T03:04:05Z"
LOCAL = "2026-01-01T00:00:00"
DVC = Path(__file__).parents[2] / "compat" / "dvc_3_67"
SLSA_1 = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "model", "digest": {"sha256": "aa" * 32}}],
    "predicateType": "https://slsa.dev/provenance/v1",
    "predicate": {
        "buildDefinition": {
            "buildType": "https://builder.example/train",
            "resolvedDependencies": [
                {"name": "data", "uri": "s3://bucket/data", "digest": {"sha256": "bb" * 32}},
                {"uri": "git+https://git.example/code", "digest": {"gitCommit": "cc" * 20}},
            ],
        },
        "runDetails": {
            "builder": {"id": "https://builder.example"},
            "metadata": {"startedOn": "2026-01-02T03:04:05Z", "finishedOn": "2026-01-02T04:04:05Z"},
        },
    },
}
SLSA_0 = {
    "_type": "https://in-toto.io/Statement/v0.1",
    "subject": [{"name": "pkg", "digest": {"sha256": "dd" * 32}}],
    "predicateType": "https://slsa.dev/provenance/v0.2",
    "predicate": {
        "builder": {"id": "b"},
        "buildType": "make",
        "materials": [{"uri": "model", "digest": {"sha256": "aa" * 32}}],
        "metadata": {"buildFinishedOn": "2026-01-03T00:00:00Z"},
    },
}


def _envelope(statement: dict[str, Any]) -> dict[str, Any]:
    payload = base64.b64encode(json.dumps(statement).encode()).decode()
    return {"payload": payload, "payloadType": "application/vnd.in-toto+json", "signatures": [{"sig": "AAAA"}]}


def _imported(ledger: Ledger, path: Path, **options: Any) -> Imported:
    return import_document(ledger, path, key="someone", **options)


def _edges(ledger: Ledger, node: str) -> dict[str, tuple[list[str], list[str]]]:
    return {one.node.id: (one.node.before, one.node.after) for one in declared_graph(ledger, node)}


def test_dvc_files_become_a_graph(ledger: Ledger) -> None:
    found = _imported(ledger, DVC / "dvc.lock")
    assert (found.declared.form, len(found.declared.steps), found.new) == ("dvc", 2, 2)
    assert _imported(ledger, DVC / "raw.dvc").new == 1
    graph = _edges(ledger, "dataset:dvc:model.bin")
    assert graph["job:dvc:train"] == (["dataset:dvc:clean.csv", "dataset:dvc:train.py"], ["dataset:dvc:model.bin"])
    assert graph["job:dvc:clean"] == (["dataset:dvc:clean.py", "dataset:dvc:raw"], ["dataset:dvc:clean.csv"])
    raw = next(one for one in declared_graph(ledger, "dataset:dvc:raw", 0))
    assert raw.node.version == "md5:51632bc2b792dba466b077eb7a807c5b.dir"
    assert raw.registered == ()


def test_nobody_keeps_an_import_out(ledger: Ledger, tmp_path: Path) -> None:
    """A sender who guesses the run of an import is refused its producer, and under another's it is no import's."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps(SLSA_1))
    (raw,) = tell(read_document(path.read_bytes()), Origin(Digest.of(path.read_bytes()), "in-toto", "in-toto", CREATED))
    receiver = Receiver(ledger, "someone")
    try:
        with pytest.raises(PolicyError, match="provenance import"):
            receiver.read(raw)
        other = json.loads(raw) | {"producer": "https://p.example/", "inputs": [], "outputs": []}
        squat = json.dumps(other).encode()
        done: queue.Queue[BaseException | None] = queue.Queue()
        assert receiver.submit(squat, receiver.read(squat), done.put)
        assert done.get(timeout=30) is None
    finally:
        receiver.close()
    assert _imported(ledger, path).new == 1


def test_the_same_document_adds_nothing(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    path.write_bytes((DVC / "dvc.lock").read_bytes())
    first = _imported(ledger, path)
    size = ledger.log.size()
    os.utime(path, (1, 1))
    again = _imported(ledger, path)
    assert (first.new, again.new, again.entries) == (2, 0, ())
    assert ledger.log.size() == size
    # Of another repository the same file is another matter.
    assert _imported(ledger, path, namespace="other").new == 2
    assert ledger.fsck().clean
    # The index is made again from the log.
    (ledger.layout.directory / "openlineage.db").unlink()
    assert _edges(ledger, "job:other:train")
    assert _imported(ledger, path).new == 0
    # The document is kept as it was, and the event says which and whose word it is.
    assert ledger.blobs.has(first.document)


@pytest.mark.parametrize("shape", ["bare", "envelope", "bundle", "lines"])
def test_attestations_in_every_wrapping(ledger: Ledger, tmp_path: Path, shape: str) -> None:
    path = tmp_path / "a.jsonl"
    values: list[Any] = {
        "bare": [SLSA_1],
        "envelope": [_envelope(SLSA_1)],
        "bundle": [{"mediaType": "x", "dsseEnvelope": _envelope(SLSA_1), "verificationMaterial": {}}],
        "lines": [_envelope(SLSA_1), SLSA_0],
    }[shape]
    path.write_text("\n".join(json.dumps(value) for value in values) + "\n")
    found = _imported(ledger, path)
    step = found.declared.steps[0]
    assert (step.name, step.started, step.finished) == (
        "https://builder.example/train model", "2026-01-02T03:04:05Z", "2026-01-02T04:04:05Z",
    )  # fmt: skip
    assert [one.name for one in step.inputs] == ["data", "git+https://git.example/code"]
    assert step.facts["signature"] == "not checked"
    if shape == "lines":
        graph = _edges(ledger, "dataset:in-toto:data")
        assert "dataset:in-toto:pkg" in graph  # through the model, which both name


def test_our_own_statements_come_back(ledger: Ledger, copy: Path, tmp_path: Path) -> None:
    with Ledger.open(copy) as other:
        lines = other.export("h/model", "in-toto")
        spdx, cyclonedx = other.export("h/model", "spdx"), other.export("h/model", "cyclonedx")
        digest = other.dataset("h/raw").digest.hex
    (tmp_path / "x.jsonl").write_bytes(lines)
    assert _imported(ledger, tmp_path / "x.jsonl").new == 3
    for name, data in (("s.json", spdx), ("c.json", cyclonedx)):
        (tmp_path / name).write_bytes(data)
        found = _imported(ledger, tmp_path / name).declared
        made = {step.outputs[0].name: [one.name for one in step.inputs] for step in found.steps}
        assert made == {"h/model@1": ["h/clean@1", "h/raw@1"], "h/clean@1": ["h/raw@1"]}
        raw = next(one for step in found.steps for one in step.inputs if one.name == "h/raw@1")
        assert raw.digests["sha256"] == digest


def test_what_is_registered_under_a_declared_digest_is_named(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"data")
    ledger.register(tmp_path / "data", "t/data", "1", key="someone", anchor=False)
    statement = json.loads(json.dumps(SLSA_1))
    statement["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"] = {
        "sha256": sha256(b"data").hexdigest()
    }
    (tmp_path / "a.json").write_text(json.dumps(statement))
    _imported(ledger, tmp_path / "a.json")
    nodes = {one.node.name: one.registered for one in declared_graph(ledger, "dataset:in-toto:model")}
    assert nodes["data"] == ("t/data@1",)
    assert nodes["model"] == ()


def test_a_bom_of_another_library(ledger: Ledger, tmp_path: Path) -> None:
    data = Component(
        name="rows", group="acme", version="3", type=ComponentType.DATA, bom_ref="d",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content="ab" * 32)],
    )  # fmt: skip
    library = Component(name="numpy", type=ComponentType.LIBRARY, bom_ref="l")
    model = Component(name="net", type=ComponentType.MACHINE_LEARNING_MODEL, bom_ref="m")
    bom = Bom(components=[data, library])
    bom.metadata.component = model
    bom.register_dependency(model, [data, library])
    (tmp_path / "bom.json").write_text(JsonV1Dot6(bom).output_as_string())
    found = _imported(ledger, tmp_path / "bom.json").declared
    rows = DeclaredDataset("acme/rows@3", {"sha256": "ab" * 32})
    assert found.steps == (DeclaredStep("made net", (rows,), (DeclaredDataset("net"),)),)


def test_sigstore_bundles_of_other_people_are_read() -> None:
    for path in sorted((vectors("oms") / "test-vectors" / "v1.0" / "valid").iterdir()):
        found = read_document(path.read_bytes(), None, path.name)
        assert found.form == "in-toto"
        assert found.steps[0].facts["predicateType"] == "https://model_signing/signature/v1.0"


def test_a_command_that_holds_a_secret_is_withheld() -> None:
    text = "schema: '2.0'\nstages:\n  a:\n    cmd: get --token=hunter2 x\n    outs:\n    - path: x\n      md5: aa\n"
    (step,) = read_document(text.encode(), "dvc").steps
    assert "hunter2" not in str(step)
    imported = (
        "deps:\n- path: d\n  repo:\n    url: https://git.example/r\n    rev_lock: abc\nouts:\n- path: d\n  md5: bb\n"
    )
    (step,) = read_document(imported.encode(), "dvc").steps
    assert step.inputs == (DeclaredDataset("https://git.example/r#d", {"gitcommit": "abc"}),)


def test_nothing_that_opens_a_url_is_carried_over() -> None:
    statement = json.loads(json.dumps(SLSA_1))
    definition = statement["predicate"]["buildDefinition"]
    definition["resolvedDependencies"] = [
        {"uri": "https://ada:hunter2@host.example/d"},
        {"uri": "https://bucket.example/d?X-Amz-Signature=hunter2"},
        {"uri": "https://host.example/d?rev=3"},
        {"uri": "https://host.example/e?auth=hunter2"},
        {"uri": "https://host.example/f#access_token=hunter2"},
    ]
    (step,) = read_document(json.dumps(statement).encode()).steps
    names = ["https://host.example/d", "https://bucket.example/d", "https://host.example/d?rev=3"]
    names += ["https://host.example/e", "https://host.example/f"]
    assert [one.name for one in step.inputs] == names
    text = "deps:\n- path: d\n  repo: {url: 'https://ada:hunter2@git.example/r'}\nouts:\n- {path: d, md5: bb}\n"
    (step,) = read_document(text.encode(), "dvc").steps
    assert step.inputs[0].name == "https://git.example/r#d"


def test_two_builds_of_one_kind_do_not_mix(ledger: Ledger, tmp_path: Path) -> None:
    for number in "12":
        text = json.dumps(SLSA_1).replace('"model"', f'"model{number}"').replace('"data"', f'"data{number}"')
        (tmp_path / number).write_text(text)
        _imported(ledger, tmp_path / number)
    found = _edges(ledger, "job:in-toto:https://builder.example/train model1")
    before = ["dataset:in-toto:data1", "dataset:in-toto:git+https://git.example/code"]
    assert found["job:in-toto:https://builder.example/train model1"] == (before, ["dataset:in-toto:model1"])


def test_slsa_0_1_names_its_build_in_a_recipe() -> None:
    """By the example of its specification."""
    statement = {
        **SLSA_0,
        "predicateType": "https://slsa.dev/provenance/v0.1",
        "predicate": {
            "builder": {"id": "mailto:person@example.com"},
            "recipe": {"type": "https://example.com/Makefile", "definedInMaterial": 0, "entryPoint": "src:foo"},
            "materials": [{"uri": "https://example.com/example-1.2.3.tar.gz", "digest": {"sha256": "1234ab"}}],
        },
    }
    (step,) = read_document(json.dumps(statement).encode()).steps
    source = DeclaredDataset("https://example.com/example-1.2.3.tar.gz", {"sha256": "1234ab"})
    assert (step.name, step.inputs) == ("https://example.com/Makefile pkg", (source,))
    assert step.facts["builder"] == "mailto:person@example.com"


def test_what_a_model_was_tested_on_did_not_go_into_it() -> None:
    def package(name: str, kind: str) -> dict[str, str]:
        return {"type": kind, "spdxId": f"urn:{name}", "name": name}

    edges = [
        {"type": "Relationship", "spdxId": kind, "relationshipType": kind, "from": "urn:model", "to": [f"urn:{end}"]}
        for kind, end in (("trainedOn", "train"), ("testedOn", "test"))
    ]
    data = [package(name, "dataset_DatasetPackage") for name in ("train", "test")]
    graph = {"@graph": [package("model", "ai_AIPackage"), *data, *edges]}
    found = read_document(json.dumps(graph).encode())
    assert [(one.inputs, one.outputs) for one in found.steps] == [
        ((DeclaredDataset("train"),), (DeclaredDataset("model"),))
    ]
    assert found.datasets == (DeclaredDataset("test"),)


@pytest.mark.parametrize("make", [JsonV1Dot5, JsonV1Dot6, JsonV1Dot7])
def test_a_model_card_names_its_datasets_in_every_version(make: Any) -> None:
    value = json.loads(
        make(Bom(components=[Component(name="x", type=ComponentType.DATA, bom_ref="d")])).output_as_string()
    )
    card = {"modelParameters": {"datasets": [{"ref": "d"}]}}
    value["components"].append({"type": "machine-learning-model", "name": "net", "bom-ref": "m", "modelCard": card})
    (step,) = read_document(json.dumps(value).encode()).steps
    assert (step.inputs, step.outputs) == ((DeclaredDataset("x"),), (DeclaredDataset("net"),))


PROV = {
    "entity": {
        "e:raw": {"prov:label": "raw", "x:sha256": "ab" * 32},
        "e:a": {"prov:label": {"$": "a", "lang": "en"}},
        "e:b": {},
        "e:alone": {},
    },
    "activity": {"x:split": {"prov:label": "split", "prov:endTime": "2026-01-02T03:04:05Z"}},
    "used": {"_:1": {"prov:activity": "x:split", "prov:entity": "e:raw"}},
    "wasGeneratedBy": {
        "_:2": [
            {"prov:entity": "e:a", "prov:activity": "x:split"},
            {"prov:entity": "e:b", "prov:activity": "x:split"},
        ]
    },
    "bundle": {"x:more": {"wasDerivedFrom": {"_:3": {"prov:generatedEntity": "e:b", "prov:usedEntity": "e:other"}}}},
}


def test_prov_says_what_was_derived_from_what() -> None:
    found = read_document(json.dumps(PROV).encode())
    raw, time = DeclaredDataset("raw", {"sha256": "ab" * 32}), "2026-01-02T03:04:05Z"
    assert found.form == "prov"
    assert found.steps == (
        DeclaredStep("split a", (raw,), (DeclaredDataset("a"),), finished=time),
        DeclaredStep("split e:b", (DeclaredDataset("e:other"),), (DeclaredDataset("e:b"),), finished=time),
    )
    assert found.datasets == (DeclaredDataset("e:alone"),)


def test_a_document_of_the_prov_library() -> None:
    made = ProvDocument()
    made.add_namespace("ex", "https://ex.example/")
    raw, model = made.entity("ex:raw"), made.entity("ex:model", {"prov:label": "the model"})
    training = made.activity("ex:training", "2026-01-02T03:04:05", "2026-01-02T04:04:05")
    made.used(training, raw)
    made.wasGeneratedBy(model, training)
    made.wasAssociatedWith(training, made.agent("ex:ada"))
    (step,) = read_document(str(made.serialize(format="json")).encode()).steps
    assert step.name == "https://ex.example/training the model"
    assert [one.name for one in step.inputs] == ["https://ex.example/raw"]
    assert (step.started, step.finished) == ("2026-01-02T03:04:05", "2026-01-02T04:04:05")


def test_two_things_of_one_name_are_two() -> None:
    prov = {
        "prefix": {"a": "https://a.example/", "b": "https://b.example/"},
        "entity": {"a:x": {"prov:label": "raw"}, "b:x": {"prov:label": "raw"}, "a:m": {}, "b:m": {}},
        "wasDerivedFrom": {
            "_:1": {"prov:generatedEntity": "a:m", "prov:usedEntity": "a:x"},
            "_:2": {"prov:generatedEntity": "b:m", "prov:usedEntity": "b:x"},
        },
    }
    made = {
        step.outputs[0].name: [one.name for one in step.inputs]
        for step in read_document(json.dumps(prov).encode()).steps
    }
    assert made == {
        "https://a.example/m": ["raw (https://a.example/x)"],
        "https://b.example/m": ["raw (https://b.example/x)"],
    }
    bom = {
        "bomFormat": "CycloneDX",
        "components": [
            {"type": "data", "name": "train", "bom-ref": "1"}, {"type": "data", "name": "train", "bom-ref": "2"},
            {"type": "machine-learning-model", "name": "m", "bom-ref": "3"},
            {"type": "data", "name": "s", "bom-ref": "4"},
        ],
        "dependencies": [{"ref": "3", "dependsOn": ["1"]}, {"ref": "2", "dependsOn": ["4"]}],
    }  # fmt: skip
    made = {
        step.outputs[0].name: [one.name for one in step.inputs]
        for step in read_document(json.dumps(bom).encode()).steps
    }
    assert made == {"m": ["train (1)"], "train (2)": ["s"]}


def test_an_activity_of_very_many_is_refused() -> None:
    names = [f"e:{number}" for number in range(2_000)]
    prov = {
        "activity": {"a:a": {}},
        "used": {f"_:u{n}": {"prov:activity": "a:a", "prov:entity": name} for n, name in enumerate(names)},
        "wasGeneratedBy": {
            f"_:g{n}": {"prov:entity": f"{name}o", "prov:activity": "a:a"} for n, name in enumerate(names)
        },
    }
    with pytest.raises(MalformedError, match="document"):
        read_document(json.dumps(prov).encode(), "prov")


def test_contexts_of_mlflow() -> None:
    def run(context: str) -> dict[str, Any]:
        dataset = {"name": "d", "digest": "1", "source": '{"path":"data/x"}', "source_type": "local"}
        tags = [{"key": "mlflow.data.context", "value": context}]
        return {
            "info": {"run_id": "r", "status": "FINISHED", "run_name": "https://ada:pw@h.example/"},
            "inputs": {"dataset_inputs": [{"dataset": dataset, "tags": tags}]},
        }

    for context, is_input in (
        ("training", True),
        ("train", True),
        ("", True),
        ("val", False),
        ("holdout", False),
        ("dev", False),
    ):
        (step,) = read_document(json.dumps({"runs": [run(context)]}).encode()).steps
        assert bool(step.inputs) is is_input, context
        assert "pw" not in step.name
        if is_input:
            assert step.inputs[0].name == "data/x#1"  # a path of somebody's folder says little


@pytest.mark.parametrize(
    "command",
    [
        "curl https://u:pw@h.example/x", "AWS_SECRET_ACCESS_KEY=x run", "mysql -pPW db", "run --config token: x",
        "curl -H 'Authorization: Bearer x'", "curl -u me:pw x", "curl -H 'X-Api-Key: abc'", "MY_PASS=foo run",
        "train --secretKey=abc", "docker login -p pw", "curl --user me:pw x", "x --passphrase y",
        "PROVENANCE_PASSPHRASE=x y",
    ],
)  # fmt: skip
def test_commands_that_seem_to_hold_a_secret_are_withheld(command: str) -> None:
    text = json.dumps({"schema": "2.0", "stages": {"a": {"cmd": command, "outs": [{"path": "x", "md5": "aa"}]}}})
    (step,) = read_document(text.encode(), "dvc").steps
    assert step.facts["command"] == "withheld: it seems to hold a secret"


@pytest.mark.parametrize("command", ["train --tokenizer=bert", "mkdir -pv x", "python train.py --epochs 3"])
def test_commands_that_hold_none_are_kept(command: str) -> None:
    text = json.dumps({"schema": "2.0", "stages": {"a": {"cmd": command, "outs": [{"path": "x", "md5": "aa"}]}}})
    (step,) = read_document(text.encode(), "dvc").steps
    assert step.facts["command"] == command


def test_names_that_look_told_apart_are_told_apart() -> None:
    long = "y" * 2_048
    labels = {
        "e:a": "X",
        "e:b": "X",
        "e:c": "X (e:a)",
        "e:d": long,
        "e:e": long,
        "e:f?token=1": "Z",
        "e:f?token=2": "Z",
    }
    prov = {"entity": {key: {"prov:label": label} for key, label in labels.items()}}
    names = [one.name for one in read_document(json.dumps(prov).encode(), "prov").datasets]
    assert len(set(names)) == len(labels)
    blank = {
        "bundle": {
            f"b:{n}": {
                "entity": {"_:x": {}, f"e:{n}": {}},
                "wasDerivedFrom": {"_:d": {"prov:generatedEntity": f"e:{n}", "prov:usedEntity": "_:x"}},
            }
            for n in (1, 2)
        }
    }
    steps = read_document(json.dumps(blank).encode(), "prov").steps
    assert len({step.inputs[0].name for step in steps}) == 2


@pytest.mark.parametrize(
    ("outer", "prefix", "ids"),
    [
        ("_1:x", {}, ("_:x", "_:x")),
        ("_:1:x", {}, ("_:x", "_:x")),
        ("p:x", {"p": "_:1:"}, ("_:x", "_:x")),
        ("_:-:_:x", {}, ("p:x", "p:x")),
        ("p:-:x", {"p": "_:"}, ("_:-:x", "_:-:x")),
    ],
)
def test_a_blank_thing_of_a_bundle_is_no_other(outer: str, prefix: dict[str, str], ids: tuple[str, str]) -> None:
    document = {
        "prefix": prefix,
        "entity": {outer: {}, "e:model": {}},
        "wasDerivedFrom": {"e:d": {"prov:generatedEntity": "e:model", "prov:usedEntity": outer}},
        "bundle": {
            "b:1": {
                "prefix": {"p": "_:"},
                "entity": {ids[0]: {}, "e:raw": {}},
                "wasDerivedFrom": {"e:d": {"prov:generatedEntity": ids[1], "prov:usedEntity": "e:raw"}},
            }
        },
    }
    steps = read_document(json.dumps(document).encode(), "prov").steps
    (model,) = (step for step in steps if step.outputs[0].name == "e:model")
    (inner,) = (step for step in steps if step.outputs[0].name != "e:model")
    assert model.inputs[0].name != inner.outputs[0].name


def test_a_long_text_is_looked_through_in_time() -> None:
    text = "https://h.example/?" + "a-" * 5_000 + "?a-" * 100_000
    started = time.monotonic()
    assert without_secrets(text) == text
    assert without_secrets(text + "&token=x") == "https://h.example/"
    assert without_secrets("://" * 100_000 + "x").startswith("://")
    assert time.monotonic() - started < 5


def test_yaml_that_means_two_things_is_refused() -> None:
    for text in ("outs:\n- path: a\n  md5: b\nouts: []\n", "outs: [{path: a, path: b, md5: c}]\n"):
        with pytest.raises(MalformedError, match="twice"):
            read_document(text.encode(), "dvc")
    with pytest.raises(MalformedError, match="base 60"):
        read_document(b"outs: " + b"1:" * 200_000 + b"1\n", "dvc")


def test_our_own_prov_and_croissant_come_back(ledger: Ledger, copy: Path, tmp_path: Path) -> None:
    with Ledger.open(copy) as other:
        prov = draw(other.lineage("h/model").report, "prov-json").encode()
        croissant = other.export("h/model", "croissant")
        digests = {name: other.dataset(f"h/{name}").digest.hex for name in ("raw", "clean", "model")}
    steps = read_document(prov).steps
    made = {step.outputs[0].name: {one.name: one.digests["sha256"] for one in step.inputs} for step in steps}
    assert made == {
        "h/model@1": {"h/clean@1": digests["clean"], "h/raw@1": digests["raw"]},
        "h/clean@1": {"h/raw@1": digests["raw"]},
    }
    (step,) = read_document(croissant).steps
    assert {one.name: one.digests["sha256"] for one in step.inputs} == made["h/model@1"]
    assert step.outputs[0].digests == {"sha256": digests["model"]}
    for name, data in (("p.json", prov), ("c.json", croissant)):
        (tmp_path / name).write_bytes(data)
        assert _imported(ledger, tmp_path / name).new >= 1


def test_hub_cards_say_what_was_made_from_what() -> None:
    model = ModelCard.from_template(
        ModelCardData(model_name="net", base_model="acme/base", datasets=["acme/rides", "squad"], license="mit"),
        model_description="# it\n---\nA model.",
    )
    (step,) = read_document(str(model).encode(), None, "README.md").steps
    assert [one.name for one in step.inputs] == ["models/acme/base", "datasets/acme/rides", "datasets/squad"]
    assert step.outputs == (DeclaredDataset("net"),)
    data = DatasetCard.from_template(
        DatasetCardData(pretty_name="Rides", source_datasets=["original", "extended|squad"]), dataset_summary="Rides."
    )
    (step,) = read_document(str(data).encode()).steps
    assert (step.inputs, step.outputs) == ((DeclaredDataset("datasets/squad"),), (DeclaredDataset("Rides"),))
    with pytest.raises(MalformedError, match="does not say whose it is"):
        read_document(b"---\nlicense: mit\n---\n")
    for wrong in (b"---\nlicense: mit\n", b"---\n- a\n---\n", b"---\na: [\n---\n", b"---\n\xff\n---\n"):
        with pytest.raises(MalformedError):
            read_document(wrong, "card")


BAD: list[tuple[str, bytes]] = [
    ("dvc", b""),
    ("dvc", b"- a\n"),
    ("dvc", b"outs: 3\n"),
    ("dvc", b"outs:\n- 3\n"),
    ("dvc", b"outs:\n- md5: aa\n"),
    ("dvc", b"stages:\n  a: 3\n"),
    ("dvc", b"stages: [1]\n"),
    ("dvc", b"a: &x [1]\nouts: [*x, *x]\n"),
    ("dvc", b"\xff\xfe"),
    ("dvc", b"a: [" * 5_000),
    ("in-toto", b"{}"),
    ("in-toto", b"[]"),
    ("in-toto", b'{"payload":"%%%"}'),
    ("in-toto", b'{"payload":"AAAA"}'),
    ("in-toto", json.dumps({**SLSA_1, "subject": []}).encode()),
    ("in-toto", json.dumps({**SLSA_1, "subject": [{}]}).encode()),
    ("in-toto", json.dumps({**SLSA_1, "subject": [{"name": "x" * 5_000}]}).encode()),
    ("in-toto", json.dumps(SLSA_1).encode() + b"\n{"),
    ("in-toto", b"[" * 100_000),
    ("spdx", b'{"@graph":3}'),
    ("spdx", b'{"@graph":[3]}'),
    ("spdx", b'{"@graph":[]}'),
    ("spdx", b'{"@graph":[{"type":"ai_AIPackage","spdxId":"x","verifiedUsing":3}]}'),
    ("cyclonedx", b'{"components":{}}'),
    ("cyclonedx", b"3"),
    ("cyclonedx", b'{"components":[{"type":"library","name":"x"}]}'),
    ("prov", b"{}"),
    ("prov", b"[]"),
    ("prov", b'{"entity":3}'),
    ("prov", b'{"entity":{"a":3}}'),
    ("prov", b'{"used":{"a":{"prov:activity":3}}}'),
    ("croissant", b"{}"),
    ("croissant", b'{"name":"x","prov:wasDerivedFrom":3}'),
    ("croissant", b'{"name":"x","prov:wasDerivedFrom":{}}'),
    ("card", b""),
    ("card", b"# no front matter"),
    ("mlflow", b"{}"),
    ("mlflow", b"[]"),
    ("mlflow", b'{"runs":[{"info":{"status":"FINISHED"}}]}'),
    ("mlflow", b'{"runs":[{"info":{"status":"RUNNING","run_id":"x"}}]}'),
    ("other", b"{}"),
]


@pytest.mark.parametrize(("form", "data"), BAD)
def test_what_is_no_such_document_is_refused_and_logs_nothing(
    ledger: Ledger, tmp_path: Path, form: str, data: bytes
) -> None:
    path = tmp_path / "document"
    path.write_bytes(data)
    size = ledger.log.size()
    with pytest.raises(ProvenanceError):
        _imported(ledger, path, form=form)
    assert ledger.log.size() == size


def test_words_for_what_cannot_be(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello")
    with pytest.raises(MalformedError, match="cannot tell what format"):
        _imported(ledger, tmp_path / "x")
    with pytest.raises(SourceError):
        _imported(ledger, tmp_path / "none")
    with pytest.raises(NotFoundError):
        declared_graph(ledger, "dataset:a:b")
    for node in ("a", "field:a:b"):
        with pytest.raises(MalformedError):
            declared_graph(ledger, node)


@given(st.sampled_from(FORMS), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from([
            "stages", "outs", "deps", "path", "md5", "cmd", "repo", "url", "_type", "subject", "name", "digest",
            "sha256", "predicate", "predicateType", "@graph", "type", "spdxId", "from", "to", "relationshipType",
            "components",
            "runs", "info", "run_id", "status", "inputs", "dataset_inputs", "dataset", "source", "entity", "activity",
            "used", "wasGeneratedBy", "wasDerivedFrom", "prov:entity", "prov:activity", "prov:wasDerivedFrom", "@id",
            "metadata", "component", "dependencies", "ref", "dependsOn", "hashes", "modelCard",
        ]), inner, max_size=4),
    max_leaves=12,
))  # fmt: skip
def test_no_value_in_any_place_is_a_surprise(form: str, value: Any) -> None:
    with contextlib.suppress(ProvenanceError):
        read_document(json.dumps(value).encode(), form)


def test_a_time_without_its_offset_is_kept_as_a_fact() -> None:
    origin = Origin(Digest.of(b"x"), "somebody", "n", CREATED)
    zoned = "2026-01-01T00:00:00+02:00"
    for finished, told, fact in ((LOCAL, CREATED, LOCAL), (zoned, zoned, None)):
        step = DeclaredStep("build", started=LOCAL, finished=finished)
        (raw,) = tell(Declared("slsa", (step,)), origin)
        event = json.loads(raw)
        imported = event["run"]["facets"]["provenance_imported"]
        assert (event["eventTime"], imported["startedAt"], imported.get("finishedAt")) == (told, LOCAL, fact)
        assert read_event(raw).time == told
