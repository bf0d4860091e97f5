"""The examples of docs/formats/log-fault.md are what the code makes, and prove what the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from provenance.errors import MalformedError, VerificationError
from provenance.ledger.log_state import LogState, read_state, write_state
from provenance.log import encode_tile_path, open_checkpoint, parse_vkey
from provenance.log.fault import LogFaultError, encode_evidence, verify_fork
from provenance.log.following import Follower, Head
from provenance.merkle import CompactRange
from tests.paths import PROJECT
from tests.simulators.hand_log import HandLog, leaf

PAGE = PROJECT / "docs" / "formats" / "log-fault.md"
LOG = HandLog("ledger.example/main", bytes(range(32)))
VERIFIER = parse_vkey(LOG.vkey)
ENTRIES = [b"entry %d" % number for number in range(260)]


def head(entries: list[bytes]) -> Head:
    note = LOG.files(entries)["checkpoint"]
    return Head(note, open_checkpoint(note, VERIFIER))


def fault() -> LogFaultError:
    """A log that signed two entries, and then three of which the first is another."""
    forked = [b"another", *ENTRIES[1:3]]
    files = LOG.files(forked)
    follower = Follower(lambda path: files.get(encode_tile_path(path)[1:]), head(forked), before=head(ENTRIES[:2]))
    with pytest.raises(LogFaultError) as raised:
        follower.check_growth()
    return raised.value


def state() -> LogState:
    """What is kept of 260 entries."""
    reached = CompactRange()
    for entry in ENTRIES[:256]:
        reached.append(leaf(entry))
    return LogState(head(ENTRIES), 260, reached)


def test_the_page_shows_what_is_written(tmp_path: Path) -> None:
    evidence, kept = re.findall(r"```json\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert evidence.encode() == encode_evidence(fault())
    write_state(tmp_path / "state", state())
    assert kept.encode() == (tmp_path / "state").read_bytes()


def test_what_the_page_shows_proves_a_fork() -> None:
    evidence, _ = re.findall(r"```json\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    earlier, later = verify_fork(evidence.encode(), VERIFIER)
    assert (earlier.size, later.size) == (2, 3)
    with pytest.raises(VerificationError):
        verify_fork(evidence.encode(), parse_vkey(HandLog("ledger.example/main").vkey))


@pytest.mark.parametrize("name", ["earlier", "later", "root", "proof"])
def test_no_character_of_what_proves_a_fork_can_be_changed(name: str) -> None:
    document = json.loads(encode_evidence(fault()))
    text = document[name][0] if name == "proof" else document[name]
    for at, character in enumerate(text):
        changed = text[:at] + chr(ord(character) ^ 1) + text[at + 1 :]
        with pytest.raises((VerificationError, MalformedError)):
            verify_fork(json.dumps({**document, name: [changed] if name == "proof" else changed}).encode(), VERIFIER)


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_state(tmp_path / "state", state())
    found = read_state(tmp_path / "state", LOG.origin)
    assert found is not None
    assert (found.head, found.seen, found.reached.nodes) == (state().head, 260, state().reached.nodes)
