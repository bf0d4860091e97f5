"""Autolog and the decorator: inputs and outputs that other libraries read and write, with those very libraries."""

from __future__ import annotations

import importlib
import inspect
import io
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import duckdb
import pandas as pd
import polars as pl
import pyarrow.csv
import pyarrow.dataset
import pyarrow.feather
import pyarrow.parquet
import pytest

from provenance.errors import ConflictError, MalformedError, PolicyError, SourceError
from provenance.ledger import Ledger
from provenance.ledger.autolog import Autolog, autolog
from provenance.ledger.autolog_calls import CALLS, WatchedCall
from provenance.statement.run import Run

FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]})
LIBRARIES = ["pandas", "polars", "pyarrow", "duckdb", "datasets"]


@pytest.fixture
def folder(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "work"
    (made / "raw").mkdir(parents=True)
    FRAME.to_csv(made / "raw" / "t.csv", index=False)
    FRAME.to_parquet(made / "raw" / "t.parquet")
    FRAME.to_json(made / "raw" / "t.jsonl", orient="records", lines=True)
    FRAME.to_csv(made / "loose.csv", index=False)
    ledger.register(made / "raw", "h/raw", "1", key="someone", origin="https://h.example/raw", anchor=False)
    monkeypatch.chdir(made)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
    datasets.disable_progress_bars()
    return made


@pytest.mark.parametrize("call", [call for calls in CALLS.values() for call in calls], ids=lambda call: call.name)
def test_the_argument_stands_where_it_is_looked_for(call: WatchedCall) -> None:
    """By the library's own signature, or, where it has none, by its documentation."""
    module = importlib.import_module(call.module)
    owner = getattr(module, call.owner) if call.owner else module
    function = inspect.getattr_static(owner, call.name)
    try:
        names = [*inspect.signature(getattr(owner, call.name)).parameters]
    except ValueError:
        names = [one.partition(":")[0].strip() for one in function.__doc__.partition("(")[2].split(",")]
    if call.owner and not isinstance(function, staticmethod | classmethod):
        names = names[1:]
    assert "*" not in names[: call.place]
    assert names[call.place] in call.names or (call.module == "duckdb" and names == ["args", "kwargs"])


def _arrow(out: str) -> None:
    table = pyarrow.csv.read_csv("raw/t.csv")
    pyarrow.parquet.write_table(table, out)


def _sql(out: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT * FROM 'raw/t.parquet' WHERE b <> 'it''s') TO '{out}' (FORMAT parquet)")


def _relation(out: str) -> None:
    duckdb.read_csv("raw/t.csv").filter("a > 1").write_parquet(out)


def _hub(out: str) -> None:
    datasets.Dataset.from_csv("raw/t.csv", cache_dir="../hf").to_parquet(out)


def _hub_files(out: str) -> None:
    found = datasets.load_dataset("csv", data_files={"train": ["raw/t.csv"]}, split="train", cache_dir="../hf")
    found.save_to_disk(out)


def _lazy(out: str) -> None:
    pl.scan_parquet("raw/*.parquet").filter(pl.col("a") > 1).sink_parquet(out)


STEPS: dict[str, Callable[[str], None]] = {
    "pandas": lambda out: pd.read_csv("raw/t.csv").dropna().to_parquet(out),
    "pandas by name": lambda out: pd.read_json(path_or_buf="raw/t.jsonl", lines=True).to_csv(path_or_buf=out),
    "polars": lambda out: pl.read_csv("raw/t.csv").write_parquet(out),
    "polars lazily": _lazy,
    "pyarrow": _arrow,
    "pyarrow dataset": lambda out: pyarrow.dataset.write_dataset(
        pyarrow.dataset.dataset("raw/t.parquet"), out, format="parquet"
    ),
    "feather": lambda out: pyarrow.feather.write_feather(pyarrow.parquet.read_table("raw/t.parquet"), out),
    "duckdb": _sql,
    "duckdb relation": _relation,
    "datasets": _hub,
    "datasets from files": _hub_files,
}


def _watch(run: Any, **options: Any) -> Autolog:
    return autolog(run, namespace="h", version="1", libraries=LIBRARIES, **options)


def _run_of(ledger: Ledger, name: str) -> Run:
    (body,) = [said.event.body for said in ledger.said_about(name) if isinstance(said.event.body, Run)]
    return body


@pytest.mark.parametrize("step", STEPS)
def test_what_is_read_and_written_is_recorded(ledger: Ledger, folder: Path, step: str) -> None:
    with ledger.run("clean", key="someone") as run, _watch(run):
        STEPS[step]("Cleaned Data.v2.parquet")
    body = _run_of(ledger, "h/cleaned-data@1")
    assert [str(one.pin.name) for one in body.inputs] == ["h/raw@1"]
    assert body.inputs[0].path == "raw/"
    assert body.output.rstrip("/") == "Cleaned Data.v2.parquet"
    assert body.parameters == {"autolog": " ".join(sorted(LIBRARIES))}
    report = ledger.verify(folder / "Cleaned Data.v2.parquet")
    assert report.sound
    assert {artefact.name for artefact in report.artefacts} == {"h/cleaned-data@1", "h/raw@1"}


@pytest.mark.parametrize("library", LIBRARIES)
def test_everything_is_put_back(ledger: Ledger, folder: Path, library: str) -> None:
    def held() -> list[object]:
        import importlib
        import inspect

        found = []
        for call in CALLS[library]:
            module = importlib.import_module(call.module)
            owner = getattr(module, call.owner) if call.owner else module
            found.append(inspect.getattr_static(owner, call.name))
        return found

    before = held()
    with pytest.raises(ZeroDivisionError), ledger.run("clean", key="someone") as run, _watch(run):
        assert not any(one is other for one, other in zip(held(), before, strict=True))
        raise ZeroDivisionError
    assert all(one is other for one, other in zip(held(), before, strict=True))
    assert pd.read_csv("loose.csv").shape == (3, 2)


READS: dict[str, Callable[[], object]] = {
    "pandas": lambda: pd.read_csv("loose.csv"),
    "polars": lambda: pl.scan_csv(Path("loose.csv")),
    "pyarrow": lambda: pyarrow.csv.read_csv("loose.csv"),
    "duckdb": lambda: duckdb.sql("SELECT count(*) FROM 'loose.csv'"),
    "duckdb quoted": lambda: duckdb.sql('SELECT count(*) FROM "loose.csv"'),
    "duckdb glob": lambda: duckdb.execute("SELECT count(*) FROM read_csv('loo*.csv')"),
    "datasets": lambda: datasets.load_dataset("csv", data_files="loose.csv"),
    "hub": lambda: datasets.load_dataset("somebody/something"),
    "url": lambda: pd.read_csv("https://data.example/x.csv?token=secret"),
    "url in sql": lambda: duckdb.sql("SELECT * FROM 'https://data.example/x.csv?token=secret'"),
    "buffer": lambda: pd.read_csv(io.StringIO("a\n1\n")),
    "several": lambda: pl.read_parquet(["raw/t.parquet", "loose.csv"]),
}


@pytest.mark.parametrize("reader", READS)
def test_what_is_not_registered_is_not_read(ledger: Ledger, folder: Path, reader: str) -> None:
    with pytest.raises(PolicyError, match="not registered") as caught:  # noqa: SIM117
        with ledger.run("clean", key="someone") as run, _watch(run):
            READS[reader]()
    assert "secret" not in str(caught.value)


def test_what_is_not_registered_can_be_counted(ledger: Ledger, folder: Path) -> None:
    with ledger.run("clean", key="someone") as run, _watch(run, unknown="count"):
        both = pd.concat([pd.read_csv("loose.csv"), pd.read_csv("raw/t.csv"), pd.read_csv(io.StringIO("a,b\n1,2\n"))])
        both.to_csv("out.csv")
    body = _run_of(ledger, "h/out@1")
    assert body.parameters["unregisteredReads"] == 2
    assert [str(one.pin.name) for one in body.inputs] == ["h/raw@1"]


def test_an_input_that_was_changed_is_not_read(ledger: Ledger, folder: Path) -> None:
    (folder / "raw" / "t.csv").write_text("a,b\n9,q\n")
    with pytest.raises(PolicyError, match="does not verify"):  # noqa: SIM117
        with ledger.run("clean", key="someone") as run, _watch(run):
            pd.read_csv("raw/t.csv")


def test_what_a_run_wrote_it_may_read_again(ledger: Ledger, folder: Path) -> None:
    with ledger.run("clean", key="someone") as run, _watch(run, names={"part.parquet": "h/first"}):
        pd.read_csv("raw/t.csv").to_parquet("part.parquet")
        pl.read_parquet("part.parquet").write_csv("end.csv")
        pd.read_csv("end.csv").to_csv("end.csv")  # written again: one output all the same
    assert _run_of(ledger, "h/first@1").output == "part.parquet"
    assert [str(one.pin.name) for one in _run_of(ledger, "h/end@1").inputs] == ["h/raw@1"]


def test_one_at_a_time_and_words_that_are_known(ledger: Ledger, folder: Path) -> None:
    with ledger.run("clean", key="someone") as run:
        with _watch(run) as first:
            with pytest.raises(ConflictError, match="another autolog"):
                _watch(run)
            pd.read_csv("raw/t.csv").to_csv("out.csv")
            first.remove()
            first.remove()
            pd.read_csv("loose.csv")
        for wrong in ({"libraries": ["numpy"]}, {"unknown": "allow"}, {"namespace": "Not One"}):
            with pytest.raises(MalformedError):
                autolog(run, **{"namespace": "h", "version": "1", **wrong})  # type: ignore[arg-type]


def test_a_library_that_nobody_watched_is_told_of(ledger: Ledger, folder: Path) -> None:
    with ledger.run("clean", key="someone") as run:
        run.output("out.csv", "h/out", "1")
        with pytest.warns(UserWarning, match=r"did not watch .*polars"):  # noqa: SIM117
            with autolog(run, namespace="h", version="1", libraries=["pandas"]):
                pl.read_csv("loose.csv").write_csv("out.csv")


def test_a_function_is_a_step(ledger: Ledger, folder: Path) -> None:
    script = folder / "steps.py"
    script.write_text(
        "import pathlib\ndef double(times, note='n', table=()):\n"
        "    pathlib.Path('out').write_text('x' * times)\n    return times\n"
    )
    space: dict[str, Any] = {}
    exec(compile(script.read_text(), str(script), "exec"), space)
    step = ledger.step(inputs=["raw"], outputs={"out": "h/out@3"}, key="someone")(space["double"])
    assert step(3) == 3
    body = _run_of(ledger, "h/out@3")
    assert (body.step, body.parameters, body.output) == ("double", {"times": 3, "note": "n"}, "out")
    assert [one.path for one in body.code] == ["steps.py"]
    assert [str(one.pin.name) for one in body.inputs] == ["h/raw@1"]
    with pytest.raises(SourceError, match="there before the run"):
        step(4)
    with pytest.raises(MalformedError, match="no output"):
        ledger.step(outputs={})


def test_a_step_that_fails_records_nothing(ledger: Ledger, folder: Path) -> None:
    @ledger.step("fails", inputs=["raw"], outputs={"out": "h/out@1"}, key="someone", code=[])
    def fails() -> None:
        (folder / "out").write_text("half")
        raise ZeroDivisionError

    size = ledger.log.size()
    with pytest.raises(ZeroDivisionError):
        fails()
    assert ledger.log.size() == size


def test_nothing_is_warned_of_when_all_are_watched(ledger: Ledger, folder: Path) -> None:
    with warnings.catch_warnings(), ledger.run("clean", key="someone") as run:
        warnings.simplefilter("error")
        with _watch(run):
            pd.read_csv("raw/t.csv").to_csv("out.csv")


def test_what_threads_write_at_once_is_all_recorded(ledger: Ledger, folder: Path) -> None:
    gate = threading.Barrier(2, timeout=30)

    def pass_gate(x: int) -> int:  # both calls were told of before either returns
        gate.wait()
        return x

    def write(name: str) -> None:
        with duckdb.connect() as connection:
            connection.create_function("pass_gate", pass_gate, ["BIGINT"], "BIGINT")
            connection.execute(f"COPY (SELECT pass_gate(1)) TO '{name}.csv'")

    with ledger.run("clean", inputs=["raw"], key="someone") as run, _watch(run), ThreadPoolExecutor(2) as pool:
        assert len(list(pool.map(write, ("one", "two")))) == 2
    assert {row.name for row in ledger.datasets()} >= {"one", "two"}
