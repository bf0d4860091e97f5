"""The example data is what its README says, and the example scripts derive the same bytes from it everywhere."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest

from examples import clean, train
from tests.paths import PROJECT, data

DATA = PROJECT / "examples" / "data"
TITANIC = DATA / "titanic"
TABLE, GENDERS, PORTS = (TITANIC / name for name in ("titanic.csv", "genders.csv", "embarkation_ports.csv"))
SERIES = DATA / "nab" / "machine_temperature_system_failure.csv"

# The same on Python 3.11, 3.12 and 3.13. A change here changes every digest that the documents show.
PASSENGERS_SHA256 = "aacd65976cc8b616fe2b3e6db62d0b48f132c569a64e4ee60421ad461efe00c7"
HOURLY_SHA256 = "09d2738814fc4b2351852176e877849d9442670f9f630f3976805c350379862b"
MODEL_SHA256 = "6b27dec68afdb5a68e1fc573612cb1d76fc6a68326669b20a3d372768ec6dccb"


def source_rows() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def cleaned_rows() -> list[dict[str, str]]:
    return list(csv.DictReader(clean.clean_passengers(TABLE, GENDERS, PORTS).decode().splitlines()))


@pytest.fixture
def passengers(tmp_path: Path) -> Path:
    path = tmp_path / "passengers.csv"
    path.write_bytes(clean.clean_passengers(TABLE, GENDERS, PORTS))
    return path


def changed(path: Path, tmp_path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    copy = tmp_path / path.name
    copy.write_bytes(content.replace(old, new, 1))
    return copy


class TestData:
    def test_readme_lists_every_file_with_its_digest(self) -> None:
        listed = dict(
            re.findall(r"^\| `([^`]+\.csv)` .*`([0-9a-f]{64})` \|$", (DATA / "README.md").read_text("utf-8"), re.M)
        )
        found = {
            path.relative_to(DATA).as_posix(): sha256(path.read_bytes()).hexdigest() for path in DATA.rglob("*.csv")
        }
        assert listed == found and len(found) == 4

    def test_files_are_unchanged_copies(self) -> None:
        for path in (TABLE, GENDERS, PORTS):
            assert path.read_bytes() == (data("titanic") / "data" / path.name).read_bytes()
        assert SERIES.read_bytes() == (data("nab") / "realKnownCause" / SERIES.name).read_bytes()

    @pytest.mark.parametrize("folder", ["titanic", "nab"])
    def test_every_folder_carries_its_licence_and_notice(self, folder: str) -> None:
        assert {"LICENSE", "NOTICE"} <= {path.name for path in (DATA / folder).iterdir()}


class TestPassengers:
    def test_same_bytes_everywhere(self) -> None:
        assert sha256(clean.clean_passengers(TABLE, GENDERS, PORTS)).hexdigest() == PASSENGERS_SHA256

    def test_no_personal_data_is_left(self) -> None:
        cleaned = clean.clean_passengers(TABLE, GENDERS, PORTS).decode()
        assert cleaned.splitlines()[0] == ",".join(clean.PASSENGER_COLUMNS)
        assert not set(clean.PERSONAL_COLUMNS) & set(clean.PASSENGER_COLUMNS)
        for row in source_rows():
            surname = row["name"].split(",")[0]
            assert row["name"] not in cleaned
            assert surname not in cleaned

    def test_row_order_does_not_follow_the_names(self) -> None:
        lines = clean.clean_passengers(TABLE, GENDERS, PORTS).decode().splitlines()[1:]
        assert [line.split(",") for line in lines] == sorted(line.split(",") for line in lines)

    def test_totals_are_the_source_s(self) -> None:
        source, cleaned = source_rows(), cleaned_rows()
        assert len(cleaned) == len(source) == 1309
        for column, original in (("survived", "survived"), ("class", "pclass"), ("sex", "sex")):
            assert sorted(row[column] for row in cleaned) == sorted(row[original] for row in source)
        assert sum(row["age_known"] == "0" for row in cleaned) == sum(row["age"] == "?" for row in source) == 263
        assert sum(row["port"] == "Unknown" for row in cleaned) == 2
        assert all("?" not in row.values() for row in cleaned)

    def test_unknown_age_is_the_median_of_class_and_sex(self) -> None:
        known = sorted(
            float(r["age"]) for r in source_rows() if (r["pclass"], r["sex"]) == ("2", "female") and r["age"] != "?"
        )
        middle = len(known) // 2
        expected = known[middle] if len(known) % 2 else (known[middle - 1] + known[middle]) / 2
        filled = {
            r["age_years"] for r in cleaned_rows() if (r["class"], r["sex"], r["age_known"]) == ("2", "female", "0")
        }
        assert {float(age) for age in filled} == {expected}

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (b'"female",29,', b'"unheard",29,', "sex"),
            (b",29,0,0,", b",twenty,0,0,", "age is not"),
            (b",29,0,0,", b",1e99,0,0,", "age is not"),
            (b",29,0,0,", b",NaN,0,0,", "age is not"),
            (b'"B5","S"', b'"B5","X"', "embarked"),
            (b'1,1,"Allen', b'1,2,"Allen', "survived"),
            (b'1,1,"Allen', b'9,1,"Allen', "pclass|no known"),
            (b'"pclass"', b'"klass"', "lacks the columns pclass"),
            (b",29,0,0,", b",29,0,0,0,", "row 1 has more or fewer fields"),
            (b"Allen", b"All\xffn", "not CSV in UTF-8"),
        ],
    )
    def test_damaged_table_is_refused(self, tmp_path: Path, old: bytes, new: bytes, message: str) -> None:
        with pytest.raises(clean.InputError, match=message):
            clean.clean_passengers(changed(TABLE, tmp_path, old, new), GENDERS, PORTS)

    def test_code_tables_are_used(self, tmp_path: Path) -> None:
        renamed = changed(PORTS, tmp_path, b"Cherbourg", b"Cherbourg-en-Cotentin")
        assert b",Cherbourg-en-Cotentin\n" in clean.clean_passengers(TABLE, GENDERS, renamed)
        with pytest.raises(clean.InputError, match="sex has an unknown value: 'female'"):
            clean.clean_passengers(TABLE, changed(GENDERS, tmp_path, b"female", b"woman"), PORTS)

    def test_missing_and_empty_files_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(clean.InputError, match="cannot read"):
            clean.clean_passengers(tmp_path / "absent.csv", GENDERS, PORTS)
        empty = tmp_path / "empty.csv"
        empty.write_bytes(b"")
        with pytest.raises(clean.InputError, match="lacks the columns"):
            clean.clean_passengers(empty, GENDERS, PORTS)


class TestHourly:
    def test_same_bytes_everywhere(self) -> None:
        assert sha256(clean.hourly_means(SERIES)).hexdigest() == HOURLY_SHA256

    def test_equals_a_naive_mean(self) -> None:
        readings: dict[str, list[float]] = {}
        for line in SERIES.read_text().splitlines()[1:]:
            at, value = line.split(",")
            readings.setdefault(at[:13].replace(" ", "T"), []).append(float(value))
        rows = list(csv.DictReader(clean.hourly_means(SERIES).decode().splitlines()))
        assert [row["hour"] for row in rows] == sorted(readings)
        for row in rows:
            values = readings[row["hour"]]
            assert int(row["readings"]) == len(values)
            assert float(row["mean"]) == pytest.approx(sum(values) / len(values), abs=1e-6)
            assert (float(row["minimum"]), float(row["maximum"])) == (min(values), max(values))
        assert sum(int(row["readings"]) for row in rows) == 22_695
        assert max(int(row["readings"]) for row in rows) == 24, "the hour that the clock repeated"

    @pytest.mark.parametrize(
        ("new", "message"),
        [(b"2013-12-02T21:15:00", "timestamp"), (b"2013-13-02 21:15:00", "timestamp"), (b"", "timestamp")],
    )
    def test_damaged_series_is_refused(self, tmp_path: Path, new: bytes, message: str) -> None:
        with pytest.raises(clean.InputError, match=message):
            clean.hourly_means(changed(SERIES, tmp_path, b"2013-12-02 21:15:00", new))


class TestModel:
    def test_same_bytes_everywhere(self, passengers: Path) -> None:
        started_s = time.process_time()
        first = train.train(passengers)
        assert time.process_time() - started_s < 3
        assert sha256(first).hexdigest() == MODEL_SHA256
        assert train.train(passengers) == first

    def test_is_a_plausible_model(self, passengers: Path) -> None:
        model = json.loads(train.train(passengers))
        assert 0.75 < model["holdout"]["accuracy"] < 0.9
        assert 0.75 < model["training"]["accuracy"] < 0.9
        assert model["training"]["rows"] + model["holdout"]["rows"] == 1309
        weights = {feature["name"]: feature["weight"] for feature in model["features"]}
        assert weights["female"] > 0 > weights["age_years"]

    def test_is_the_optimum(self, passengers: Path) -> None:
        rows = clean.read_table(passengers, clean.PASSENGER_COLUMNS)
        samples = [(train.features_of(row), int(row["survived"])) for row in rows]
        model = train.fit(samples)

        def loss(bias: float, weights: list[float]) -> float:
            total = train.PENALTY / 2 * sum(weight**2 for weight in weights)
            for values, label in samples:
                scaled = [(v - m) / s for v, m, s in zip(values, model.means, model.scales, strict=True)]
                score = bias + sum(w * x for w, x in zip(weights, scaled, strict=True))
                total += math.log1p(math.exp(-score if label else score))
            return total

        best = loss(model.bias, list(model.weights))
        for step in (0.01, -0.01):
            assert loss(model.bias + step, list(model.weights)) > best
            for index in range(len(train.FEATURES)):
                moved = [w + step * (i == index) for i, w in enumerate(model.weights)]
                assert loss(model.bias, moved) > best

    def test_another_table_gives_another_model(self, passengers: Path, tmp_path: Path) -> None:
        original = train.train(passengers)
        content = passengers.read_bytes()
        passengers.write_bytes(content.replace(b",female,2,", b",female,80,", 1))
        assert train.train(passengers) != original

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (b",female,", b",", "more or fewer fields"),
            (b",2,1,", b",two,1,", "could not convert"),
            (b"port", b"harbour", "lacks"),
        ],
    )
    def test_damaged_table_is_refused(
        self, passengers: Path, tmp_path: Path, old: bytes, new: bytes, message: str
    ) -> None:
        folder = tmp_path / "damaged"
        folder.mkdir()
        with pytest.raises(clean.InputError, match=message):
            train.train(changed(passengers, folder, old, new))


class TestCommands:
    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONHASHSEED": "random"}
        return subprocess.run(
            [sys.executable, "-m", *map(str, arguments)],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def test_from_sources_to_model(self, tmp_path: Path) -> None:
        table, model, hourly = tmp_path / "passengers.csv", tmp_path / "model.json", tmp_path / "hourly.csv"
        cleaned = self.run("examples.clean", "passengers", TABLE, GENDERS, PORTS, "-o", table)
        assert (cleaned.returncode, cleaned.stdout) == (0, f"{table}: 1,309 rows\n"), cleaned.stderr
        trained = self.run("examples.train", table, "-o", model)
        assert (trained.returncode, trained.stdout) == (0, f"{model}: holdout accuracy 81.2% over 261 rows\n"), (
            trained.stderr
        )
        assert self.run("examples.clean", "hourly", SERIES, "-o", hourly).returncode == 0
        digests = [sha256(path.read_bytes()).hexdigest() for path in (table, model, hourly)]
        assert digests == [PASSENGERS_SHA256, MODEL_SHA256, HOURLY_SHA256]

    def test_error_is_one_line_and_writes_nothing(self, tmp_path: Path) -> None:
        output = tmp_path / "out"
        for arguments in (("examples.clean", "hourly", TABLE), ("examples.train", TABLE)):
            result = self.run(*arguments, "-o", output)
            assert result.returncode == 2
            assert result.stderr.count("\n") == 1 and "lacks the columns" in result.stderr
            assert not output.exists()
