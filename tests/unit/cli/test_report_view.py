"""How a report is shown."""

from __future__ import annotations

from contextlib import redirect_stdout
from dataclasses import replace

import pytest

from provenance.cli.report_view import BY_SENSITIVITY, incomplete_text, level_text, show_affected, show_report
from provenance.cli.screen import Screen
from provenance.policy import Level, Status
from provenance.verify import Check, Report, TimeBound
from tests.unit.cli.conftest import Terminal

NAME = "a/b@1"


def check(
    check_id: str,
    status: Status = Status.PASSED,
    note: str = "",
    expected: str | None = None,
    found: str | None = None,
    where: str | None = None,
) -> Check:
    return Check(check_id, NAME, status, note, expected, found, where)


GOOD = Report(
    target=NAME,
    digest="ab" * 32,
    checks=(
        check("statement", note="well formed"),
        check("content", Status.NOT_PERFORMED, "its bytes are not in hand"),
        check("anchor.receipt", note="transaction 0 of block 2", where="development chain 1, contract 0x00"),
    ),
    level=Level.D2,
    missing=("quality", "anchor.block"),
    required=Level.D2,
    created=TimeBound("2026-01-01T00:00:00Z", "the signer"),
)


def shown(report: Report, required_by: str = BY_SENSITIVITY) -> str:
    terminal = Terminal()
    with redirect_stdout(terminal):
        show_report(Screen(), report, required_by=required_by)
    return terminal.text()


def test_what_is_needed_and_missing_is_said() -> None:
    text = shown(GOOD)
    assert text.startswith(
        f"VERIFIED  {NAME}\ndigest       {'ab' * 32}\nlevel        D2; D3 lacks quality, anchor.block\n"
    )
    assert "needed       D2 for data of its sensitivity: reached\n" in text
    assert "claimed      2026-01-01T00:00:00Z, by the clock of the signer\n" in text
    assert "not before   unknown" in text
    assert "content         not performed  its bytes are not in hand\n" in text
    assert "development chain 1" in text
    assert "nobody looked at them" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_verdict_is_one_of_three_words() -> None:
    assert shown(GOOD).startswith("VERIFIED  ")
    text = shown(GOOD.requiring(Level.D3), required_by="by --require")
    assert text.startswith("INCOMPLETE  ")
    assert "needed       D3 by --require: not reached\n" in text
    failed = replace(GOOD, checks=(*GOOD.checks, check("trust", Status.FAILED, "signed by a revoked key")))
    assert shown(failed).startswith("FAILED  ")
    assert shown(replace(GOOD, level=None)).startswith("INCOMPLETE  ")


def test_levels() -> None:
    assert level_text(replace(GOOD, level=None, missing=("statement",))) == "none; D0 lacks statement"
    assert level_text(replace(GOOD, level=Level.D4, missing=())) == "D4"


def test_a_failure_is_told_in_full_and_its_sum_is_not_repeated() -> None:
    failed = check(
        "content.file",
        Status.FAILED,
        "changed: x: expected sha256 aa... (3 bytes), found bb",
        expected="aa" * 32,
        found="bb" * 32,
        where="x\x1b[2J",
    )
    report = replace(
        GOOD, checks=(*GOOD.checks, failed, check("lineage", Status.FAILED, "broken")), affected=("a/c@1", "a/d@1")
    )
    text = shown(report)
    assert text.startswith("FAILED")
    details = text[text.index("failed  content.file") :]
    assert details.startswith(
        f"failed  content.file  {NAME}\n  changed: x\n"
        f"  expected   {'aa' * 32}\n  found      {'bb' * 32}\n  where      x\\x1b[2J\n"
    )
    assert "failed  lineage" not in text
    assert "affected     a/c@1\n             a/d@1\n" in text


def test_a_renamed_file_is_told_by_its_names() -> None:
    same = "aa" * 32
    renamed = check("content.file", Status.FAILED, "renamed: a is now b", expected=same, found=same, where="a")
    text = shown(replace(GOOD, checks=(*GOOD.checks, renamed)))
    assert f"\nfailed  content.file  {NAME}\n  renamed: a is now b\n  where      a\n\n" in text


@pytest.mark.parametrize("required", [Level.D3, Level.D4, None])
def test_what_is_lacking_and_what_brings_it_is_said(required: Level | None) -> None:
    text = incomplete_text(replace(GOOD, required=required))
    if required is None:
        assert text == "incomplete: level D2, and what it needs is not known"
    else:
        assert text.startswith(f"incomplete: level D2, data of its sensitivity needs {required.name}; ")
        assert text.endswith("; lacks quality, anchor.block (provenance quality, provenance anchor)")


def test_what_only_lacks_the_log_asks_for_no_bytes() -> None:
    text = incomplete_text(replace(GOOD, level=Level.D0, missing=("log.inclusion",)))
    assert text == "incomplete: level D0, data of its sensitivity needs D2; lacks log.inclusion"


def test_many_checks_of_one_kind_are_counted() -> None:
    edges = tuple(check("lineage.edge", note=f"made from a/p{n}@1") for n in range(200))
    files = tuple(check("content.file", Status.FAILED, f"removed: f{n}") for n in range(200))
    text = shown(replace(GOOD, checks=(*edges, *files)))
    assert "lineage.edge  passed  and 197 more\n" in text
    assert "content.file  failed  and 197 more, below\n" in text
    assert text.count("failed  content.file") == 50
    assert "and 150 more failures (all of them with --json)" in text


@pytest.mark.parametrize(("count", "lines"), [(0, 0), (50, 50), (51, 51)])
def test_affected(count: int, lines: int) -> None:
    terminal = Terminal()
    with redirect_stdout(terminal):
        show_affected(Screen(), [f"a/n{number}@1" for number in range(count)])
    assert len(terminal.text().splitlines()) == lines


def test_a_report_on_what_cannot_be_read() -> None:
    bad = Check("statement", "envelope 00", Status.FAILED, "malformed: envelope is not JSON")
    text = shown(Report("envelope 00", "", (bad,), None, ("statement",), None))
    assert text.startswith("FAILED  envelope 00\nlevel        none; D0 lacks statement\n")
