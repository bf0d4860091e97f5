"""The lineage tree: any depth, any width, any terminal."""

from __future__ import annotations

from contextlib import redirect_stdout
from itertools import pairwise

from provenance.cli.lineage_view import show_lineage
from provenance.cli.screen import Screen
from provenance.ledger import Lineage
from provenance.policy import Status
from provenance.verify import Artefact, Report
from tests.unit.cli.conftest import Terminal


def artefact(name: str, *parents: str, status: Status = Status.PASSED, kind: str = "dataset") -> Artefact:
    return Artefact(name, kind, "00" * 32, 0, 0, "museum (0011)", status, parents)


def tree(*artefacts: Artefact, descendants: tuple[str, ...] = (), encoding: str = "utf-8") -> list[str]:
    report = Report(artefacts[0].name, "00" * 32, (), None, (), None, artefacts)
    terminal = Terminal(encoding)
    terminal.reconfigure(errors="strict")
    with redirect_stdout(terminal):
        show_lineage(Screen(), Lineage(report, descendants))
    return terminal.text().splitlines()


def test_a_tree() -> None:
    lines = tree(
        artefact("a/model@1", "a/clean@1", "a/gone@1", kind="model"),
        artefact("a/clean@1", "a/raw@1", "a/codes@1", status=Status.FAILED),
        artefact("a/raw@1"),
        artefact("a/codes@1", status=Status.NOT_PERFORMED),
        descendants=("a/next@1", "a/last@1"),
    )
    assert lines == [
        "a/model@1 (model)  passed  museum (0011)",
        "├─ a/clean@1  failed  museum (0011)",
        "│  ├─ a/raw@1  passed  museum (0011)",
        "│  └─ a/codes@1  not performed  museum (0011)",
        "└─ a/gone@1  not at hand",
        "",
        "made of it   a/next@1",
        "             a/last@1",
    ]


def test_ascii() -> None:
    lines = tree(artefact("a/c@1", "a/b@1", "a/x@1"), artefact("a/b@1", "a/a@1"), artefact("a/a@1"), encoding="ascii")
    assert [line[:9] for line in lines[:4]] == ["a/c@1  pa", "|- a/b@1 ", "|  `- a/a", "`- a/x@1 "]
    assert lines[-1] == "made of it   nothing in this ledger"


def test_what_is_shared_is_unfolded_once() -> None:
    names = [f"a/n{level}@1" for level in range(12)]
    nodes = [artefact(name, below, below) for name, below in pairwise(names)]
    lines = tree(*nodes, artefact(names[-1]))
    assert len(lines) == 12 + 11 + 2  # each once, each again without what is below it, two lines at the end
    assert sum("(unfolded above)" in line for line in lines) == 10


def test_a_chain_of_any_depth_is_cut_with_a_word() -> None:
    names = [f"a/n{level}@1" for level in range(5_000)]
    nodes = [artefact(name, below) for name, below in pairwise(names)]
    lines = tree(*nodes, artefact(names[-1]))
    assert len(lines) < 25
    assert any("deeper ones are left out" in line for line in lines)


def test_a_tree_of_any_width_is_cut_with_a_word() -> None:
    names = [f"a/n{number}@1" for number in range(5_000)]
    lines = tree(artefact("a/all@1", *names), *(artefact(name) for name in names), descendants=tuple(names))
    assert "and 4,001 more ancestors (all of them with --json)" in lines
    assert "             and 4000 more (all of them with --json)" in lines
    assert len(lines) < 2_100
