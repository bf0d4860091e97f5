"""Replays on a sample: which records are drawn, that each format is cut as it is, and what a sample finds."""

from __future__ import annotations

import csv
import io
import math
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.encoding import Digest
from provenance.errors import MalformedError, NotFoundError, PolicyError, ProvenanceError, SourceError
from provenance.ledger import Ledger
from provenance.ledger.fingerprinting import Wanted
from provenance.ledger.running import RunRecorder
from provenance.ledger.sampling import MAX_SAMPLE, cut, draw
from provenance.policy import Status
from provenance.statement.replay import ReplayResult, Sample
from provenance.tables import open_table

TABLE = pa.table(
    {"a": pa.array(range(50), pa.int16()), "b": [f"é\n,{n}" if n % 3 else None for n in range(50)]},
    metadata={"k": "v"},
)
SEED = Digest.of(b"seed")
WORK = """
import csv, os
with open("in.csv", newline="") as file, open("out.csv", "w", newline="") as out:
    rows = csv.DictReader(file)
    writer = csv.writer(out)
    writer.writerow(["id", "twice"])
    for row in rows:
        number = int(row["number"])
        if number % 5 == 4:
            continue
        lie = os.environ.get("LIE") and number % 10 == 3
        writer.writerow([row["id"], 2 * number + bool(lie)])
"""


@given(st.binary(min_size=32, max_size=32), st.integers(1, 60), st.integers(1, 60))
def test_rows_are_drawn_once_and_in_order(seed: bytes, count: int, of: int) -> None:
    rows = draw(seed, count, of)
    assert list(rows) == sorted(set(rows))
    assert len(rows) == min(count, of)
    assert all(0 <= row < of for row in rows)
    assert draw(seed, count, of) == rows


def test_every_row_is_as_likely_as_any_other() -> None:
    seen = Counter(row for number in range(3_000) for row in draw(Digest.of(b"%d" % number).raw, 3, 10))
    spread = sum((seen[row] - 900) ** 2 / 900 for row in range(10))
    assert spread < 28  # chi-squared of 9 degrees, one in a thousand; the seeds are fixed
    pairs = Counter(draw(Digest.of(b"%d" % number).raw, 2, 4) for number in range(3_000))
    assert len(pairs) == math.comb(4, 2)
    assert min(pairs.values()) > 400


def test_a_seed_and_a_size_that_cannot_be_are_refused() -> None:
    for seed, count in ((b"short", 1), (bytes(32), 0), (bytes(32), MAX_SAMPLE + 1)):
        with pytest.raises(MalformedError):
            draw(seed, count, 10)


def _csv(path: Path) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter="\t" if path.suffix == ".tsv" else ",")
    writer.writerow(["a", "b"])
    writer.writerows((row["a"], row["b"] or "") for row in TABLE.to_pylist())
    path.write_bytes(out.getvalue().encode()[:-2])  # the last line has no end


def _jsonl(path: Path) -> None:
    path.write_text("\n\n".join(f'{{"a":{n}, "b":"{n}"}}' for n in range(50)))


def _stream(path: Path) -> None:
    with pa.ipc.new_stream(path, TABLE.schema) as writer:
        writer.write_table(TABLE, 7)


WRITERS: dict[str, Callable[[Path], object]] = {
    "t.csv": _csv,
    "t.tsv": _csv,
    "t.jsonl": _jsonl,
    "t.parquet": lambda path: pa.parquet.write_table(TABLE, path, row_group_size=7),
    "t.feather": lambda path: pa.feather.write_feather(TABLE, path),
    "t.arrow": _stream,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("rows", [(), (0,), (49,), (0, 6, 7, 8, 30, 49), tuple(range(50))])
def test_a_table_is_cut_to_the_rows_that_were_chosen(tmp_path: Path, name: str, rows: tuple[int, ...]) -> None:
    WRITERS[name](tmp_path / name)
    (tmp_path / "out").mkdir()

    def choose(total: int) -> tuple[int, ...]:
        assert total == 50
        return rows

    assert cut(tmp_path / name, tmp_path / "out" / name, choose) == (len(rows), 50)
    if not rows and name.endswith(("csv", "tsv", "jsonl")):
        return  # a table of no rows has no types
    whole, part = (
        pa.Table.from_batches([b for fragment in table.fragments() for b in fragment.read(fragment)], table.schema)
        for table in (open_table(tmp_path / name), open_table(tmp_path / "out" / name))
    )
    assert part.to_pylist() == whole.take(pa.array(rows, pa.int64())).to_pylist()
    if name.endswith(("parquet", "feather", "arrow")):
        assert part.schema.equals(whole.schema, check_metadata=True)


def _chosen(rows: tuple[int, ...], _total: int) -> tuple[int, ...]:
    return rows


@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_quotes_that_open_nothing_hide_no_record(tmp_path: Path, name: str) -> None:
    """Against pandas: inch marks, quotes within and around, line breaks in quotes, blank lines."""
    mark = "\t" if name.endswith("tsv") else ","
    rows = ['5" pipe', 'a "b" c', '"x\ny"', '"say ""hi"""', '""', '"a', 'z"', "plain"]
    text = (
        f"n{mark}t\n"
        + "".join(f"{n}{mark}{row}\n" for n, row in enumerate(rows) if row != '"a')
        + "\n7"
        + mark
        + "end\n"
    )
    (tmp_path / name).write_text(text)
    (tmp_path / "out").mkdir()
    whole = pd.read_csv(tmp_path / name, sep=mark, keep_default_na=False)
    for chosen in ((0,), (1, 2), (3, 6), tuple(range(len(whole)))):
        (tmp_path / "out" / name).unlink(missing_ok=True)
        assert cut(tmp_path / name, tmp_path / "out" / name, partial(_chosen, chosen)) == (
            len(chosen),
            len(whole),
        )
        part = pd.read_csv(tmp_path / "out" / name, sep=mark, keep_default_na=False)
        assert part.to_dict("records") == whole.iloc[list(chosen)].to_dict("records")


def test_blank_lines_of_one_column_are_nulls_as_the_reader_has_them(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b'x\n1\n\n"a\rb"\n')
    (tmp_path / "out").mkdir()
    assert cut(tmp_path / "t.csv", tmp_path / "out" / "t.csv", partial(_chosen, (1, 2))) == (2, 3)
    assert (tmp_path / "out" / "t.csv").read_bytes() == b'x\n\n"a\rb"\n'
    table = open_table(tmp_path / "t.csv")
    assert sum(batch.num_rows for fragment in table.fragments() for batch in fragment.read(fragment)) == 3


def test_a_table_that_cannot_be_told_apart_is_refused(tmp_path: Path) -> None:
    for text in (b'a,b\n1,"open\n2,3\n', b"a\r1\r2\r"):
        (tmp_path / "t.csv").write_bytes(text)
        with pytest.raises(ProvenanceError):
            cut(tmp_path / "t.csv", tmp_path / "u.csv", range)
    (tmp_path / "t.csv").write_bytes(b'a\n"' + b"x\n" * 1_000_000)
    started = time.monotonic()
    with pytest.raises(ProvenanceError):
        cut(tmp_path / "t.csv", tmp_path / "u.csv", range)
    assert time.monotonic() - started < 20


def test_what_is_no_table_is_not_cut(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"x")
    (tmp_path / "x.parquet").write_bytes(b"x")
    with pytest.raises(MalformedError):
        cut(tmp_path / "x.bin", tmp_path / "y.bin", range)
    with pytest.raises(SourceError):
        cut(tmp_path / "x.parquet", tmp_path / "y.parquet", range)


@pytest.fixture
def folder(ledger: Ledger, tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    rows = "".join(f'"r\n{number}",{number}\n' for number in range(100))
    (made / "in.csv").write_text("id,number\n" + rows)
    (made / "work.py").write_text(WORK)
    ledger.keyring.new("lab")
    ledger.register(made / "in.csv", "h/in", "1", key="someone", origin="https://h.example/in", anchor=False)
    return made


def _run(ledger: Ledger, folder: Path, row_wise: str | None = "in.csv", *, records: bool = True) -> None:
    recorder = RunRecorder(ledger, "twice", folder=folder, code=["work.py"], row_wise=row_wise, key="someone")
    recorder.output("out.csv", "h/out", "1", wanted=Wanted(records=records))
    recorder.input("in.csv")
    recorder.execute(["python", "work.py"])
    recorder.finish()


def _agreement(ledger: Ledger) -> Status:
    return next(check.status for check in ledger.verify_reference("h/out").checks if check.id == "agreement")


def test_an_honest_run_stands_every_sample(ledger: Ledger, folder: Path) -> None:
    _run(ledger, folder)
    found = ledger.replay("h/out", sample=10, seed=SEED, key="lab")
    kept = sum(row % 5 != 4 for row in draw(SEED.raw, 10, 100))
    assert found.sample == Sample(10, 100, SEED, kept, 0)
    assert (found.result, found.changes) == (ReplayResult.REPRODUCED, ())
    assert found.to_json()["sample"] == {"records": 10, "of": 100, "seed": SEED.hex, "found": kept, "missing": 0}
    assert ledger.replay("h/out", sample=1_000, key="lab").sample == Sample(100, 100, ledger_seed(ledger), 80, 0)
    assert _agreement(ledger) is Status.NOT_PERFORMED  # a sample is no replay
    assert ledger.replay("h/out", key="lab").result is ReplayResult.REPRODUCED
    assert _agreement(ledger) is Status.PASSED
    assert ledger.fsck().clean


def ledger_seed(ledger: Ledger) -> Digest:
    """The seed of the last sample that was stated."""
    body = ledger.said_about("h/out")[-1].event.body
    return body.sample.seed  # type: ignore[union-attr]


def test_a_sample_finds_what_a_run_lied_about(ledger: Ledger, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIE", "1")
    _run(ledger, folder)
    rows = draw(SEED.raw, 30, 100)
    lies = sum(row % 10 == 3 for row in rows)
    assert lies
    found = ledger.replay("h/out", sample=30, seed=SEED, key="lab")
    assert found.result is ReplayResult.DIFFERS
    assert found.sample is not None
    assert found.sample.missing == lies
    assert _agreement(ledger) is Status.FAILED
    assert not ledger.verify_reference("h/out").sound


def test_what_cannot_be_sampled_says_why(ledger: Ledger, folder: Path) -> None:
    _run(ledger, folder, None)
    with pytest.raises(PolicyError, match="row by row"):
        ledger.replay("h/out", sample=5, key="lab")
    for path, error in (("none.csv", MalformedError), ("work.py", MalformedError)):
        (folder / "out.csv").unlink(missing_ok=True)
        with pytest.raises(error):
            _run(ledger, folder, path)


def test_records_must_have_been_fingerprinted(ledger: Ledger, folder: Path) -> None:
    _run(ledger, folder, records=False)
    size = ledger.log.size()
    with pytest.raises(NotFoundError, match="not fingerprinted"):
        ledger.replay("h/out", sample=5, key="lab")
    for count in (0, MAX_SAMPLE + 1):
        with pytest.raises((MalformedError, NotFoundError)):
            ledger.replay("h/out", sample=count, key="lab")
    assert ledger.log.size() == size


def test_a_sample_of_which_nothing_comes_says_nothing(ledger: Ledger, folder: Path) -> None:
    _run(ledger, folder)
    seed = next(d for d in (Digest.of(b"%d" % n) for n in range(100)) if draw(d.raw, 1, 100)[0] % 5 == 4)
    size = ledger.log.size()
    with pytest.raises(SourceError, match="nothing came out"):
        ledger.replay("h/out", sample=1, seed=seed, key="lab")
    assert ledger.log.size() == size
