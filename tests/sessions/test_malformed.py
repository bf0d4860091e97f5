"""Malformed input of every kind: a clear error, the right exit code, no traceback, nothing written."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from provenance.limits import MAX_BUNDLE_BYTES, MAX_TRUST_BYTES
from tests.sessions.session import Forks, Result, Session, state

DEEP = b"[" * 100_000 + b"]" * 100_000
BIG = b"9" * 30
RSA = """-----BEGIN PUBLIC KEY-----
MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAL2Q4DeTQ3lv1+0LHVRvxkcbhlRo2jbH
2JlJ3bVhl3BqNbHgk0ZJd5Gd0GXvXgPZVtfZBqkVB3eMM0SSgzj7Z1sCAwEAAQ==
-----END PUBLIC KEY-----
"""


def spoiled(good: bytes) -> dict[str, tuple[bytes, str]]:
    """Ways to spoil a JSON text, with a word that the error must have."""
    text = good.decode()
    name = next(iter(json.loads(text)))
    return {
        "empty": (b"", "is not JSON"),
        "one byte": (good[:1], "is not JSON"),
        "half": (good[: len(good) // 2], "is not JSON"),
        "one byte short": (good[:-2], "is not JSON"),
        "more behind it": (good + b"{}", "is not JSON"),
        "not utf-8": (good[:-3] + b"\xff" + good[-3:], "is not UTF-8"),
        "utf-16": (text.encode("utf-16"), "is not UTF-8"),
        "byte order mark": (b"\xef\xbb\xbf" + good, "is not JSON"),
        "zero bytes": (b"\0" * 100, "is not JSON"),
        "a zero byte within": (good.replace(b'":', b'\0":', 1), "is not JSON"),
        "duplicate name": (good.replace(b"{", b'{"%s":1,' % name.encode(), 1), "twice"),
        "deep": (DEEP, "nested too deeply"),
        "deep within": (good.replace(b"{", b'{"a":' + DEEP + b",", 1), "nested too deeply"),
        "a list": (b"[]", "is not an object"),
        "a number": (b"7", "is not an object"),
        "null": (b"null", "is not an object"),
        "nothing in it": (b"{}", "lacks a field"),
        "a name too many": (good.replace(b"{", b'{"frob":1,', 1), "unknown field"),
        "an integer beyond 64 bits": (good.replace(b"{", b'{"frob":' + BIG + b",", 1), "integers between"),
        "not a number": (good.replace(b"{", b'{"frob":NaN,', 1), "finite"),
        "a lone surrogate": (good.replace(b"{", b'{"frob":"\\ud800",', 1), "surrogate"),
        "wrong types": (json.dumps(dict.fromkeys(json.loads(text), 7)).encode(), "expected"),
        "a hostile value": (json.dumps(dict.fromkeys(json.loads(text), "\x1b[2J\u202e")).encode(), "expected"),
    }  # fmt: skip


def make_odd_things(folder: Path) -> None:
    """Files that are no files, and the like."""
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "empty").mkdir()
    for name, target in (("looping", "loop"), ("linked", "../raw/rows.csv")):
        (folder / name).mkdir()
        (folder / name / "link").symlink_to(target)
    (folder / "piped").mkdir()
    os.mkfifo(folder / "piped" / "pipe")
    (folder / "strange").mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/strange/\xff\x1b[2J")).write_bytes(b"x")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(folder)
        listener.bind("socket")
        os.chdir(here)
    with (folder / "huge").open("wb") as file:
        file.truncate(max(MAX_BUNDLE_BYTES, MAX_TRUST_BYTES) + 1)
    (folder / "rsa.pem").write_text(RSA)
    (folder / "zeros").write_bytes(b"\0" * 100)
    (folder / "notes.txt").write_text("just text\n")


RAW = ("register", "raw", "--no-anchor")
REGISTER = (*RAW, "--name", "x/new", "--version", "2")
BUNDLE = ("verify", "--bundle", "bundle.json", "--trust", "trust.json")
ODD = ("pipe", "socket", "loop", "dangling", "empty", "nowhere", "/dev/zero")
ODD_FILES = (*ODD, "huge", "zeros", "notes.txt", "", "raw/rows.csv/x")
ODD_DATA = (*ODD, "looping", "linked", "piped", "strange")
BAD_NUMBERS = ("99999999999999999999", str(2**64), "-1", "1.5", "1e9", "0x1", "", " 1", "\u0663", "9" * 5_000, "x")
BAD_NAMES = (
    "", "x", "/", "x/", "../x", "x/../y", "/etc/passwd", "x/y/z", "X/y", "x/y\n", "x/\x1b[2J", "x/\u00e9", "x y/z",
    b"x/\xff", "x/" + "y" * 200,
)  # fmt: skip
BAD_REFERENCES = ("", "x", "x/nothing", "x/raw@9", "deadbeef", "DEADBEEF", "../x", "x/\x1b", b"\xff")
BAD_KEY_NAMES = ("", "..", "../x", "a/b", "A", ".x", "\x1b", b"\xff", "x" * 65)

Case = tuple[tuple[str | bytes, ...], str]


def each(before: tuple[str | bytes, ...], values: Iterable[str | bytes], word: str = "error: ") -> list[Case]:
    """A case for every value, put behind the arguments `before`."""
    return [((*before, value), word) for value in values]


# (arguments, a word that stderr must have); the exit code is always 2
CASES: list[Case] = [
    *each(("verify", "--trust", "trust.json", "--bundle"), ODD_FILES, "bundle"),
    *each(("verify", "--bundle", "bundle.json", "--trust"), ODD_FILES, "trust roots"),
    *each(("keys", "trust", "who"), (*ODD_FILES, "rsa.pem"), "key"),
    *each(("keys", "import", "who"), (*ODD_FILES, "museum.pem"), "key"),
    *each(("keys", "new", "who", "--passphrase-file"), ODD_FILES[:8], "passphrase"),
    *each(("fingerprint",), ODD_DATA),
    *each(("register", "--no-anchor", "--name", "x/new", "--version", "2"), ODD_DATA),
    *each(("verify",), (*ODD_DATA, *BAD_REFERENCES)),
    *each(("verify", "--as", "x/raw"), ODD_DATA),
    *each(("verify", "raw", "--as"), BAD_REFERENCES),
    *each(("verify", "raw", "--data"), ("x/made=pipe", "x/made=", "=raw", "x/made", "x/nothing=raw")),
    *each((*BUNDLE, "--data"), ("x/made=pipe", "../x=raw", "x/nothing=raw", "deadbeef=raw")),
    *each(
        ("bundle", "x/raw", "-o"), ("pipe", "socket", "loop", "empty", "nowhere/x", "/dev/full"), "cannot write there"
    ),
    *each(("bundle", "-o", "out.json"), BAD_REFERENCES),
    (("bundle", "x/raw", "-o", ".provenance/ledger.db"), "among the ledger's own files"),
    *each(("lineage",), BAD_REFERENCES),
    *each((*RAW, "--version", "1", "--name"), BAD_NAMES, "name"),
    *each(
        (*RAW, "--name", "x/new", "--version"),
        ("", "..", "../1", "a/b", "1\n", "-", b"\xff", "\x1b", "1" * 65),
        "version",
    ),
    *each((*REGISTER, "--key"), (*BAD_KEY_NAMES, "nobody"), "key"),
    *each((*REGISTER, "--parent"), BAD_REFERENCES),
    *each((*REGISTER, "--sensitivity"), ("secret", "", "PUBLIC"), "sensitivity"),
    *each((*REGISTER, "--kind"), ("table", ""), "kind"),
    *each((*REGISTER, "--license"), ("a\nb", "x" * 5_000, b"\xff", "\x1b[2J"), "licence"),
    *each((*REGISTER, "--origin"), ("x" * 5_000, b"\xff", "\x1b[2J", "a b"), "origin"),
    *each((*REGISTER, "--receipt"), ("pipe", "loop", "empty", "nowhere/x", "/dev/full"), "cannot write there"),
    *each(("log", "inclusion", "--"), BAD_NUMBERS, "INDEX"),
    *each(("log", "inclusion"), ("2", str(2**63), str(2**64 - 1)), "no such log entry"),
    *each(("log", "consistency", "--"), (*BAD_NUMBERS, "0", "3", str(2**64 - 1))),
    *each(("log", "consistency", "2", "--"), (*BAD_NUMBERS, "0", "1", "3")),
    *each(("log", "show", "--limit"), (*BAD_NUMBERS, "0", "1001"), "--limit"),
    *each(("log", "show", "--after"), BAD_NUMBERS, "--after"),
    *each(("keys", "new"), (*BAD_KEY_NAMES, "museum"), "key name"),
    *each(("keys", "new", "who", "--algorithm"), ("rsa", "", b"\xff"), "algorithm"),
    *each(("keys", "new", "who", "--namespace"), ("", "A", "a/b", "../x", "\x1b", b"\xff", "x" * 65), "namespace"),
    *each(("keys", "show"), ("", "nobody", b"\xff"), "no such key"),
    *each(("keys", "revoke"), ("", "nobody", b"\xff"), "no such trusted key"),
    *each(("keys", "export", "-o"), ("empty", "pipe", ".provenance/trust.json")),
    *each(("init",), (".", "raw/rows.csv", "loop", "pipe")),
    *each(("init", "fresh", "--origin"), ("", "../x", "a b", b"\xff", "x" * 300), "origin"),
    *each(
        ("init", "fresh", "--chain"),
        ("", "ftp", "foo://x", "http://", "http://[", "http://x:99999999", b"\xff", "x" * 3_000),
        "chain",
    ),
    *each(("serve", "--port"), (*BAD_NUMBERS, "65536"), "--port"),
    *(
        ((b"--ledger", ledger, "log", "show"), "ledger")
        for ledger in ("", *ODD[:6], "raw/rows.csv", "/", b"\xff", "x" * 5_000)
    ),
    *each((), ("frob", "\x1b[2J", b"\xff", "--frob"), "no such"),
    (("verify", "raw", "--frob"), "no such option"),
]
FRESH = CASES[::12]
"""Cases that are run once more, in a process of their own."""


def name_of(case: Case) -> str:
    return " ".join(ascii(word)[1:-1][:30] if isinstance(word, str) else repr(word) for word in case[0])


@pytest.fixture(scope="module")
def session(anchored: Session) -> Iterator[Session]:
    """The anchored ledger among odd things; what is there must be there, unchanged, after all tests."""
    make_odd_things(anchored.folder)
    before = state(anchored.folder)
    yield anchored
    assert state(anchored.folder) == before


def check(result: Result, word: str) -> None:
    """It is a usage error in one line, with details below it."""
    result.check_clean()
    assert (result.code, result.out) == (2, ""), result
    lines = result.err.splitlines()
    assert lines[0].startswith("error: ")
    assert word in result.err
    labels = [line[:13].strip() for line in lines[1:] if line[2:3].strip()]
    assert labels == [label for label in ("expected", "got", "where", "hint") if label in labels]
    assert all(line.startswith("  ") for line in lines[1:])
    assert max(map(len, lines)) < 1_000


def test_cases_are_distinct() -> None:
    assert len({name_of(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_clear_error(session: Session, forks: Forks, case: Case) -> None:
    check(forks.run(session.folder, *case[0]), case[1])


@pytest.mark.parametrize("case", CASES[::3], ids=name_of)
def test_the_same_as_a_document(session: Session, forks: Forks, case: Case) -> None:
    result = forks.run(session.folder, "--json", *case[0])
    result.check_clean()
    assert (result.code, result.err) == (2, "")
    error = result.json["error"]
    assert error["exitCode"] == 2
    assert set(error) <= {"kind", "message", "what", "expected", "got", "where", "hint", "exitCode"}


@pytest.mark.parametrize("case", FRESH, ids=name_of)
def test_the_same_in_a_process_of_its_own(session: Session, case: Case) -> None:
    check(session.run(*case[0], code=2), case[1])


@pytest.mark.parametrize("kind", ["bundle.json", "trust.json"])
def test_spoiled_json(session: Session, forks: Forks, tmp_path: Path, kind: str) -> None:
    for name, (data, word) in spoiled((session.folder / kind).read_bytes()).items():
        files = {"bundle.json": session.folder / "bundle.json", "trust.json": session.folder / "trust.json"}
        files[kind] = tmp_path / "spoiled.json"
        files[kind].write_bytes(data)
        result = forks.run(tmp_path, "verify", "--bundle", files["bundle.json"], "--trust", files["trust.json"])
        assert word in result.err, f"{name}: {result}"
        check(result, "error: ")


@pytest.mark.parametrize("kind", ["bundle.json", "trust.json"])
def test_cut_anywhere(session: Session, forks: Forks, tmp_path: Path, kind: str) -> None:
    good = (session.folder / kind).read_bytes()
    files = {"bundle.json": session.folder / "bundle.json", "trust.json": session.folder / "trust.json"}
    files[kind] = tmp_path / "cut.json"
    for length in range(0, len(good) - 1, max(1, len(good) // 40)):
        files[kind].write_bytes(good[:length])
        check(forks.run(tmp_path, "verify", "--bundle", files["bundle.json"], "--trust", files["trust.json"]), "is not")


def test_a_changed_byte_anywhere_in_a_bundle_proves_nothing_more(
    session: Session, forks: Forks, tmp_path: Path
) -> None:
    """It is no bundle, or fails, or (in what nobody has to believe, as an anchor's contract) proves less."""
    good = (session.folder / "bundle.json").read_bytes()
    (tmp_path / "b.json").write_bytes(good)
    whole = (
        "verify",
        "--bundle",
        tmp_path / "b.json",
        "--trust",
        session.folder / "trust.json",
        "--require",
        "D0",
        "--json",
    )
    original = forks.run(tmp_path, *whole).json
    passed = {(check["check"], check["subject"]) for check in original["checks"] if check["status"] == "passed"}
    codes = set()
    for position in range(0, len(good), max(1, len(good) // 120)):
        (tmp_path / "b.json").write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        result = forks.run(tmp_path, *whole)
        result.check_clean()
        codes.add(result.code)
        if result.code == 0:
            report = result.json
            now = {(check["check"], check["subject"]) for check in report["checks"] if check["status"] == "passed"}
            assert now <= passed, f"byte {position}"
            assert (report["target"], report["digest"]) == (original["target"], original["digest"])
    assert {1, 2} <= codes <= {0, 1, 2}  # 0 where nobody looks: a line of a key that is not known


def test_a_spoiled_entry_fails_verification(session: Session, forks: Forks, tmp_path: Path) -> None:
    """What is a bundle by its form and holds bad evidence is no usage error: verification fails."""
    bundle = (session.folder / "bundle.json").read_bytes()
    assert b"\\nindex 0\\n" in bundle
    (tmp_path / "b.json").write_bytes(bundle.replace(b"\\nindex 0\\n", b"\\nindex 1\\n"))
    result = forks.run(session.folder, "verify", "--bundle", tmp_path / "b.json", "--trust", "trust.json")
    assert (result.code, "FAILED  x/made@1" in result.out) == (1, True)
