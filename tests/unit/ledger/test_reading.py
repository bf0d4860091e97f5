"""Verified reading gives out what was registered, or nothing; in one process or several."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
import types
from pathlib import Path

import pytest

import provenance
from provenance.errors import MalformedError, NotFoundError, SourceError, VerificationError
from provenance.fingerprint import Algorithm, Fingerprint
from provenance.ledger import Ledger
from provenance.ledger.fingerprinting import Wanted
from provenance.ledger.reading import ReadUsage, VerifiedDataset, open_verified
from provenance.sources import Reading, open_source
from provenance.statement.revocation import Revocation, RevocationReason
from provenance.statement.usage import Usage

LARGE = 100_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "set"
    (made / "d").mkdir(parents=True)
    for name in ("a", "b", "d/c"):
        (made / name).write_bytes(name.encode() * 50)
    (made / "large").write_bytes(bytes(range(250)) * (LARGE // 250))
    (made / "none").write_bytes(b"")
    return made


@pytest.fixture(params=list(Algorithm))
def taken(folder: Path, request: pytest.FixtureRequest) -> Fingerprint:
    return open_source(folder, Reading(algorithm=request.param)).fingerprint()


@pytest.mark.parametrize("memory", [0, 10**9])
def test_every_file_is_given_out_whole_and_from_any_place(folder: Path, taken: Fingerprint, memory: int) -> None:
    for entry in taken.files:
        with open_verified(taken, entry.path, root=folder, max_memory_bytes=memory) as file:
            assert file.read() == (folder / entry.path).read_bytes()
            if entry.size > 10:
                file.seek(-7, 2)
                assert file.read(5) == (folder / entry.path).read_bytes()[-7:-2]
            assert not file.writable()


@pytest.mark.parametrize("memory", [0, 10**9])
@pytest.mark.parametrize("change", ["flip", "cut", "longer", "other"])
def test_a_file_that_changed_gives_out_nothing(folder: Path, taken: Fingerprint, change: str, memory: int) -> None:
    path = folder / "large"
    data = path.read_bytes()
    forged = {"flip": data[:-1] + b"x", "cut": data[:-1], "longer": data + b"x", "other": b""}[change]
    path.write_bytes(forged)
    with pytest.raises(VerificationError, match="not what was registered") as raised:
        open_verified(taken, "large", root=folder, max_memory_bytes=memory)
    assert "large" in str(raised.value.where)


def test_what_is_given_out_is_what_was_hashed(folder: Path, taken: Fingerprint) -> None:
    """Whatever happens to the file afterwards."""
    data = (folder / "large").read_bytes()
    with open_verified(taken, "large", root=folder, max_memory_bytes=0) as file:
        (folder / "large").write_bytes(b"forged" * 20_000)
        assert file.read() == data


def test_what_is_not_there(folder: Path, taken: Fingerprint) -> None:
    with pytest.raises(NotFoundError):
        open_verified(taken, "other", root=folder)
    with pytest.raises(MalformedError, match="where its files are"):
        open_verified(taken, "a")
    (folder / "a").unlink()
    with pytest.raises(SourceError):
        open_verified(taken, "a", root=folder)
    (folder / "a").symlink_to("b")
    with pytest.raises(SourceError):
        open_verified(taken, "a", root=folder)


def test_a_reference_of_a_ledger(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.init(tmp_path / "ledger") as ledger:
        ledger.keyring.new("museum")
        wanted = Wanted(reading=Reading(algorithm=Algorithm.BLAKE3))
        ledger.register(folder, "x/set", "1", anchor=False, wanted=wanted)
        with open_verified("x/set", "d/c", ledger=ledger) as file:
            assert file.read() == b"d/c" * 50
        folder.rename(tmp_path / "moved")
        with pytest.raises(SourceError):
            open_verified("x/set", "d/c", ledger=ledger)
        assert open_verified("x/set", "d/c", ledger=ledger, root=tmp_path / "moved").read() == b"d/c" * 50
    monkeypatch.chdir(tmp_path / "ledger")
    with provenance.open_verified("x/set@1", "a", root=tmp_path / "moved") as file:
        assert file.read() == b"a" * 50


def _read(job: tuple[bytes, list[int]]) -> tuple[list[str], ReadUsage]:
    dataset: VerifiedDataset = pickle.loads(job[0])
    return [dataset[index]["path"] for index in job[1]], dataset.usage


def test_workers_read_their_shares_and_their_usage_adds_up(folder: Path, taken: Fingerprint) -> None:
    dataset = VerifiedDataset(taken, root=folder)
    assert len(dataset) == 5
    items = list(dataset)
    assert {item["path"]: item["bytes"] for item in items} == {
        entry.path: (folder / entry.path).read_bytes() for entry in taken.files
    }
    jobs = [(pickle.dumps(VerifiedDataset(taken, root=folder)), [number, 4 - number]) for number in range(3)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        parts = pool.map(_read, jobs)
    usage = ReadUsage()
    for _, part in parts:
        usage.merge(part)
    assert usage.digest == dataset.usage.digest
    assert usage.to_json() == {"files": 5, "root": dataset.usage.digest.hex}
    assert usage.digest != parts[0][1].digest
    assert "large" not in str(usage.to_json())


def test_an_iteration_in_a_training_worker_takes_its_share(
    folder: Path, taken: Fingerprint, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = types.ModuleType("torch.utils.data")
    monkeypatch.setitem(sys.modules, "torch.utils.data", fake)
    seen = []
    for number in range(2):
        info = types.SimpleNamespace(id=number, num_workers=2)
        monkeypatch.setattr(fake, "get_worker_info", lambda info=info: info, raising=False)
        seen += [item["path"] for item in VerifiedDataset(taken, root=folder)]
    assert sorted(seen) == sorted(entry.path for entry in taken.files)


def test_a_file_forged_in_the_middle_of_training_ends_it(folder: Path, taken: Fingerprint) -> None:
    items = iter(VerifiedDataset(taken, root=folder, paths=["a", "b", "d/c"]))
    assert next(items)["path"] == "a"
    (folder / "b").write_bytes(b"B" * 50)
    with pytest.raises(VerificationError):
        next(items)


def test_what_was_read_is_signed_and_logged(folder: Path, tmp_path: Path, taken: Fingerprint) -> None:
    with Ledger.init(tmp_path / "ledger") as ledger:
        ledger.keyring.new("someone", algorithm="ed25519")
        ledger.register(folder, "x/set", "1", anchor=False)
        dataset = VerifiedDataset("x/set", ledger=ledger)
        with pytest.raises(MalformedError, match="nothing was read"):
            dataset.log_use(ledger, "training")
        read = [dataset[0], dataset[1], dataset[0]]
        dataset.log_use(ledger, "training")
        (said,) = ledger.said_about("x/set")
        body = said.event.body
        assert isinstance(body, Usage)
        assert (body.purpose, body.files, body.root) == (
            "training",
            len({one["path"] for one in read}),
            dataset.usage.digest,
        )
        of_nothing = VerifiedDataset(taken, root=folder)
        assert of_nothing[0]
        with pytest.raises(MalformedError, match="no registered dataset"):
            of_nothing.log_use(ledger, "training")


def test_what_was_revoked_is_not_given_out(ledger: Ledger, folder: Path) -> None:
    ledger.register(folder, "t/raw", "1", anchor=False)
    (folder.parent / "made").write_text("x")
    ledger.register(folder.parent / "made", "t/made", "1", parents=["t/raw"], anchor=False)
    for _ in range(2):  # what was found the first time is remembered
        with open_verified("t/made", "made", ledger=ledger) as file:
            assert file.read() == b"x"
    ledger.state("t/raw", Revocation(RevocationReason.CONSENT_WITHDRAWN))
    with pytest.raises(VerificationError, match="revoked: consent withdrawn"):
        open_verified("t/raw", "a", ledger=ledger)
    with pytest.raises(VerificationError):
        VerifiedDataset("t/made", ledger=ledger)
    with open_verified("t/made", "made", ledger=ledger, accept_failed=True) as file:
        assert file.read() == b"x"
    assert len(VerifiedDataset("t/raw", ledger=ledger, accept_failed=True)) == 5
