"""Verbs on a small ledger: what they print, what they put into a document, what they return."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from provenance import ChainError, Ledger, SourceError, StoreError, parse_trust
from provenance.cli.exits import DONE, ENVIRONMENT, FAILED, USAGE
from provenance.cli.verbs import init
from provenance.ledger import sweep
from tests.unit.cli.conftest import Invoke, Place


def test_init(invoke: Invoke, tmp_path: Path) -> None:
    outcome = invoke("init", tmp_path / "new", "--origin", "example.com/log", "--json")
    assert outcome.code == DONE
    document = outcome.json
    assert document["ledger"] == str(tmp_path / "new" / ".provenance")
    assert document["logKey"].startswith("example.com/log+")
    assert document["development"] is True
    again = invoke("init", tmp_path / "new")
    assert again.code == USAGE
    assert again.err.startswith("error: there is a ledger already")


@pytest.mark.parametrize(
    "options",
    [("--origin", "A B"), ("--origin", ""), ("--origin", "x" * 300), ("--chain", "foo"), ("--chain", ""),
     ("--chain", "foo://x"), ("--chain", "http://[x"), ("--chain", "http://x:y"),
     ("--chain", "http://"), ("--chain", "embedded:x"), ("--chain", "http://x\x1b")],
)  # fmt: skip
def test_init_refuses_and_makes_nothing(invoke: Invoke, tmp_path: Path, options: tuple[str, str]) -> None:
    outcome = invoke("init", tmp_path / "new", *options)
    assert outcome.code == USAGE
    assert not (tmp_path / "new").exists()


def test_an_endpoint_is_not_shown(invoke: Invoke, tmp_path: Path) -> None:
    outcome = invoke("init", tmp_path / "new", "--chain", "https://user:secret@rpc.example/key")
    assert outcome.code == DONE
    assert "secret" not in outcome.out + outcome.err
    assert "chain        the Ethereum endpoint at https://rpc.example\n" in outcome.out


def test_the_chain_of_an_installed_package(invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = invoke("init", tmp_path / "new", "--chain", "foo://secret")
    assert (outcome.code, "no such kind of chain" in outcome.err, "secret" in outcome.err) == (USAGE, True, False)
    monkeypatch.setattr(init, "entry_points", lambda *, group, name: [name] if group == "provenance.chains" else [])
    outcome = invoke("init", tmp_path / "new", "--chain", "foo://secret")
    assert (outcome.code, "secret" in outcome.out) == (DONE, False)
    assert "chain        foo: by an installed package\n" in outcome.out


def test_fingerprint(invoke: Invoke, here: Place) -> None:
    document = invoke("fingerprint", "raw", "--json").json
    with Ledger.open(here.folder) as ledger:
        assert document["digest"]["sha256"] == ledger.dataset("titanic/raw").digest.hex
    assert (document["files"], document["totalBytes"]) == (1, 12)
    text = invoke("fingerprint", "raw").out
    assert f"digest       {document['digest']['sha256']}\n" in text
    # A file written just now may have been written again within a tick of the clock: the cache does not trust it yet.
    assert re.search(r"^files        1 file, 12 bytes( \(0 read, the others unchanged since they were\))?$", text, re.M)
    assert "files        1 file, 12 bytes\n" in invoke("fingerprint", "raw", "--no-cache").out


class TestKeys:
    """Signing keys and trust."""

    @pytest.fixture(autouse=True)
    def ledger(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        Ledger.init(tmp_path).close()
        monkeypatch.chdir(tmp_path)

    def test_nothing_yet(self, invoke: Invoke) -> None:
        assert invoke("keys", "list").out == "no keys yet: make one with `provenance keys new NAME`\n"
        assert invoke("keys", "list", "--json").json == {"keys": []}

    def test_new_show_list(self, invoke: Invoke) -> None:
        made = invoke("keys", "new", "museum", "--namespace", "titanic", "--namespace", "plant", "--json").json
        assert (made["algorithm"], made["trust"], made["private"]) == ("ecdsa-p256", "trusted", "not encrypted")
        assert made["namespaces"] == ["titanic", "plant"]
        assert invoke("keys", "show", "museum", "--json").json == made
        assert invoke("keys", "show", made["keyid"], "--json").json == made
        text = invoke("keys", "show", "museum").out
        assert f"key id       {made['keyid']}\n" in text
        assert text.endswith(made["pem"])
        assert invoke("keys", "list", "--json").json == {"keys": [made]}
        assert "museum" in invoke("keys", "list").out

    def test_a_pair(self, invoke: Invoke) -> None:
        made = invoke("keys", "new", "museum", "--post-quantum", "--json").json
        assert (made["algorithm"], made["trust"]) == ("ecdsa-p256", "trusted")
        text = invoke("keys", "show", "museum", "--pem").out
        assert text == made["pem"] + made["mlDsa44"]["pem"]
        assert f"ml-dsa-44 id {made['mlDsa44']['keyid']}\n" in invoke("keys", "show", "museum").out
        assert "ml-dsa-44" in invoke("keys", "list").out
        assert invoke("keys", "show", "museum", "-o", "museum.pub").code == DONE
        assert Path("museum.pub").read_text() == text
        Path("data").write_text("x")
        register = ("register", "data", "--name", "x/a", "--version", "1", "--no-anchor")
        assert invoke(*register, "--origin", "https://x.example").code == DONE
        assert "ecdsa-p256 and ml-dsa-44 by key" in invoke("verify", "x/a", "--json").out
        assert invoke("bundle", "x/a", "-o", "x.bundle").code == DONE
        assert invoke("keys", "export", "-o", "trust.json").code == DONE
        assert invoke("bundle", "x/a", "--oms", "-o", "x.oms").code == DONE
        sums = ("fingerprint", "data", "--sums", "x.oms", "--declared-by", "museum", "--sums-key", "museum.pub")
        assert invoke(*sums).code == DONE
        Path("museum.pem").write_text(made["pem"])
        outcome = invoke("keys", "trust", "museum", "museum.pem")
        assert (outcome.code, "ML-DSA-44 key beside it" in outcome.err) == (USAGE, True)
        for name in ("alone", "both"):
            Ledger.init(Path(name)).close()
        assert invoke("--ledger", "both", "keys", "trust", "museum", "museum.pub").code == DONE
        assert invoke("--ledger", "alone", "keys", "trust", "museum", "museum.pem").code == DONE
        assert invoke("--ledger", "both", "keys", "show", "museum", "--json").json["mlDsa44"] == made["mlDsa44"]
        assert "mlDsa44" not in invoke("--ledger", "alone", "keys", "show", "museum", "--json").json
        private = (Path(".provenance") / "keys" / "museum.pem").read_text()
        Path("private.pem").write_text(private[private.index("-----BEGIN PRIVATE") :])
        assert invoke("--ledger", "both", "keys", "import", "museum", "private.pem").code == DONE

    def test_no_trust(self, invoke: Invoke) -> None:
        made = invoke("keys", "new", "lab", "--algorithm", "ed25519", "--no-trust", "--json").json
        assert (made["algorithm"], made["trust"]) == ("ed25519", "not trusted")

    def test_passphrases(self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("p").write_text("secret\n")
        assert invoke("keys", "new", "a", "--passphrase-file", "p", "--json").json["private"] == "encrypted"
        monkeypatch.setenv("PROVENANCE_PASSPHRASE", "secret")
        assert invoke("keys", "new", "b", "--json").json["private"] == "encrypted"
        Path("data").write_text("x")
        for name in ("a", "b"):
            code = invoke(
                "register", "data", "--name", f"x/{name}", "--version", "1", "--key", name, "--no-anchor"
            ).code
            assert code == DONE
        monkeypatch.setenv("PROVENANCE_PASSPHRASE", "wrong")
        outcome = invoke("register", "data", "--name", "x/c", "--version", "1", "--key", "a", "--no-anchor")
        assert outcome.code == USAGE
        assert "passphrase is wrong" in outcome.err
        assert "secret" not in outcome.err

    def test_encrypt_asks_and_there_is_nobody(self, invoke: Invoke) -> None:
        outcome = invoke("keys", "new", "a", "--encrypt")
        assert outcome.code == USAGE
        assert "PROVENANCE_PASSPHRASE" in outcome.err
        assert invoke("keys", "list", "--json").json == {"keys": []}

    def test_trust_and_revoke(self, invoke: Invoke, made: Place) -> None:
        pem = invoke("--ledger", made.folder, "keys", "show", "museum", "--json").json["pem"]
        Path("museum.pem").write_text(pem)
        trusted = invoke("keys", "trust", "The Museum", "museum.pem", "--namespace", "titanic", "--json").json
        assert (trusted["trust"], trusted["private"]) == ("trusted", "not here")
        revoked = invoke("keys", "revoke", "The Museum", "--json").json
        assert (revoked["trust"], revoked["keyid"]) == ("revoked", trusted["keyid"])
        assert "revoked" in invoke("keys", "list").out

    def test_a_trusted_key_is_not_renamed(self, invoke: Invoke, made: Place) -> None:
        invoke("--ledger", made.folder, "keys", "show", "museum", "-o", "museum.pub")
        assert invoke("keys", "trust", "The Museum", "museum.pub").code == DONE
        before = invoke("keys", "list", "--json").json
        outcome = invoke("keys", "trust", "museum", "museum.pub")
        assert (outcome.code, "The Museum" in outcome.err, "keys revoke" in outcome.err) == (USAGE, True, True)
        assert invoke("keys", "trust", "museum", "museum.pub", "--json").json["error"]["kind"] == "conflict"
        private = (made.folder / ".provenance" / "keys" / "museum.pem").read_bytes()
        Path("private.pem").write_bytes(private[private.index(b"-----BEGIN PRIVATE") :])
        assert invoke("keys", "import", "museum", "private.pem", "--json").json["error"]["kind"] == "conflict"
        assert invoke("keys", "list", "--json").json == before
        assert invoke("keys", "trust", "The Museum", "museum.pub", "--namespace", "titanic").code == DONE

    def test_a_key_that_is_trusted_under_another_name(self, invoke: Invoke, made: Place) -> None:
        private = (made.folder / ".provenance" / "keys" / "lab.pem").read_bytes()
        Path("lab.pem").write_bytes(private[private.index(b"-----BEGIN PRIVATE") :])
        invoke("keys", "import", "lab", "lab.pem", "--no-trust")
        invoke("keys", "show", "lab", "-o", "lab.pub")
        invoke("keys", "trust", "The Lab", "lab.pub")
        assert "trusted as The Lab" in " ".join(invoke("keys", "list").out.split())
        shown = invoke("keys", "show", "The Lab", "--json").json
        assert (shown["name"], shown["trustedAs"], shown["private"]) == ("lab", "The Lab", "not encrypted")
        assert "trust        trusted as The Lab\n" in invoke("keys", "show", "lab").out

    @pytest.mark.parametrize("name", ["museum", "The Museum", "keyid", "start of the keyid"])
    def test_revoke_by_any_name(self, invoke: Invoke, name: str) -> None:
        made = invoke("keys", "new", "museum", "--no-trust", "--json").json
        Path("museum.pub").write_text(made["pem"])
        invoke("keys", "trust", "The Museum", "museum.pub")
        said = {"keyid": made["keyid"], "start of the keyid": made["keyid"][:16]}.get(name, name)
        revoked = invoke("keys", "revoke", said, "--json").json
        assert (revoked["trust"], revoked["keyid"]) == ("revoked", made["keyid"])
        assert invoke("keys", "revoke", made["keyid"][:7]).code == USAGE

    def test_the_public_key_alone(self, invoke: Invoke) -> None:
        made = invoke("keys", "new", "museum", "--json").json
        assert invoke("keys", "show", "museum", "--pem").out == made["pem"]
        assert invoke("keys", "show", "museum", "-o", "-").out == made["pem"]
        outcome = invoke("keys", "show", "museum", "-o", "museum.pub")
        assert (outcome.code, Path("museum.pub").read_text()) == (DONE, made["pem"])
        assert "public key   museum.pub\n" in outcome.out
        assert "BEGIN" not in outcome.out
        assert invoke("keys", "show", "museum", "--pem", "-o", "again.pub").out == ""
        assert Path("again.pub").read_text() == made["pem"]
        assert invoke("keys", "show", "museum", "-o", "-", "--json").code == USAGE
        assert invoke("keys", "show", made["keyid"][:8], "--pem", "--json").json == made

    def test_a_new_key_says_where_it_is_and_what_is_next(self, invoke: Invoke) -> None:
        text = invoke("keys", "new", "museum").out
        assert ".provenance/keys/museum.pem" in text
        assert "for others   provenance keys show museum -o museum.pub\n" in text
        assert "next         provenance register PATH" in text

    def test_import(self, invoke: Invoke, made: Place) -> None:
        private = (made.folder / ".provenance" / "keys" / "lab.pem").read_bytes()
        Path("lab.pem").write_bytes(private[private.index(b"-----BEGIN PRIVATE") :])
        taken = invoke("keys", "import", "mine", "lab.pem", "--namespace", "titanic", "--json").json
        assert (taken["algorithm"], taken["namespaces"], taken["private"]) == ("ed25519", ["titanic"], "not encrypted")
        assert invoke("keys", "import", "mine", "lab.pem").code == USAGE

    def test_import_of_an_encrypted_key(self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PROVENANCE_PASSPHRASE", "secret")
        invoke("keys", "new", "locked")
        both = Path(".provenance/keys/locked.pem").read_bytes()
        Path("locked.pem").write_bytes(both[both.index(b"-----BEGIN ENCRYPTED") :])
        assert invoke("keys", "import", "copy", "locked.pem", "--no-trust", "--json").json["private"] == "encrypted"
        monkeypatch.delenv("PROVENANCE_PASSPHRASE")
        outcome = invoke("keys", "import", "other", "locked.pem")
        assert (outcome.code, "needs a passphrase" in outcome.err) == (USAGE, True)

    def test_a_name_of_two_keys_is_refused(self, invoke: Invoke) -> None:
        for number in "12":
            pem = invoke("keys", "new", f"k{number}", "--no-trust", "--json").json["pem"]
            Path(f"{number}.pem").write_text(pem)
            invoke("keys", "trust", "same", f"{number}.pem")
            Path(f".provenance/keys/k{number}.pem").unlink()
        for verb in ("show", "revoke"):
            outcome = invoke("keys", verb, "same")
            assert (outcome.code, "several keys have this name" in outcome.err) == (USAGE, True)

    @pytest.mark.parametrize("namespace", ["", "A B", "../x", "x/y", "\x1b", "x" * 65])
    def test_a_namespace_that_is_none_makes_no_key(self, invoke: Invoke, namespace: str) -> None:
        assert invoke("keys", "new", "a", "--namespace", namespace).code == USAGE
        assert invoke("keys", "list", "--json").json == {"keys": []}

    @pytest.mark.parametrize("name", ["", "\x1b[31m", "a\nb", "x" * 5_000])
    def test_a_name_that_is_none_is_not_trusted(self, invoke: Invoke, made: Place, name: str) -> None:
        Path("k.pem").write_text(invoke("--ledger", made.folder, "keys", "show", "lab", "--json").json["pem"])
        assert invoke("keys", "trust", name, "k.pem").code == USAGE
        assert invoke("keys", "list", "--json").json == {"keys": []}


def test_export(invoke: Invoke, here: Place, tmp_path: Path) -> None:
    document = invoke("keys", "export", "-o", tmp_path / "trust.json", "--json").json
    assert (document["sources"], document["logs"], document["anchors"], document["blocks"]) == (2, 1, 0, 0)
    roots = parse_trust((tmp_path / "trust.json").read_bytes())
    assert [source.name for source in roots.sources] == ["museum", "lab"]
    piped = invoke("keys", "export", "-o", "-")
    assert piped.out.encode() == (tmp_path / "trust.json").read_bytes()
    assert invoke("keys", "export", "-o", "-", "--json").code == USAGE


class TestRegister:
    """Registration, with a chain that works and one that does not."""

    @pytest.fixture(autouse=True)
    def ledger(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("data").write_text("x")
        with Ledger.init(tmp_path, chain="http://127.0.0.1:9/") as ledger:
            ledger.keyring.new("museum")

    def test_the_receipt_comes_first_then_the_problem(self, invoke: Invoke) -> None:
        outcome = invoke("register", "data", "--name", "x/y", "--version", "1", "--receipt", "r.json")
        assert outcome.code == ENVIRONMENT
        assert outcome.out.startswith("registered   x/y@1\n")
        assert outcome.err.startswith("error: ")
        assert json.loads(Path("r.json").read_text())["anchorProblem"]
        assert invoke("verify", "data", "--offline").code == DONE  # the registration stands

    def test_json_holds_both(self, invoke: Invoke) -> None:
        outcome = invoke("register", "data", "--name", "x/y", "--version", "1", "--json")
        document = outcome.json
        assert (outcome.code, document["name"], document["created"]) == (ENVIRONMENT, "x/y@1", True)
        assert document["anchor"] is None
        assert document["anchorProblem"]

    def test_again_is_the_same_entry(self, invoke: Invoke) -> None:
        arguments = ("register", "data", "--name", "x/y", "--version", "1", "--no-anchor")
        first, second = invoke(*arguments, "--json").json, invoke(*arguments)
        assert second.out.startswith("unchanged    x/y@1\n")
        assert invoke(*arguments, "--json").json["envelope"] == first["envelope"]

    def test_another_content_is_a_conflict(self, invoke: Invoke) -> None:
        arguments = ("register", "data", "--name", "x/y", "--version", "1", "--no-anchor")
        invoke(*arguments)
        Path("data").write_text("y")
        assert invoke(*arguments, "--json").json["error"]["kind"] == "conflict"

    def test_a_receipt_that_cannot_be_written_stops_it_before(self, invoke: Invoke) -> None:
        outcome = invoke("register", "data", "--name", "x/y", "--version", "1", "--receipt", "no/r.json")
        assert (outcome.code, "cannot write there" in outcome.err) == (USAGE, True)
        assert invoke("log", "show", "--json").json["size"] == 0

    def test_a_place_that_cannot_be_written_stops_it_before(
        self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(self: Path, mode: str = "r") -> object:
            raise PermissionError(13, "Permission denied", str(self))

        with monkeypatch.context() as patched:
            patched.setattr(Path, "open", refuse)
            outcome = invoke("register", "data", "--name", "x/y", "--version", "1", "--receipt", "r.json")
        assert outcome.code == USAGE
        assert "got        Permission denied\n  where      r.json\n  hint       name a file" in outcome.err
        assert ".new" not in outcome.err
        assert invoke("log", "show", "--json").json["size"] == 0

    def test_a_disk_that_fills_up_leaves_the_registration(
        self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        replace = Path.replace

        def full(self: Path, target: Path) -> Path:
            if target.name == "r.json":
                raise OSError(28, "No space left on device", str(self), None, str(target))
            return replace(self, target)

        monkeypatch.setattr(Path, "replace", full)
        arguments = ("register", "data", "--name", "x/y", "--version", "1", "--receipt", "r.json", "--no-anchor")
        outcome = invoke(*arguments)
        assert (outcome.code, outcome.out.splitlines()[0]) == (ENVIRONMENT, "registered   x/y@1")
        assert outcome.err == "error: No space left on device\n  where      r.json\n"
        assert list(Path().glob(".*.new")) == []
        assert invoke(*arguments, "--json").json["name"] == "x/y@1"

    def test_what_is_left_to_do_is_said(self, invoke: Invoke) -> None:
        arguments = ("register", "data", "--name", "x/y", "--version", "1", "--no-anchor")
        assert "anchor       not anchored yet: provenance anchor\n" in invoke(*arguments).out

    def test_an_endpoint_that_does_not_answer(self, invoke: Invoke) -> None:
        invoke("register", "data", "--name", "x/y", "--version", "1", "--no-anchor")
        for arguments in (("anchor",), ("chain", "status"), ("chain", "deploy")):
            outcome = invoke(*arguments, "--json")
            assert (outcome.code, outcome.json["error"]["kind"]) == (ENVIRONMENT, "chain")


class TestVerify:
    """The four things that can be verified."""

    def test_a_path_and_a_reference(self, invoke: Invoke, here: Place) -> None:
        for target in ("raw", here.raw, "titanic/raw", "titanic/raw@1"):
            outcome = invoke("verify", target)
            assert outcome.code == DONE
            assert outcome.out.startswith("VERIFIED  titanic/raw@1\n")

    def test_a_level_can_be_required(self, invoke: Invoke, here: Place) -> None:
        assert invoke("verify", "raw", "--require", "d2").code == DONE
        outcome = invoke("verify", "raw", "--require", "D3", "--json")
        assert (outcome.code, outcome.json["verdict"], outcome.json["requiredLevel"]) == (FAILED, "incomplete", "D3")
        assert invoke("verify", "raw", "--require", "D3").out.startswith("INCOMPLETE  titanic/raw@1\n")

    def test_other_bytes(self, invoke: Invoke, here: Place, tmp_path: Path) -> None:
        (tmp_path / "rows.csv").write_text("a,b\n1,3\n")
        outcome = invoke("verify", tmp_path, "--as", "titanic/raw")
        assert outcome.code == FAILED
        assert "failed  content.file  titanic/raw@1\n  changed: rows.csv\n" in outcome.out
        assert "affected     titanic/clean@1\n" in outcome.out
        outcome = invoke("verify", "titanic/clean", "--data", f"titanic/raw={tmp_path}", "--json")
        assert (outcome.code, outcome.json["verified"]) == (FAILED, False)

    def test_everything(self, invoke: Invoke, here: Place) -> None:
        outcome = invoke("verify", "--all")
        assert outcome.code == DONE
        assert outcome.out.endswith("VERIFIED  2 datasets: 2 verified\n")
        document = invoke("verify", "--all", "--require", "D3", "--json")
        assert (document.code, document.json["verdict"]) == (FAILED, "incomplete")
        assert document.json["counts"] == {"verified": 0, "incomplete": 2, "failed": 0}
        assert [result["target"] for result in document.json["results"]] == ["titanic/raw@1", "titanic/clean@1"]
        assert "INCOMPLETE  2 datasets: 2 incomplete\n" in invoke("verify", "--all", "--require", "D3").out

    def test_everything_goes_on_past_what_cannot_be_read(
        self, invoke: Invoke, here: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        verify = Ledger.verify

        def broken(self: Ledger, target: str, **options: object) -> object:
            if target == "titanic/raw@1":
                raise SourceError("cannot read", where="raw\x1b")
            return verify(self, target, **options)  # type: ignore[arg-type]  # passed through

        monkeypatch.setattr(Ledger, "verify", broken)
        outcome = invoke("verify", "--all")
        assert outcome.code == USAGE
        assert "FAILED  2 datasets: 1 verified, 1 failed" in outcome.out
        document = invoke("verify", "--all", "--json").json
        assert document["results"][0]["error"]["kind"] == "source"
        assert document["results"][1]["verified"] is True

    def test_a_silent_chain_is_asked_once(self, here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []

        def chain(self: Ledger) -> object:
            asked.append(1)
            raise ChainError("silent")

        monkeypatch.setattr(Ledger, "chain", chain)
        monkeypatch.setattr(Ledger, "contract", lambda self: object())
        with Ledger.open(here.folder) as ledger:
            assert len(list(sweep.verify_all(ledger))) == 2
        assert len(asked) == 1

    def test_a_bundle(self, invoke: Invoke, here: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bundle, trust = tmp_path / "b.json", tmp_path / "t.json"
        assert invoke("bundle", "titanic/clean", "-o", bundle, "--json").json["target"] == "titanic/clean@1"
        invoke("keys", "export", "-o", trust)
        inside = invoke("verify", "--bundle", bundle)
        assert (inside.code, "those of the ledger in" in inside.out) == (FAILED, True)
        assert "INCOMPLETE  titanic/clean@1" in inside.out  # nobody looked at its bytes
        monkeypatch.chdir(tmp_path)
        whole = ("verify", "--bundle", bundle, "--trust", trust)
        assert invoke(*whole).code == FAILED
        assert invoke(*whole, "--require", "D0").code == DONE
        for reference in ("titanic/clean", "titanic/clean@1"):
            assert invoke(*whole, "--data", f"{reference}={here.clean}", "--json").json["level"] == "D2"
        digest = invoke("fingerprint", here.clean, "--json").json["digest"]["sha256"]
        assert invoke(*whole, "--data", f"{digest[:12]}={here.clean}", "--json").json["level"] == "D2"
        assert invoke(*whole, "--data", f"titanic/clean={here.raw}").code == FAILED
        twice = ("--data", f"titanic/clean={here.clean}", "--data", f"titanic/clean@1={here.clean}")
        assert invoke(*whole, *twice).code == USAGE
        outcome = invoke(*whole, "--data", f"titanic/x={here.raw}")
        assert (outcome.code, "it holds titanic/clean@1, titanic/raw@1" in outcome.err) == (USAGE, True)
        outside = invoke("verify", "--bundle", bundle)
        assert outside.code == FAILED
        assert "signed but not trusted" in outside.out
        assert "give the trust roots with --trust FILE" in " ".join(outside.out.split())

    def test_nothing_at_all_hints_at_help(self, invoke: Invoke) -> None:
        assert "provenance verify --help" in invoke("verify").err

    def test_a_bundle_and_where_its_bytes_are(self, invoke: Invoke, here: Place, tmp_path: Path) -> None:
        made = invoke("bundle", "titanic/clean", "-o", tmp_path / "b.json")
        assert "--data titanic/clean@1=PATH" in made.out
        outcome = invoke("verify", here.clean, "--bundle", tmp_path / "b.json", "--json")
        assert (outcome.code, outcome.json["verdict"], outcome.json["level"]) == (DONE, "verified", "D2")
        both = ("--data", f"titanic/raw={here.raw}")
        text = invoke("verify", here.clean, "--bundle", tmp_path / "b.json").out
        assert "note: the bytes of 1 ancestor were not read; give them with --data REF=PATH\n" in text
        assert "were not read" not in invoke("verify", here.clean, "--bundle", tmp_path / "b.json", *both).out
        assert invoke("verify", here.raw, "--bundle", tmp_path / "b.json").code == FAILED
        assert invoke("verify", tmp_path / "no", "--bundle", tmp_path / "b.json").code == USAGE
        twice = ("--data", f"titanic/clean={here.clean}")
        assert "given twice" in invoke("verify", here.clean, "--bundle", tmp_path / "b.json", *twice).err

    def test_what_is_incomplete_says_why(self, invoke: Invoke, here: Place, tmp_path: Path) -> None:
        invoke("bundle", "titanic/raw", "-o", tmp_path / "b.json")
        outcome = invoke("verify", "--bundle", tmp_path / "b.json")
        text = " ".join(outcome.out.split())
        assert outcome.code == FAILED
        assert "incomplete: level D0, data of its sensitivity needs D2; lacks content (give the bytes with" in text
        assert "or accept the record alone with --require D0)" in text
        accepted = invoke("verify", "--bundle", tmp_path / "b.json", "--require", "D0")
        assert (accepted.code, "incomplete: " in accepted.out, "\nVERIFIED  " in accepted.out) == (DONE, False, True)
        text = " ".join(invoke("verify", "raw", "--require", "D3").out.split())
        assert (
            "incomplete: level D2, D3 by --require; lacks quality, anchor.receipt, anchor.block (provenance quality"
            in text
        )

    def test_ancestors_that_were_not_read(self, invoke: Invoke, here: Place) -> None:
        line = "note: the bytes of 1 ancestor were not read; --deep reads them where they were registered from"
        assert line in " ".join(invoke("verify", "titanic/clean").out.split())
        assert "were not read" not in invoke("verify", "titanic/clean", "--deep").out
        assert "were not read" not in invoke("verify", "titanic/raw").out

    def test_everything_deep(self, invoke: Invoke, here: Place) -> None:
        outcome = invoke("verify", "--all", "--deep", "--json")
        assert (outcome.code, outcome.json["unread"]) == (DONE, 0)

    def test_everything_with_bytes_that_are_gone(
        self, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("data").write_text("x")
        with Ledger.init(tmp_path) as ledger:
            ledger.keyring.new("museum")
            ledger.register("data", "x/y", "1", anchor=False)
        Path("data").unlink()
        outcome = invoke("verify", "--all")
        assert (outcome.code, outcome.out.splitlines()[-1]) == (FAILED, "INCOMPLETE  1 dataset: 1 incomplete")
        assert "note: the bytes of 1 dataset are not where" in outcome.out
        document = invoke("verify", "--all", "--require", "D0", "--json")
        assert (document.code, document.json["unread"]) == (DONE, 1)

    def test_a_bundle_piped_on(self, invoke: Invoke, here: Place, tmp_path: Path) -> None:
        invoke("bundle", "titanic/raw", "-o", tmp_path / "b.json")
        assert invoke("bundle", "titanic/raw", "-o", "-").out.encode() == (tmp_path / "b.json").read_bytes()

    def test_an_oms_bundle(self, invoke: Invoke, here: Place, tmp_path: Path) -> None:
        made = invoke("bundle", "titanic/raw", "-o", tmp_path / "o.json", "--oms")
        assert made.code == DONE
        assert "model_signing verify key FOLDER --signature" in made.out
        assert "KEY.pub      provenance keys show museum --pem > KEY.pub\n" in made.out
        assert json.loads((tmp_path / "o.json").read_text())["mediaType"].startswith("application/vnd.dev.sigstore")
        outcome = invoke("bundle", "titanic/clean", "-o", tmp_path / "p.json", "--oms")
        assert (outcome.code, (tmp_path / "p.json").exists()) == (USAGE, False)
        assert invoke("bundle", "titanic/raw", "-o", tmp_path / "q", "--oms", "--no-manifests").code == USAGE

    @pytest.mark.parametrize(
        "arguments",
        [
            (), ("",), ("raw", "--all"), ("raw", "--bundle", "b"), ("--all", "--bundle", "b"), ("raw", "--trust", "t"),
            ("--all", "--trust", "t"), ("--all", "--as", "x/y"), ("--all", "--data", "x/y=z"),
            ("--bundle", "b", "--deep"), ("--bundle", "b", "--as", "x/y"), ("raw", "--require", "D5"),
            ("raw", "--data", "nothing"),
        ],
    )  # fmt: skip
    def test_what_does_not_go_together(self, invoke: Invoke, here: Place, arguments: tuple[str, ...]) -> None:
        outcome = invoke("verify", *arguments)
        assert (outcome.code, outcome.out) == (USAGE, "")

    def test_a_ledger_that_was_named_must_be_there(
        self, invoke: Invoke, here: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        invoke("bundle", "titanic/raw", "-o", tmp_path / "b.json")
        assert invoke("--ledger", tmp_path, "verify", "--bundle", tmp_path / "b.json").code == USAGE
        monkeypatch.setenv("PROVENANCE_LEDGER", str(tmp_path))
        assert invoke("verify", "--bundle", tmp_path / "b.json").code == USAGE


def test_lineage(invoke: Invoke, here: Place) -> None:
    outcome = invoke("lineage", "titanic/clean")
    assert outcome.code == DONE
    assert outcome.out.splitlines()[1].startswith("└─ titanic/raw@1  passed  museum (")
    assert invoke("lineage", "titanic/clean", encoding="ascii").out.splitlines()[1].startswith("`- titanic/raw@1")
    assert invoke("lineage", "titanic/raw", "--json").json["descendants"] == ["titanic/clean@1"]


class TestLog:
    """The log as others read it."""

    def test_show_in_pages(self, invoke: Invoke, here: Place) -> None:
        first = invoke("log", "show", "--limit", "1", "--json").json
        assert (first["size"], [entry["index"] for entry in first["entries"]], first["next"]) == (2, [0], 0)
        second = invoke("log", "show", "--after", "0", "--json").json
        assert ([entry["name"] for entry in second["entries"]], second["next"]) == (["titanic/clean@1"], None)
        assert (
            "1 of 2 entries; the next ones: provenance log show --after 0\n" in invoke("log", "show", "--limit", 1).out
        )
        assert invoke("log", "show", "--after", 99).out == "nothing after entry 99: the log has 2 entries\n"
        assert invoke("log", "show", "--after", 2**64 - 1, "--json").json["entries"] == []

    def test_checkpoint_and_proofs_are_verbatim(self, invoke: Invoke, here: Place) -> None:
        with Ledger.open(here.folder) as ledger:
            assert invoke("log", "checkpoint").out.encode() == ledger.log.checkpoint().note
            assert invoke("log", "inclusion", 1).out.encode() == ledger.log.inclusion(1)
        document = invoke("log", "checkpoint", "--json").json
        assert document["checkpoint"].startswith("test.example/log\n2\n")
        assert invoke("log", "inclusion", 0, "--json").json["proof"].startswith("c2sp.org/tlog-proof@v1\nindex 0\n")

    def test_consistency(self, invoke: Invoke, here: Place) -> None:
        document = invoke("log", "consistency", 1, "--json").json
        assert (document["size1"], document["size2"], len(document["proof"])) == (1, 2, 1)
        assert "proof        empty: the sizes are the same\n" in invoke("log", "consistency", 2, 2).out

    def test_fsck(self, invoke: Invoke, here: Place) -> None:
        outcome = invoke("log", "fsck", "--independent")
        assert (outcome.code, outcome.out.splitlines()[0]) == (DONE, "CLEAN")
        assert invoke("log", "fsck", "--json").json["clean"] is True

    def test_damage_is_found(self, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("data").write_text("x")
        with Ledger.init(tmp_path) as ledger:
            ledger.keyring.new("museum")
            ledger.register("data", "x/y", "1", anchor=False)
        blob = next(path for path in Path(".provenance/blobs").rglob("*") if path.is_file())
        blob.chmod(0o600)
        blob.write_bytes(b"damaged")
        outcome = invoke("log", "fsck")
        assert (outcome.code, outcome.out.splitlines()[0]) == (FAILED, "DAMAGED")
        assert "finding" in outcome.out
        document = invoke("log", "fsck", "--json")
        assert (document.code, document.json["clean"]) == (FAILED, False)


def test_a_damaged_index_is_derived_again(invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").write_text("x")
    with Ledger.init(tmp_path) as ledger:
        ledger.keyring.new("museum")
        ledger.register("data", "x/y", "1", license="MIT", anchor=False)
    with contextlib.closing(sqlite3.connect(".provenance/ledger.db")) as database, database:
        database.execute("UPDATE datasets SET license = 'X11'")
    outcome = invoke("log", "fsck")
    assert (outcome.code, "`provenance log reindex`" in " ".join(outcome.out.split())) == (FAILED, True)
    before = invoke("log", "checkpoint").out
    assert invoke("log", "reindex").out.startswith("reindexed    1 entry\n")
    assert invoke("log", "reindex", "--json").json == {"entries": 1}
    outcome = invoke("log", "fsck")
    assert (outcome.code, "reindex" in outcome.out) == (DONE, False)
    assert "examined     1 entry, 1 tile\n             1 checkpoint\n" in outcome.out
    assert invoke("log", "checkpoint").out == before
    assert invoke("verify", "x/y").code == DONE  # where its bytes are is still known


class TestServe:
    """`serve` hands over to the server."""

    @pytest.fixture
    def served(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, str, int]]:
        calls: list[tuple[Path, str, int]] = []

        def serve(
            folder: Path,
            host: str,
            port: int,
            *,
            receiving: object,
            noting: object,
            publish: object,
            listening: Callable[[str], None],
        ) -> None:
            assert (receiving, noting, publish) == (None, None, None)
            calls.append((folder, host, port))
            if port == 7:
                raise StoreError("cannot listen at this address")
            listening(f"http://there:{port}")

        server = types.ModuleType("provenance.server")
        server.serve = serve  # type: ignore[attr-defined]  # a stand-in
        monkeypatch.setitem(sys.modules, "provenance.server", server)
        return calls

    def test_it_serves_the_ledger(self, invoke: Invoke, here: Place, served: list[tuple[Path, str, int]]) -> None:
        folder = here.folder.resolve() / ".provenance"
        outcome = invoke("serve", "--host", "::1", "--port", "8123")
        assert served == [(folder, "::1", 8123)]
        assert "serving      http://there:8123\n" in outcome.out
        assert "described    http://there:8123/openapi.json\n" in outcome.out
        assert "/docs" not in outcome.out
        assert invoke("serve", "--json").json == {"ledger": str(folder), "url": "http://there:8000"}

    def test_what_says_how_events_are_taken_needs_that_they_are(
        self, invoke: Invoke, here: Place, served: list[tuple[Path, str, int]], tmp_path: Path
    ) -> None:
        assert invoke("serve", "--key", "museum").code == USAGE
        assert invoke("serve", "--bearer-file", "keys.txt").code == USAGE
        for content in (b"", b"short\n", b"\xff" * 20):
            (tmp_path / "keys.txt").write_bytes(content)
            assert invoke("serve", "--openlineage", "--bearer-file", tmp_path / "keys.txt").code == USAGE
        assert served == []

    def test_an_address_that_is_taken(self, invoke: Invoke, here: Place, served: list[tuple[Path, str, int]]) -> None:
        outcome = invoke("serve", "--port", "7")
        assert (outcome.code, outcome.out) == (ENVIRONMENT, "")
        assert invoke("serve", "--port", "7", "--json").json["error"]["kind"] == "store"

    @pytest.mark.parametrize("port", ["65536", "x", "-1", "8e3", ""])
    def test_a_port_is_a_port(
        self, invoke: Invoke, here: Place, served: list[tuple[Path, str, int]], port: str
    ) -> None:
        assert invoke("serve", "--port", port).code == USAGE
        assert served == []

    def test_no_ledger_nothing_served(
        self, invoke: Invoke, tmp_path: Path, served: list[tuple[Path, str, int]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert invoke("serve").code == USAGE
        assert served == []


def test_the_demo_is_played(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[Path | None] = []

    def play(directory: Path | None) -> int:
        played.append(directory)
        sys.stdout.write("a step\n")
        return 0

    demo = types.ModuleType("provenance.cli.demo")
    demo.run = play  # type: ignore[attr-defined]  # a stand-in
    monkeypatch.setitem(sys.modules, "provenance.cli.demo", demo)
    assert invoke("demo").out == "a step\n"
    outcome = invoke("demo", "there", "--json")
    assert (outcome.json, outcome.err) == ({"directory": "there", "exitCode": 0}, "a step\n")
    assert played == [None, Path("there")]


@pytest.mark.parametrize("empty", ["", os.devnull, "/proc/self/status", "nowhere"])
def test_what_is_no_ledger(invoke: Invoke, here: Place, empty: str) -> None:
    outcome = invoke("--ledger", empty, "log", "show")
    assert (outcome.code, outcome.out) == (USAGE, "")
