"""Records at the command line: fingerprinted, proven, looked up, compared; parts verified; and files left out."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sessions.session import Session

ROWS = 5_000


def _table(poisoned: int | None = None) -> pa.Table:
    label = [number % 3 for number in range(ROWS)]
    if poisoned is not None:
        label[poisoned] = 9
    return pa.table(
        {
            "id": range(ROWS),
            "text": [f"sample {number}" if number % 7 else None for number in range(ROWS)],
            "label": label,
        }
    )


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    made = Session(tmp_path_factory.mktemp("records"))
    pq.write_table(_table(), made.folder / "rows.parquet", row_group_size=900)
    made.run("init", "--origin", "ledger.example/records")
    made.run("keys", "new", "museum")
    made.run("register", "rows.parquet", "--name", "x/rows", "--version", "1", "--records", "--no-anchor")
    return made


def test_the_same_table_has_one_record_root_in_every_format(session: Session) -> None:
    table = _table()
    with pa.OSFile(str(session.folder / "rows.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=700)
    lines = [json.dumps({k: v for k, v in row.items() if v is not None}) for row in table.to_pylist()]
    (session.folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    text = "".join(f"{r['id']},{r['text'] or ''},{r['label']}\n" for r in table.to_pylist())
    (session.folder / "rows.csv").write_text("id,text,label\n" + text)
    parquet = session.json("fingerprint", "rows.parquet", "--records", "--schema-out", "schema.json")
    for name in ("rows.arrow", "rows.jsonl", "rows.csv"):
        found = session.json("fingerprint", name, "--records", "--schema", "schema.json")
        assert found["document"]["records"] == parquet["document"]["records"]
        assert found["digest"] != parquet["digest"]


def test_a_row_is_proven_and_the_proof_checked_by_whoever_has_the_digest(session: Session, tmp_path: Path) -> None:
    stranger = Session(tmp_path)
    digest = session.json("fingerprint", "rows.parquet", "--records")["digest"]["sha256"]
    for arguments, said in (
        (("--row", "4321"), "yes: row 4,321 of 5,000"),
        (("--row", "10-20"), "yes: rows 10 to 20"),
        (("--key", "id=77"), "yes: row 77 of 5,000"),
        (("--record", '{"id":77,"label":2}'), "yes: row 77 of 5,000"),
        (("--record", '{"id":77,"label":1}'), "no: none of 5,000 rows is it"),
    ):
        session.run("prove", "x/rows", *arguments, "-o", tmp_path / "proof.json")
        checked = stranger.run("verify", "--proof", "proof.json", "--digest", digest)
        assert said in checked.out
        assert "VERIFIED" in checked.out
        told = stranger.json("verify", "--proof", "proof.json")
        assert told["verified"] is False
        assert told["present"] is said.startswith("yes")
        assert told["says"]["in it"] == said
        other = "0" * 64
        assert "another dataset" in stranger.run("verify", "--proof", "proof.json", "--digest", other, code=1).err


def test_a_proof_with_another_row_is_refused(session: Session, tmp_path: Path) -> None:
    session.run("prove", "x/rows", "--row", "5", "-o", tmp_path / "proof.json")
    proof = (tmp_path / "proof.json").read_text()
    (tmp_path / "proof.json").write_text(proof.replace('"index":5,', '"index":6,'))
    assert "does not lead to the root" in session.run("verify", "--proof", tmp_path / "proof.json", code=1).err


def test_many_records_are_looked_up_at_once(session: Session) -> None:
    pq.write_table(_table().slice(100, 50), session.folder / "some.parquet")
    found = session.json("check", "x/rows", "some.parquet", "-o", "places")
    assert (found["records"], found["present"], found["absent"]) == (50, 50, 0)
    assert (session.folder / "places").read_text().split() == [str(number) for number in range(100, 150)]
    pq.write_table(_table(poisoned=120).slice(100, 50), session.folder / "some.parquet")
    found = session.json("check", "x/rows", "some.parquet", code=1)
    assert (found["absent"], found["absentRows"]) == (1, [20])


def test_two_versions_are_compared_row_by_row(session: Session) -> None:
    pq.write_table(_table(poisoned=4_999), session.folder / "later.parquet")
    found = session.run("diff", "x/rows", "later.parquet", "--records", code=1)
    assert "row 4,999, column label: 1 is now 9" in found.out
    assert session.json("diff", "x/rows", "rows.parquet", "--records")["same"] is True


def test_verify_hashes_records_again_where_it_is_asked_to(session: Session) -> None:
    def checks(*more: str) -> dict[str, str]:
        return {check["check"]: check["status"] for check in session.json("verify", "rows.parquet", *more)["checks"]}

    assert checks()["content"] == "passed"
    assert checks()["content.records"] == "not performed"
    assert "content.records" not in checks("--records")
    assert checks("--records")["content"] == "passed"


def test_files_are_compared_with_proofs_and_parts_verified(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for name in "abcdef":
        (folder / name).write_text(name)
    (folder / "cache.tmp").write_text("made again")
    (folder / ".provenanceignore").write_text("*.tmp\n")
    made = session.json("register", folder, "--name", "x/set", "--version", "1", "--algorithm", "blake3", "--no-anchor")
    assert made["files"] == 7
    assert any("BLAKE3" in note for note in made["notes"])
    session.run("bundle", "x/set", "-o", "set.json")
    session.run("keys", "export", "-o", "trust.json")
    part = tmp_path / "part"
    part.mkdir()
    (part / "c").write_text("c")
    for more in (("--as", "x/set"), ("--bundle", "set.json", "--trust", "trust.json")):
        said = session.run("verify", part, "--partial", *more).out
        assert "partial: 1 of 7 files" in said
        assert session.json("verify", part, "--partial", *more)["level"] == "D0"
    (part / "b").write_text("B")
    assert (
        "the file is not what was registered" in session.run("verify", part, "--partial", "--as", "x/set", code=1).out
    )
    session.run("fingerprint", folder, "--manifest", "before")
    (folder / "a").write_text("A")
    (folder / "b").rename(folder / "g")
    (folder / "c").unlink()
    found = session.run("diff", "before", folder, "--proof", "proof", code=1)
    for line in ("changed: a", "renamed: b is now g", "removed: c"):
        assert line in found.out
    digests = session.json("diff", "before", folder, code=1)
    checked = session.json(
        "diff", "--check", "proof", "--from", digests["from"]["sha256"], "--to", digests["to"]["sha256"]
    )
    assert checked["counts"] == {"changed": 1, "removed": 1, "renamed": 1}
    assert "another" in session.run("diff", "--check", "proof", "--from", "0" * 64, code=1).err
    assert session.run("prove", f"{folder}:d", "-o", tmp_path / "d.json").code == 0
    assert "yes: file" in session.run("verify", "--proof", tmp_path / "d.json", folder / "d").out
    session.run("verify", "--proof", tmp_path / "d.json", folder / "e", code=1)


def test_of_a_large_file_the_report_says_which_bytes_differ(session: Session) -> None:
    mib = 1 << 20
    folder = session.folder / "recordings"
    folder.mkdir()
    (folder / "a.bin").write_bytes(bytes(range(256)) * (3 * mib // 256))
    session.run("register", "recordings", "--name", "x/recordings", "--version", "1", "--chunks", "--no-anchor")
    with (folder / "a.bin").open("r+b") as file:
        file.seek(mib + 7)
        file.write(b"!")
    shown = session.run("verify", "recordings", code=1).out
    assert "differs    changed: bytes 1048576 to 2097151" in shown
    (failure,) = [one for one in session.json("verify", "recordings", code=1)["checks"] if one.get("damage")]
    assert failure["damage"] == [{"begin": mib, "end": 2 * mib, "kind": "changed"}]


def test_bytes_are_compared_with_a_record_as_they_were_read_for_it(session: Session) -> None:
    folder = session.folder / "mixed"
    folder.mkdir()
    for name in ("a", "b", "c.tmp"):
        (folder / name).write_text(name)
    session.run(
        "register", "mixed", "--name", "x/mixed", "--version", "1", "--algorithm", "blake3", "--ignore", "*.tmp",
        "--no-anchor",
    )  # fmt: skip
    session.run("fingerprint", "mixed", "--algorithm", "blake3", "--manifest", "mixed.manifest")
    for sides in (("mixed", "x/mixed@1"), ("x/mixed@1", "mixed"), ("mixed.manifest", "mixed")):
        assert session.json("diff", *sides)["changes"] == []
    (folder / "b").write_text("other")
    found = session.json("diff", "x/mixed@1", "mixed", code=1)
    assert [(change["kind"], change["path"]) for change in found["changes"]] == [("changed", "b")]
