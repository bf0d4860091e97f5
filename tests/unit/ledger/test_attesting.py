"""Attesting in one process, of a log written by hand: progress, crashes, forks, samples."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from provenance.encoding import Digest
from provenance.errors import ConflictError, PolicyError, StoreError
from provenance.fingerprint import Fingerprint, encode_manifest
from provenance.ledger.attested_data import AttestedData, DataPlaces
from provenance.ledger.attesting import Attester, AttesterSettings
from provenance.ledger.fingerprinting import Wanted, find_fingerprint
from provenance.ledger.sampling import draw
from provenance.log import open_checkpoint, parse_vkey
from provenance.log.fault import verify_fork
from provenance.log.following import Head
from provenance.policy import TrustedSource, TrustRoots, encode_trust
from provenance.policy.policy import Policy, parse_policy
from provenance.signature import encode_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE, DatasetStatement, encode_statement
from provenance.statement.checked_range import DataSample, EntryCheck, SkipReason
from provenance.statement.events import Event, encode_event
from provenance.statement.revocation import Revocation, RevocationReason
from provenance.verify.admission import EntryRefusedError
from provenance.verify.attestations import verify_attestation, verify_attestations
from provenance.witnesses.attested import Attested, AttestedState, Progress
from provenance.witnesses.refusal import AttestationRefusedError, RefusalKind
from provenance.witnesses.state import WitnessState
from tests.simulators.hand_log import HandLog
from tests.simulators.static_server import static_server
from tests.unit.verify import forge

LOG = HandLog("forge.example/log")
KEY = forge.key(50)
MANY = [forge.sign(forge.statement(f"n{number}"), forge.key(1)) for number in range(700)]


def policy(**more: Any) -> Policy:
    """One that trusts forge's first key."""
    trust = json.loads(encode_trust(TrustRoots((TrustedSource("forge", forge.key(1).public),))))
    del trust["format"]
    return parse_policy(
        json.dumps({"format": "urn:provenance-ledger:policy:1", "name": "own", "trust": trust, **more}).encode()
    )


@dataclass(slots=True)
class Place:
    """A log in a folder, and the state of an attester of it."""

    folder: Path
    state: AttestedState
    entries: list[bytes] = field(default_factory=list)
    looked: list[int] = field(default_factory=list)

    def head(self, entries: list[bytes]) -> Head:
        """The log with these entries, as it is served and signed."""
        self.entries = entries
        note = LOG.write(self.folder, entries)["checkpoint"]
        return Head(note, open_checkpoint(note, parse_vkey(LOG.vkey)))

    def attester(self, *, data: DataPlaces | None = None, **more: Any) -> Attester:
        """An attester of it that tells which entries it looks at."""
        settings = AttesterSettings("attester.example/a", KEY, policy(**more), data or DataPlaces())
        made = Attester(self.state, settings)
        inner = made.outcome

        def outcome(index: int, *rest: Any) -> Any:
            self.looked.append(index)
            return inner(index, *rest)

        made.outcome = outcome  # type: ignore[method-assign, assignment]  # only watched
        return made


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    WitnessState(tmp_path / "w.db").close()
    (tmp_path / "log").mkdir()
    with closing(AttestedState(tmp_path / "w.db")) as state:
        state.set_place(LOG.origin, str(tmp_path / "log"))
        yield Place(tmp_path / "log", state)


def refusal(work: Callable[[], object]) -> str:
    """What is said, by check, entry and reason."""
    with pytest.raises(AttestationRefusedError) as caught:
        work()
    return caught.value.refusal.message


def chain(place: Place) -> list[bytes]:
    """All attestations."""
    return [place.state.attestation(LOG.origin, size) or b"" for size in place.state.sizes(LOG.origin)]


def test_each_entry_is_looked_at_once_while_the_log_grows(place: Place) -> None:
    attester = place.attester()
    for size in (1, 2, 127, 128, 129, 255, 256, 257, 511, 512, 700):
        head = place.head(MANY[:size])
        attester.attest(head, None)
        assert place.state.is_attested(head.checkpoint)
    assert place.looked == list(range(700))
    found = verify_attestations(chain(place), KEY.public)
    assert [one.entries.begin for one in found] == [0, *(one.entries.end for one in found[:-1])]
    for check in (EntryCheck.ENVELOPE, EntryCheck.STATEMENT, EntryCheck.SIGNATURE, EntryCheck.POLICY):
        assert sum(one.entries.checked(check) for one in found) == 700
    assert len({one.seed for one in found}) == len(found)


def test_the_whole_at_once_is_the_same(place: Place) -> None:
    head = place.head(MANY)
    place.attester().attest(head, None)
    assert place.looked == list(range(700))
    assert place.state.sizes(LOG.origin) == (128, 256, 384, 512, 640, 700)
    verify_attestations(chain(place), KEY.public)


@pytest.mark.parametrize("is_kept", [False, True], ids=["before it is kept", "after it was kept"])
@pytest.mark.parametrize("number", range(6))
def test_one_that_ends_at_any_step_goes_on_from_there(
    place: Place, monkeypatch: pytest.MonkeyPatch, number: int, *, is_kept: bool
) -> None:
    head, advance, calls = place.head(MANY), AttestedState.advance, [0]

    def failing(state: AttestedState, attested: Attested, *, since: int | None) -> None:
        calls[0] += 1
        if is_kept:
            advance(state, attested, since=since)
        if calls[0] > number:
            raise StoreError("gone")
        if not is_kept:
            advance(state, attested, since=since)

    with monkeypatch.context() as patch:
        patch.setattr(AttestedState, "advance", failing)
        with pytest.raises(StoreError, match="gone"):
            place.attester().attest(head, None)
    kept = place.state.progress(LOG.origin)
    known = 0 if kept is None else kept.size
    assert known == ([0, 128, 256, 384, 512, 640, 700][number + 1 if is_kept else number])
    assert place.state.is_attested(head.checkpoint) == (known == 700)
    place.looked.clear()
    place.attester().attest(head, None)
    assert place.looked == list(range(known, 700))
    assert len(verify_attestations(chain(place), KEY.public)) == 6


def test_what_passed_before_a_bad_entry_is_not_looked_at_again(place: Place) -> None:
    entries = [*MANY[:300], b"whatever", *MANY[300:400]]
    head = place.head(entries)
    for _ in range(2):
        assert refusal(lambda: place.attester().attest(head, None)).startswith("attester refused entry 300: envelope: ")
        assert not place.state.is_attested(head.checkpoint)
    assert place.looked == [*range(301), 300]
    (finding,) = place.state.findings(LOG.origin)
    assert finding.evidence is not None
    told = verify_attestation(finding.evidence, KEY.public)
    assert (told.entries.begin, told.entries.end, told.entries.failed) == (300, 301, EntryCheck.ENVELOPE)
    assert told.previous is not None and told.previous.size == 300
    # It does not become good by what comes after it.
    assert "entry 300" in refusal(lambda: place.attester().attest(place.head([*entries, *MANY[400:]]), None))


def test_a_waiver_is_for_one_entry_alone(place: Place) -> None:
    head = place.head([MANY[0], b"whatever", MANY[1], b"another"])
    assert "entry 1" in refusal(lambda: place.attester().attest(head, None))
    place.state.waive(LOG.origin, 1, "a mistake", 1)
    assert "entry 3" in refusal(lambda: place.attester().attest(head, None))
    last = verify_attestation(chain(place)[-1], KEY.public)
    assert [last.entries.covers(EntryCheck.SIGNATURE).reason(entry) for entry in (1, 2)] == [SkipReason.WAIVED, None]


def test_a_waiver_is_for_these_bytes_alone(place: Place) -> None:
    """Of an entry that nobody cosigned yet a log may show another, at no risk of being shown to have forked."""
    assert "entry 1" in refusal(lambda: place.attester().attest(place.head([MANY[0], b"whatever", MANY[1]]), None))
    place.state.waive(LOG.origin, 1, "a mistake", 1)
    other = place.head([MANY[0], b"another"])
    assert "entry 1" in refusal(lambda: place.attester().attest(other, None))


def test_a_log_that_forks_is_refused_with_proof(place: Place) -> None:
    place.attester().attest(place.head(MANY[:300]), None)
    other = place.head([*MANY[:299], MANY[600], *MANY[300:310]])
    place.looked.clear()
    assert refusal(lambda: place.attester().attest(other, None)).startswith("attester refused: forked: ")
    (finding,) = place.state.findings(LOG.origin)
    assert finding.evidence is not None
    earlier, later = verify_fork(finding.evidence, parse_vkey(LOG.vkey))
    assert (earlier.size, later.size) == (300, 310)
    assert place.looked == []


def test_a_fork_below_what_was_checked_is_refused_without_a_signed_pair(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was checked lies under a larger checkpoint than the one that comes now."""
    head, advance, calls = place.head(MANY), AttestedState.advance, [0]

    def once(state: AttestedState, attested: Attested, *, since: int | None) -> None:
        calls[0] += 1
        if calls[0] > 1:
            raise StoreError("gone")
        advance(state, attested, since=since)

    with monkeypatch.context() as patch:
        patch.setattr(AttestedState, "advance", once)
        with pytest.raises(StoreError):
            place.attester().attest(head, None)
    forked = place.head([MANY[600], *MANY[1:300]])
    assert refusal(lambda: place.attester().attest(forked, None)).startswith("attester refused: forked: ")
    smaller = place.head(MANY[:300])
    place.attester().attest(smaller, None)
    assert place.state.is_attested(smaller.checkpoint)
    assert "entries were checked already" in refusal(lambda: place.attester().attest(place.head(MANY[:200]), None))


def test_tiles_that_are_withheld_or_exchanged_stop_it(place: Place) -> None:
    head = place.head(MANY[:600])
    bundle = place.folder / "tile/entries/001"
    whole = bundle.read_bytes()
    bundle.unlink()
    assert "withheld" in refusal(lambda: place.attester().attest(head, None))
    bundle.write_bytes(whole.replace(b"payload", b"payloae", 1))
    assert "mismatch" in refusal(lambda: place.attester().attest(head, None))
    assert place.looked == list(range(256))
    bundle.write_bytes(whole)
    place.attester().attest(head, None)
    assert place.looked == list(range(600))


def test_a_log_that_cannot_be_read_is_asked_again_later(place: Place) -> None:
    head = place.head(MANY[:3])
    place.state.set_place(LOG.origin, "http://127.0.0.1:1/")
    with pytest.raises(AttestationRefusedError) as caught:
        place.attester().attest(head, None)
    assert caught.value.refusal.kind is RefusalKind.UNAVAILABLE
    assert [one.kind for one in place.state.findings(LOG.origin)] == ["log"]


def test_a_witness_that_becomes_an_attester_begins_where_it_was(place: Place) -> None:
    """What it cosigned before is not said to be checked, and what refers to it is said to be unseen."""
    about = forge.pin(forge.statement("n0"), MANY[0])
    event = Event(about, Revocation(RevocationReason.CONSENT_WITHDRAWN), forge.CREATED)
    said = encode_envelope(sign_envelope(encode_event(event), PAYLOAD_TYPE, forge.key(1)))
    seen = place.head([*MANY[:300]])
    head = place.head([*MANY[:300], said, MANY[300]])
    place.attester().attest(head, seen)
    assert place.looked == [300, 301]
    found = verify_attestation(chain(place)[0], KEY.public)
    assert (found.entries.begin, found.entries.end, found.previous) == (300, 302, None)
    assert [found.entries.covers(EntryCheck.REFERENCES).reason(entry) for entry in (300, 301)] == [
        SkipReason.UNSEEN, None,
    ]  # fmt: skip
    # And one that cosigned another tree than the log's.
    with closing(AttestedState(place.folder.parent / "w2.db")) as state:
        state.set_place(LOG.origin, str(place.folder))
        other = Head(seen.note, replace(seen.checkpoint, root=bytes(32)))
        beginner = Attester(state, AttesterSettings("attester.example/b", KEY, policy()))
        assert "forked" in refusal(lambda: beginner.attest(head, other))


def test_what_an_entry_refers_to_was_logged_before_as_it_is_pinned(place: Place) -> None:
    parent = forge.statement("n0")
    good = forge.pin(parent, MANY[0])
    child = forge.sign(forge.statement("child", [good]), forge.key(1))
    place.attester().attest(place.head([MANY[0], child]), None)
    for number, wrong in enumerate((
        replace(good, digest=Digest.of(b"?")), replace(good, envelope=Digest.of(b"?")),
        replace(good, name=forge.name("n1")),
    )):  # fmt: skip
        bad = forge.sign(forge.statement(f"bad{number}", [wrong]), forge.key(1))
        head = place.head([MANY[0], child, bad])
        assert "references: it names something" in refusal(lambda head=head: place.attester().attest(head, None))  # type: ignore[misc]


def test_two_that_check_one_log_do_not_both_keep_it(place: Place) -> None:
    place.attester().attest(place.head(MANY[:3]), None)
    before = place.state.progress(LOG.origin)
    assert before is not None
    place.attester().attest(place.head(MANY[:5]), None)
    with pytest.raises(ConflictError, match="another process"):
        place.state.advance(Attested(replace(before, size=4), b"late"), since=before.size)
    assert place.state.sizes(LOG.origin) == (3, 5)
    assert isinstance(place.state.progress(LOG.origin), Progress)


def test_a_policy_that_entries_cannot_answer_is_refused(place: Place) -> None:
    for more in ({"minimumLevel": "D2"}, {"requiredLevel": {"public": "D2"}}, {"acceptedChains": [1]}):
        with pytest.raises(PolicyError, match="cannot decide"):
            place.attester(**more)
    with pytest.raises(PolicyError, match="trusts no key"):
        place.attester(trust=None)


# Data.


def _dataset(folder: Path, name: str, files: int) -> tuple[Fingerprint, DatasetStatement]:
    place = folder / "forge" / name / "1"
    place.mkdir(parents=True)
    for number in range(files):
        (place / f"{number:03}").write_bytes(b"%d" % number * (number + 1))
    found = find_fingerprint(place, Wanted()).fingerprint
    manifest = Digest.of(encode_manifest(found))
    return found, replace(forge.statement(name), fingerprint=found.document, manifest=manifest)


def test_the_seed_decides_which_files_are_read(tmp_path: Path) -> None:
    found, statement = _dataset(tmp_path, "a", 50)
    data = AttestedData(DataPlaces((str(tmp_path),), sample_files=5))
    manifest = encode_manifest(found)
    for number in range(20):
        seed = Digest.of(b"%d" % number)
        drawn = draw(sha256(seed.raw + bytes(7) + b"\x07").digest(), 5, 50)
        outcome = data.check(7, statement, seed, lambda _: manifest)
        assert outcome.sample == DataSample(7, 5, 50, sum(found.files[one].size for one in drawn))
        # Any of them that differs is found, and one that was not drawn is not.
        for wrong in (drawn[0], next(one for one in range(50) if one not in drawn)):
            path = tmp_path / "forge/a/1" / found.files[wrong].path
            kept = path.read_bytes()
            path.write_bytes(b"?" * len(kept))
            if wrong in drawn:
                with pytest.raises(EntryRefusedError, match=f"file {wrong} of its manifest"):
                    data.check(7, statement, seed, lambda _: manifest)
                path.unlink()
                with pytest.raises(EntryRefusedError, match=f"file {wrong} of its manifest is not there"):
                    data.check(7, statement, seed, lambda _: manifest)
            else:
                data.check(7, statement, seed, lambda _: manifest)
            path.write_bytes(kept)


def test_a_manifest_of_somebody_else_is_refused_and_without_one_all_is_read(tmp_path: Path) -> None:
    _, statement = _dataset(tmp_path, "a", 20)
    other, _ = _dataset(tmp_path / "other", "a", 21)
    data = AttestedData(DataPlaces((str(tmp_path),), sample_files=5))
    with pytest.raises(EntryRefusedError, match="manifest is not its own"):
        data.check(0, statement, Digest.of(b""), lambda _: encode_manifest(other))
    outcome = data.check(0, statement, Digest.of(b""), lambda _: None)
    assert outcome.sample is not None and (outcome.sample.files, outcome.sample.of) == (20, 20)


def test_a_limit_of_bytes_leaves_files_out_and_says_so(tmp_path: Path) -> None:
    found, statement = _dataset(tmp_path, "a", 20)
    total = found.document.total_bytes
    manifest = encode_manifest(found)
    some = AttestedData(DataPlaces((str(tmp_path),), sample_files=None, max_bytes=total - 1))
    sample = some.check(0, statement, Digest.of(b""), lambda _: manifest).sample
    assert sample is not None and sample.files < 20 and sample.bytes < total
    assert some.check(0, statement, Digest.of(b""), lambda _: None).data is SkipReason.TOO_LARGE
    required = AttestedData(DataPlaces((str(tmp_path),), max_bytes=total - 1, is_required=True))
    with pytest.raises(EntryRefusedError, match="its data cannot be read"):
        required.check(0, statement, Digest.of(b""), lambda _: None)


def test_nothing_is_read_but_where_it_was_told(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    found = find_fingerprint(tmp_path / "secret", Wanted()).fingerprint
    uri = (tmp_path / "secret").as_uri()
    statement = replace(forge.statement("a", origin=uri), fingerprint=found.document)
    for places in (DataPlaces(), DataPlaces((str(tmp_path / "none"),), ("https://forge.example/",))):
        outcome = AttestedData(places).check(0, statement, Digest.of(b""), lambda _: None)
        assert (outcome.data, outcome.sample) == (SkipReason.NO_PLACE, None)
    for wrong in ("file:///", "https://forge.example", "/srv/x", "https:///x"):
        with pytest.raises(Exception, match="beginning of an origin"):
            DataPlaces((), (wrong,))


def test_records_are_read_where_all_files_are(tmp_path: Path) -> None:
    place = tmp_path / "forge" / "t" / "1"
    place.mkdir(parents=True)
    (place / "t.csv").write_text("a,b\n1,x\n2,y\n")
    found = find_fingerprint(place, Wanted(records=True)).fingerprint
    statement = replace(forge.statement("t"), fingerprint=found.document)
    data = AttestedData(DataPlaces((str(tmp_path),)))
    outcome = data.check(0, statement, Digest.of(b""), lambda _: None)
    assert (outcome.data, outcome.records) == (None, None)
    # A statement may lie about its records alone.
    assert found.document.records is not None
    records = found.document.records
    other_schema = replace(
        statement, fingerprint=replace(found.document, records=replace(records, schema=Digest.of(b"")))
    )
    assert data.check(0, other_schema, Digest.of(b""), lambda _: None).records is SkipReason.NO_SCHEMA
    other_root = replace(statement, fingerprint=replace(found.document, records=replace(records, root=Digest.of(b""))))
    with pytest.raises(EntryRefusedError, match="its records are not what was fingerprinted") as caught:
        data.check(0, other_root, Digest.of(b""), lambda _: None)
    assert caught.value.check is EntryCheck.RECORDS


def test_a_refusal_names_no_file(place: Place, tmp_path: Path) -> None:
    _, statement = _dataset(tmp_path / "data", "a", 3)
    (tmp_path / "data/forge/a/1/001").write_bytes(b"?")
    entry = encode_envelope(sign_envelope(encode_statement(statement), PAYLOAD_TYPE, forge.key(1)))
    attester = place.attester(data=DataPlaces((str(tmp_path / "data"),)))
    said = refusal(lambda: attester.attest(place.head([entry]), None))
    assert "data: its data is not what was fingerprinted" in said
    assert str(tmp_path) not in said and "001" not in said.replace(statement.fingerprint.file_root.hex, "")


def test_a_declared_origin_is_read_if_it_begins_as_it_may(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    file = tmp_path / "web" / "t.csv"
    file.write_bytes(b"a,b\n1,2\n")
    found = find_fingerprint(file, Wanted()).fingerprint
    with static_server(tmp_path / "web") as url:
        statement = replace(forge.statement("t", origin=f"{url}/t.csv"), fingerprint=found.document)
        data = AttestedData(DataPlaces((), (f"{url}/",)))
        sample = data.check(3, statement, Digest.of(b""), lambda _: None).sample
        assert sample == DataSample(3, 1, 1, 8)
        file.write_bytes(b"a,b\n1,3\n")
        with pytest.raises(EntryRefusedError, match="not what was fingerprinted"):
            data.check(3, statement, Digest.of(b""), lambda _: None)
        file.unlink()
        assert data.check(3, statement, Digest.of(b""), lambda _: None).data is SkipReason.UNREACHABLE
        away = replace(statement, origin=f"{url}/../t.csv")
        assert data.check(3, away, Digest.of(b""), lambda _: None).data is SkipReason.NO_PLACE
