"""The Ray engine on a real cluster of this machine: order, errors, lost workers and the bound on what is under way."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provenance.engines import engine_names, open_engine
from provenance.engines.base import Engine
from provenance.engines.ray import MAX_RETRIES, RayEngine
from provenance.errors import MalformedError, SourceError

pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="Ray is not locked for Python 3.14: it has no wheel"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Engine]:
    with open_engine("ray") as engine:
        yield engine


def _square(number: int) -> int:
    return number * number


def _die_once(item: tuple[str, int]) -> tuple[int, int]:
    """The number and who squared it; whoever is first to be given 3 is killed in the middle of it."""
    folder, number = item
    mark = Path(folder, "died")
    if number == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number, os.getpid()


def _die(_number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def _refuse(number: int) -> int:
    if number == 2:
        raise MalformedError("not a number", expected="another", got=number, where="item 2", hint="try another")
    return number


def _break(_number: int) -> int:
    raise ZeroDivisionError


def test_results_come_in_the_order_of_the_items(cluster: Engine) -> None:
    assert list(cluster.map(_square, range(50))) == [number * number for number in range(50)]


def test_a_lost_worker_is_replaced_and_its_item_done_again(cluster: Engine, tmp_path: Path) -> None:
    found = list(cluster.map(_die_once, [(str(tmp_path), number) for number in range(8)]))
    assert (tmp_path / "died").exists()
    assert [square for square, _ in found] == [number * number for number in range(8)]
    assert os.getpid() not in {worker for _, worker in found}


def test_an_item_that_kills_every_worker_ends_the_run(cluster: Engine) -> None:
    with pytest.raises(SourceError, match="workers were lost") as caught:
        list(cluster.map(_die, [1]))
    assert caught.value.hint is not None
    assert str(MAX_RETRIES + 1) in caught.value.hint


def test_an_error_of_the_work_is_raised_as_it_is(cluster: Engine) -> None:
    results = cluster.map(_refuse, range(5))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(MalformedError) as caught:
        next(results)
    assert (caught.value.expected, caught.value.got, caught.value.where) == ("another", "2", "item 2")
    assert caught.value.hint == "try another"


def test_another_error_names_its_kind(cluster: Engine) -> None:
    with pytest.raises(SourceError, match="ZeroDivisionError"):
        list(cluster.map(_break, [1]))


def test_no_more_than_the_window_is_under_way(cluster: Engine) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    engine = RayEngine(window=3)
    results = engine.map(_square, items())
    assert next(results) == 0
    assert taken == 3
    engine.close()  # the cluster is the fixture's and stays
    assert list(cluster.map(_square, [4])) == [16]


def test_unknown_engines_are_named_with_the_known() -> None:
    assert "ray" in engine_names()
    with pytest.raises(SourceError, match=r"expected local \| .*ray"):
        open_engine("spark")


def test_without_the_extra_the_message_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SourceError, match="extra ray") as caught:
        RayEngine()
    assert caught.value.hint == "pip install 'provenance-ledger[ray]'"
