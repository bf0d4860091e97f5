"""Which way to hash: timed once, remembered by processor, and whatever is wrong with the memory costs a timing."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from provenance.errors import MalformedError
from provenance.machine import calibration, folders
from provenance.machine.calibration import Choice, Kind
from provenance.merkle.compiled import extensions
from provenance.merkle.tier import HashTier
from tests.paths import PROJECT


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A cache of its own, no override, nothing remembered by the process."""
    monkeypatch.delenv(calibration.ENVIRONMENT, raising=False)
    monkeypatch.setenv(folders.ENVIRONMENT, str(tmp_path / "cache"))
    calibration.choice.cache_clear()
    yield tmp_path / "cache" / "hash-tiers.json"
    calibration.choice.cache_clear()


@pytest.fixture
def timings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which timings were made. Messages are said to be faster in lanes, streams from eleven on."""
    made: list[str] = []

    def timing(kind: Kind) -> Choice:
        made.append(str(kind))
        return Choice(HashTier.LANES, 11 if kind is Kind.STREAMS else 1)

    monkeypatch.setattr(calibration, "_fastest", timing)
    return made


def _again() -> tuple[HashTier, Choice]:
    """What another process would find."""
    calibration.choice.cache_clear()
    return calibration.hash_tier(), calibration.choice(Kind.STREAMS)


CHOICES = (HashTier.LANES, Choice(HashTier.LANES, 11))


def test_it_is_timed_once_for_each_kind(timings: list[str], fresh: Path) -> None:
    assert _again() == CHOICES
    assert _again() == CHOICES
    assert calibration.hash_tier() is HashTier.LANES
    assert timings == ["messages", "streams"]
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o600
    assert stat.S_IMODE(fresh.parent.stat().st_mode) == 0o700
    assert [path.name for path in fresh.parent.iterdir()] == [fresh.name]


def test_another_processor_is_timed_and_the_first_one_kept(
    timings: list[str], fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _again()
    monkeypatch.setattr(calibration, "_processor", lambda: "another")
    _again()
    assert timings == ["messages", "streams"] * 2
    monkeypatch.undo()
    monkeypatch.setenv(folders.ENVIRONMENT, str(fresh.parent))
    assert set(json.loads(fresh.read_text())) == {"another", calibration._processor()}


def test_a_home_of_many_machines_does_not_grow(
    timings: list[str], fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        name = f"{number:064}"
        monkeypatch.setattr(calibration, "_processor", lambda name=name: name)
        _again()
        assert fresh.stat().st_size <= calibration._MAX_CACHE_BYTES
    assert len(json.loads(fresh.read_text())) == calibration._MAX_PROCESSORS
    count = len(timings)
    assert _again() == CHOICES
    assert len(timings) == count


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"P": []}', b'{"P": {"messages": []}}', b'{"P": {"messages": "fast"}}',
     b'{"P": {"messages": null}}', b'{"P": {"messages": ["fast", 1]}}', b'{"P": {"messages": ["lanes"]}}',
     b'{"P": {"what": ["lanes", 1]}}', b'{"P": 1}', b"[" * 4_000, b'{"P": {"messages": {"a": 1}}}', b"x" * 10_000],
)  # fmt: skip
def test_whatever_is_wrong_with_the_file_costs_a_timing(timings: list[str], fresh: Path, damage: bytes) -> None:
    fresh.parent.mkdir()
    fresh.write_bytes(damage.replace(b'"P"', json.dumps(calibration._processor()).encode()))
    assert _again() == CHOICES
    assert timings == ["messages", "streams"]
    assert _again() == CHOICES
    assert len(timings) == 2


def test_every_prefix_of_the_file(timings: list[str], fresh: Path) -> None:
    _again()
    good = fresh.read_bytes()
    for length in range(len(good)):
        fresh.write_bytes(good[:length])
        assert _again() == CHOICES, length


def test_a_folder_that_cannot_be_written_to(timings: list[str], fresh: Path) -> None:
    fresh.parent.write_bytes(b"a file")
    assert _again() == CHOICES
    fresh.parent.unlink()
    fresh.mkdir(parents=True)  # a folder where the file should be
    assert _again() == CHOICES
    assert list(fresh.parent.iterdir()) == [fresh]


def test_a_user_without_a_home(timings: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise MalformedError("no folder for caches")

    monkeypatch.setattr(calibration, "cache_folder", homeless)
    assert _again() == CHOICES


@pytest.mark.parametrize("tier", [HashTier.HASHLIB, HashTier.LANES, HashTier.EXTENSIONS])
def test_the_environment_overrides(
    timings: list[str], fresh: Path, monkeypatch: pytest.MonkeyPatch, tier: HashTier
) -> None:
    monkeypatch.setenv(calibration.ENVIRONMENT, str(tier))
    if tier is HashTier.EXTENSIONS and extensions() is None:
        with pytest.raises(MalformedError, match="cannot be used"):
            _again()
        return
    assert _again() == (tier, Choice(tier, calibration._NEVER if tier is HashTier.HASHLIB else 1))
    assert timings == []
    assert not fresh.exists()


def test_extensions_that_are_not_there_cannot_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provenance.merkle.compiled.extensions", lambda: None)
    monkeypatch.setenv(calibration.ENVIRONMENT, "extensions")
    with pytest.raises(MalformedError, match="cannot be used") as raised:
        _again()
    assert "C compiler" in str(raised.value.hint)


@pytest.mark.parametrize("name", ["fast", "LANES", " lanes"])
def test_an_unknown_override_is_an_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(calibration.ENVIRONMENT, name)
    with pytest.raises(MalformedError, match=r"hashlib \| lanes"):
        calibration.hash_tier()


@pytest.mark.parametrize(
    ("alone", "lanes", "extensions", "messages", "streams"),
    [(2.0, 1.0, None, HashTier.LANES, 9), (16.0, 1.0, None, HashTier.LANES, 2), (1.01, 1.0, None, HashTier.LANES, 16),
     (1.0, 2.0, None, HashTier.HASHLIB, calibration._NEVER), (2.3, 1.5, 1.0, HashTier.EXTENSIONS, 2),
     (1.2, 1.5, 1.0, HashTier.EXTENSIONS, 3), (2.0, 1.0, 1.5, HashTier.LANES, 9),
     (1.0, 1.5, 1.1, HashTier.HASHLIB, calibration._NEVER)],
)  # fmt: skip
def test_the_fastest_one_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
    alone: float,
    lanes: float,
    extensions: float | None,
    messages: HashTier,
    streams: int,
) -> None:
    monkeypatch.setattr(calibration, "extensions", lambda: None if extensions is None else object())
    figures = iter([figure for figure in (alone, lanes, extensions) if figure is not None] * 2)
    monkeypatch.setattr(calibration, "_best", lambda _: next(figures))
    assert _again() == (messages, Choice(messages, streams))


def test_a_real_timing_gives_one_of_them() -> None:
    for kind in Kind:
        chosen = calibration.choice(kind)
        assert chosen.tier in set(HashTier)
        assert (chosen.fewest == calibration._NEVER) == (chosen.tier is HashTier.HASHLIB)
        assert 1 <= chosen.fewest <= calibration.LANES or chosen.fewest == calibration._NEVER


def test_processes_that_time_at_once_leave_a_whole_file(timings: list[str], fresh: Path) -> None:
    def write(number: int) -> None:
        calibration._write(f"processor {number % 4}", {Kind.MESSAGES: Choice(HashTier.LANES, number + 1)})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(64)))
    found: dict[str, Any] = json.loads(fresh.read_text())
    assert set(found) <= {f"processor {number}" for number in range(4)}
    assert [path.name for path in fresh.parent.iterdir()] == [fresh.name]


def test_remembering_loads_nothing() -> None:
    """What is remembered costs no import of what would be timed."""
    calibration.hash_tier()
    code = (
        "import sys; from provenance.machine.calibration import hash_tier; hash_tier();"
        "print(sorted({'numpy', 'pyarrow', 'stringzilla', 'blake3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
