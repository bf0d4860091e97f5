"""A real MLflow server: its runs as lineage, and registered datasets in its runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from provenance.encoding import Digest
from provenance.errors import MalformedError, NotFoundError, PolicyError, SourceError
from provenance.ledger import Ledger
from provenance.ledger.fingerprinting import Wanted
from provenance.ledger.importing import declared_graph, import_document
from provenance.ledger.mlflow_runs import import_runs

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import mlflow
import mlflow.data
from mlflow import MlflowClient

from provenance.mlflow import ProvenanceSource, from_provenance
from tests.sessions.session import Session

DATA: Any = mlflow.data  # its constructors are put there as it is imported
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/runs.db", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, (folder / "log").read_text()
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=5):
                    break
            except OSError:
                time.sleep(0.1)
        else:
            raise AssertionError((folder / "log").read_text())
        yield url
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    with Ledger.init(tmp_path, origin="mlflow.example/log") as made:
        made.keyring.new("lab", algorithm="ed25519")
        pd.DataFrame({"a": range(12_000)}).to_csv(tmp_path / "rides.csv", index=False)
        made.register(
            tmp_path / "rides.csv", "acme/rides", "3", key="lab", origin="https://a.example/rides", anchor=False,
            wanted=Wanted(records=True),
        )  # fmt: skip
        monkeypatch.chdir(tmp_path)
        yield made


def _experiment(server: str, name: str) -> Any:
    mlflow.set_tracking_uri(server)
    return mlflow.set_experiment(name)


def _imported(ledger: Ledger, server: str, **options: Any) -> int:
    return sum(page.new for page in import_runs(ledger, server, key="lab", **options))


def _datasets(run_id: str) -> list[Any]:
    inputs = MlflowClient().get_run(run_id).inputs
    assert inputs is not None
    return [one.dataset for one in inputs.dataset_inputs]


def test_runs_become_lineage_and_registered_datasets_are_known_in_it(ledger: Ledger, server: str) -> None:
    _experiment(server, "train")
    frame = pd.read_csv("rides.csv")
    with mlflow.start_run(run_name="fit") as run:
        mlflow.log_param("password", "hunter2")
        mlflow.log_input(from_provenance("acme/rides@3"), context="training")
        mlflow.log_input(DATA.from_pandas(frame, source="https://a.example/test.csv", name="t"), context="eval")
        mlflow.log_input(DATA.from_pandas(frame, source="https://a.example/more.csv", name="m"))
        model = mlflow.initialize_logged_model(name="net", source_run_id=run.info.run_id)
        mlflow.log_outputs([mlflow.entities.LoggedModelOutput(model.model_id, step=0)])
    with mlflow.start_run(run_name="use") as second:
        MlflowClient().log_inputs(second.info.run_id, models=[mlflow.entities.LoggedModelInput(model.model_id)])
    unfinished = mlflow.start_run(run_name="under way")
    try:
        assert _imported(ledger, server, experiments=["train"]) == 2
    finally:
        mlflow.end_run("FAILED")
    assert unfinished.info.run_id

    # What the plug-in logged says which dataset it is, whole.
    digest = ledger.dataset("acme/rides").digest.hex
    logged = {one.name: one for one in _datasets(run.info.run_id)}
    assert (logged["acme/rides@3"].digest, logged["acme/rides@3"].source_type) == (digest[:32], "provenance")
    assert digest in logged["acme/rides@3"].source
    assert '"records": 12000' in logged["acme/rides@3"].profile

    space = "mlflow://" + server.removeprefix("http://")
    graph = {one.node.name: one for one in declared_graph(ledger, f"dataset:{space}:runs:/{second.info.run_id}")}
    assert graph["acme/rides@3"].registered == ("acme/rides@3",)
    assert f"models:/{model.model_id}" in graph
    assert "https://a.example/more.csv" in graph
    assert "https://a.example/test.csv" not in graph  # it was evaluated on that
    fit = graph[f"fit {run.info.run_id}"].node
    assert fit.after == [f"dataset:{space}:models:/{model.model_id}"]

    # Nothing of the run but its lineage is kept, and the same again adds nothing.
    size = ledger.log.size()
    MlflowClient().set_tag(run.info.run_id, "later", "yes")
    assert _imported(ledger, server, experiments=["train"]) == 0
    assert ledger.log.size() == size
    everything = b"".join(path.read_bytes() for path in (Path(".provenance") / "blobs").rglob("*") if path.is_file())
    assert run.info.run_id.encode() in everything
    assert b"hunter2" not in everything
    assert ledger.fsck().clean


def test_an_answer_of_the_server_is_a_document_too(ledger: Ledger, server: str, tmp_path: Path) -> None:
    experiment = _experiment(server, "answer")
    with mlflow.start_run() as run:
        mlflow.log_input(from_provenance("acme/rides"))
    body = f'{{"experiment_ids":["{experiment.experiment_id}"]}}'.encode()
    request = urllib.request.Request(f"{server}/api/2.0/mlflow/runs/search", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        (tmp_path / "answer.json").write_bytes(answer.read())
    space = "mlflow://" + server.removeprefix("http://")
    found = import_document(ledger, tmp_path / "answer.json", key="lab", namespace=space)
    assert (found.declared.form, found.new) == ("mlflow", 1)
    assert _imported(ledger, server, experiments=["answer"]) == 0  # it is the same run
    assert found.declared.steps[0].identity == run.info.run_id


def test_a_source_loads_what_verifies_and_nothing_else(ledger: Ledger, server: str) -> None:
    _experiment(server, "load")
    with mlflow.start_run() as run:
        mlflow.log_input(DATA.from_provenance("acme/rides"), context="training")
    (dataset,) = _datasets(run.info.run_id)
    source = DATA.get_source(dataset)
    assert isinstance(source, ProvenanceSource)
    assert Path(source.load()).read_text().startswith("a\n0\n")
    resolved = DATA.dataset_source_registry.resolve_dataset_source("provenance:acme/rides@3")
    assert resolved.to_dict() == source.to_dict()

    # MLflow's own digest does not see row 11,999; ours does.
    frame = pd.read_csv("rides.csv")
    before = DATA.from_pandas(frame).digest
    frame.loc[11_999, "a"] = -1
    assert DATA.from_pandas(frame).digest == before
    frame.to_csv("rides.csv", index=False)
    with pytest.raises(PolicyError, match="does not verify"):
        source.load()
    with pytest.raises(PolicyError, match="does not verify"):
        from_provenance("acme/rides")


def test_what_cannot_be_says_why(ledger: Ledger, server: str) -> None:
    with pytest.raises(NotFoundError, match="no such experiment"):
        _imported(ledger, server, experiments=["none"])
    with pytest.raises(MalformedError) as refused:
        _imported(ledger, "http://ada:hunter2@127.0.0.1:1")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(NotFoundError):
        from_provenance("acme/none")
    with pytest.raises(PolicyError, match="another digest"):
        from_provenance("acme/rides", digest="00")
    assert from_provenance("acme/rides", digest=ledger.dataset("acme/rides").digest.hex[:8]).name == "acme/rides@3"
    for wrong in ({}, {"reference": 1, "sha256": "x", "envelope": "y"}):
        with pytest.raises(MalformedError):
            ProvenanceSource.from_dict(wrong)
    other = ProvenanceSource("acme/rides@3", Digest.of(b"x").hex, Digest.of(b"y").hex)
    with pytest.raises(PolicyError, match="another dataset here"):
        other.load()


def test_as_a_user_types_it(ledger: Ledger, server: str, tmp_path: Path) -> None:
    _experiment(server, "typed")
    with mlflow.start_run():
        mlflow.log_input(from_provenance("acme/rides"))
    session = Session(tmp_path)
    typed = ("import", "--mlflow", server, "--experiment", "typed", "--key", "lab")
    out = session.run(*typed).out
    assert "1 run of http://127.0.0.1" in out
    assert "nothing of it was verified" in out
    assert "nothing new" in session.run(*typed).out
    assert session.json(*typed) == {"imported": []}
    for wrong in (
        ("--mlflow", server, "x.json"),
        ("--experiment", "typed", "x.json"),
        ("--mlflow", server, "--every", "0"),
    ):
        session.run("import", *wrong, code=2)


def test_a_server_that_is_not_there(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    with pytest.raises(SourceError, match="cannot ask the MLflow server"):
        _imported(ledger, "http://127.0.0.1:9")


@pytest.mark.parametrize("first", ["provenance.mlflow", "mlflow.data", "provenance.mlflow.plugins"])
def test_plug_ins_are_found_whoever_is_imported_first(first: str) -> None:
    code = f"import {first}, mlflow.data, provenance.mlflow as ours; print(mlflow.data.from_provenance.__name__)"
    code += "; from mlflow.data.dataset_source_registry import _dataset_source_registry as registry"
    code += "; print(registry.sources.count(ours.ProvenanceSource))"
    told = subprocess.run(
        [sys.executable, "-W", "error:Failure", "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert (told.stdout.split(), "ailure" in told.stderr) == (["from_provenance", "1"], False)
