"""The log's map of a real ledger: it follows the log, answers for everybody, and cannot be led astray."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provenance.errors import NotFoundError
from provenance.ledger import Ledger
from provenance.ledger.mapping import answer_about, check_map, update_map
from provenance.log import parse_vkey
from provenance.log.map import KeyKind, Listed, MapKey, keys_of, verify_answer
from provenance.statement.review import Decision, Review
from provenance.statement.usage import Usage
from tests.unit.ledger.conftest import Write


def _listed(ledger: Ledger, kind: KeyKind, value: str) -> Listed:
    answer = answer_about(ledger, MapKey(kind, value))
    return verify_answer(answer, [parse_vkey(ledger.keyring.vkey)])


def test_it_answers_for_what_is_in_the_log_now(copy: Path) -> None:
    with Ledger.open(copy) as ledger:
        about = ledger.pin("h/raw")
        before = _listed(ledger, KeyKind.ABOUT, about.envelope.hex)
        said = [ledger.state("h/raw", Review(Decision.APPROVED), key="lab").entry_index]
        used = ledger.state("h/raw", Usage("training"), key="lab").entry_index
        after = _listed(ledger, KeyKind.ABOUT, about.envelope.hex)
        assert (after.size, after.entries) == (before.size + 2, (*before.entries, *said))
        assert after.log_root == ledger.log.root_at(after.size)
        assert _listed(ledger, KeyKind.USE, about.envelope.hex).entries == (used,)
        assert _listed(ledger, KeyKind.NAME, "h/none").entries == ()
        # Every key of every entry, by the entries alone.
        rows = ledger.log.entries(0, after.size)
        for key in {key for row in rows for key in keys_of(row.envelope)}:
            expected = tuple(row.index for row in rows if key in keys_of(row.envelope))
            assert _listed(ledger, key.kind, key.value).entries == expected
        assert check_map(ledger) == ()


def test_a_head_is_signed_once_for_a_size(copy: Path) -> None:
    with Ledger.open(copy) as ledger:
        first = answer_about(ledger, MapKey(KeyKind.NAME, "h/raw")).head
        assert answer_about(ledger, MapKey(KeyKind.NAME, "h/model")).head == first
        ledger.state("h/raw", Usage("x"), key="lab")
        assert answer_about(ledger, MapKey(KeyKind.NAME, "h/raw")).head != first


def test_it_is_made_again_if_it_is_of_another_history(copy: Path) -> None:
    with Ledger.open(copy) as ledger:
        size = update_map(ledger).size
        ledger.map.add(size, [[b"x" * 32]], b"y" * 32)  # more than the log has
        assert check_map(ledger)
        assert update_map(ledger).size == size
        assert check_map(ledger) == ()
        ledger.map.clear()
        ledger.map.add(0, [[b"x" * 32]] * size, b"y" * 32)  # as much, of another log
        assert check_map(ledger)
        assert _listed(ledger, KeyKind.NAME, "h/raw").entries
        ledger.map.clear()
        root = ledger.log.root_at(size)
        ledger.map.add(0, [[b"x" * 32]] * size, root)  # lists that the entries do not give: fsck derives them again
        assert "the map's root" in check_map(ledger)[0]


def test_threads_ask_while_others_write(copy: Path) -> None:
    with Ledger.open(copy) as ledger, Ledger.open(copy) as other:

        def work(number: int) -> int:
            if number % 3 == 0:
                return ledger.state("h/raw", Usage(f"x{number}"), key="lab").entry_index
            asked = ledger if number % 3 == 1 else other
            return len(_listed(asked, KeyKind.NAME, "h/raw").entries)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(36)))
        assert len(_listed(other, KeyKind.USE, ledger.pin("h/raw").envelope.hex).entries) == 12
        assert check_map(ledger) == ()


def test_an_empty_log_has_no_head(tmp_path: Path, write: Write) -> None:
    with Ledger.init(tmp_path / "empty") as ledger:
        with pytest.raises(NotFoundError, match="empty"):
            answer_about(ledger, MapKey(KeyKind.NAME, "h/raw"))
        ledger.keyring.new("k")
        ledger.register(write("a", x="y"), "t/a", "1", anchor=False)
        assert _listed(ledger, KeyKind.NAME, "t/a").entries == (0,)
