"""`provenance demo`: the main job, end to end, on real data, with the very commands a user types.

Invariants: every line that starts with `$` is run as it is shown, in a process of its own; a step whose outcome is not
the expected one ends the demo with exit code 1; the folder is remade on every run, and a folder that is not an earlier
demo's is left alone.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from provenance.errors import ConflictError, NotFoundError, VerificationError

DEFAULT_FOLDER = ".demo"
_MARKER = ".provenance-demo"
_TIMEOUT_S = 120
_SOURCES = {
    "museum": ("titanic/titanic.csv",),
    "harbour": ("titanic/genders.csv", "titanic/embarkation_ports.csv"),
    "plant": ("nab/machine_temperature_system_failure.csv",),
}
_CROISSANT = "https://github.com/mlcommons/croissant/tree/401f6ff/datasets/1.0/titanic"
_NAB = "https://github.com/numenta/NAB/tree/ea702d7/data/realKnownCause"


def run(directory: Path | None) -> int:
    """Run the demo in `directory` (default: `.demo` here) and return 0. Errors are `ProvenanceError`."""
    started = time.monotonic()
    examples = _examples()
    workspace = _workspace(directory or Path(DEFAULT_FOLDER), examples)
    demo = _Demo(workspace, examples.parent)
    demo.register()
    demo.anchor_and_verify()
    demo.hand_over()
    demo.tamper()
    print(f"\nDone in {time.monotonic() - started:.0f} s. Everything is in {directory or DEFAULT_FOLDER}/. Try next:\n")
    print(f"  cd {shlex.quote(str(directory or DEFAULT_FOLDER))}")
    print(f"  alias provenance={shlex.quote(str(_program()))}")
    print("  provenance verify titanic/survival-model --deep   # with the bytes of every ancestor")
    print("  provenance log show                               # what a stranger sees of the log")
    print("  provenance log fsck --independent                 # derive everything again, with a second implementation")
    print("  provenance serve                                  # the same through an API: http://127.0.0.1:8000")
    print("  provenance register FOLDER --name you/data --version 1   # your own data (make a key with `keys new`)")
    return 0


class _Demo:
    def __init__(self, workspace: Path, project: Path) -> None:
        self._workspace, self._project = workspace, project

    def register(self) -> None:
        """Sources by different signers, what is derived from them, a model."""
        _say("A ledger, and one key for each party")
        self._provenance("init")
        for name, algorithm in (("museum", None), ("harbour-office", None), ("plant", "ed25519"), ("lab", None)):
            self._provenance("keys", "new", name, *(("--algorithm", algorithm) if algorithm else ()))
        _say("Three sources, registered by the parties that answer for them")
        public = ("--sensitivity", "public", "--no-anchor")
        source = ("--license", "Apache-2.0", "--origin", _CROISSANT, *public)
        self._register("museum", "titanic/passengers", "museum", *source)
        self._register("harbour", "titanic/codes", "harbour-office", *source)
        self._register("plant", "plant/temperature", "plant", "--license", "MIT", "--origin", _NAB, *public)
        _say("A cleaned dataset made from two of them (names dropped, codes joined), and hourly means of the sensor")
        self._python(
            "examples.clean", "passengers", "museum/titanic.csv", "harbour/genders.csv",
            "harbour/embarkation_ports.csv", "-o", "cleaned/passengers.csv",
        )  # fmt: skip
        parents = ("--parent", "titanic/passengers", "--parent", "titanic/codes")
        self._register("cleaned", "titanic/cleaned", "lab", *parents, "--license", "Apache-2.0", *public)
        self._python(
            "examples.clean", "hourly", "plant/machine_temperature_system_failure.csv", "-o", "hourly/hourly.csv"
        )
        self._register("hourly", "plant/hourly", "lab", "--parent", "plant/temperature", "--license", "MIT", *public)
        _say("A small model, trained on the cleaned data and registered with its input")
        self._python("examples.train", "cleaned/passengers.csv", "-o", "model/model.json")
        self._register(
            "model", "titanic/survival-model", "lab", "--kind", "model", "--parent", "titanic/cleaned", *public
        )

    def anchor_and_verify(self) -> None:
        """One transaction; verification by command line, Python and API; lineage."""
        _say("One transaction anchors all of it (on a development chain: it proves order, but only to its operator)")
        self._provenance("anchor")
        _say("Verify everything: bytes, signatures, log, anchor")
        self._provenance("verify", "--all")
        _say("The same from Python")
        self._shown(
            [sys.executable, "-c", "from provenance import Ledger; "
             "print(Ledger.open().verify('titanic/survival-model').level.name)"], "python"
        )  # fmt: skip
        _say("The same through the API, by a digest that the caller computed")
        self._api()
        _say("Where the model comes from")
        self._provenance("lineage", "titanic/survival-model")

    def hand_over(self) -> None:
        """A bundle, verified in another process with no ledger at hand."""
        _say("An auditor gets a bundle, the trust roots and the model, and has no ledger and no server")
        self._provenance("bundle", "titanic/survival-model", "-o", "model.bundle.json")
        self._provenance("keys", "export", "-o", "trust.json")
        with tempfile.TemporaryDirectory(prefix="auditor-") as elsewhere:
            for name in ("model.bundle.json", "trust.json"):
                shutil.copy(self._workspace / name, elsewhere)
            shutil.copytree(self._workspace / "model", Path(elsewhere) / "model")
            print("(in an empty folder elsewhere)")
            self._provenance(
                "verify", "--bundle", "model.bundle.json", "--trust", "trust.json",
                "--data", "titanic/survival-model=model", folder=Path(elsewhere),
            )  # fmt: skip

    def tamper(self) -> None:
        """One byte of a source changes; verification fails at the file and names what was made from it."""
        target = self._workspace / "museum" / "titanic.csv"
        original = target.read_bytes()
        position = original.index(b",1,") + 1
        _say(
            f"Somebody changes one byte of museum/titanic.csv: byte {position}, '1' to '0': a survivor is none any more"
        )
        target.write_bytes(original[:position] + b"0" + original[position + 1 :])
        try:
            output = self._provenance("verify", "museum", expected=1)
            for needed in ("titanic.csv", "titanic/cleaned", "titanic/survival-model"):
                if needed not in output:
                    raise VerificationError("the demo's verification did not name it", expected=needed)
        finally:
            target.write_bytes(original)
        _say("The byte is put back")
        self._provenance("verify", "museum")

    def _register(self, folder: str, name: str, key: str, *more: str) -> None:
        self._provenance("register", folder, "--name", name, "--version", "1", "--key", key, *more)

    def _provenance(self, *arguments: str, expected: int = 0, folder: Path | None = None) -> str:
        command = [sys.executable, "-m", "provenance.cli", *arguments]
        return self._shown(command, "provenance", arguments, expected, folder)

    def _python(self, module: str, *arguments: str) -> None:
        (self._workspace / arguments[-1]).parent.mkdir(exist_ok=True)
        self._shown([sys.executable, "-m", module, *arguments], "python", ("-m", module, *arguments))

    def _shown(
        self,
        command: list[str],
        program: str,
        arguments: tuple[str, ...] | None = None,
        expected: int = 0,
        folder: Path | None = None,
    ) -> str:
        shown = shlex.join([program, *(arguments if arguments is not None else command[1:])])
        print(f"\n$ {shown}", flush=True)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PROVENANCE_")}
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(self._project), *filter(None, [environment.get("PYTHONPATH")])]
        )
        if sys.stdout.isatty():
            environment["FORCE_COLOR"] = "1"
        done = subprocess.run(  # noqa: S603 - our own commands
            command, cwd=folder or self._workspace, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
        output = done.stdout.decode("utf-8", "replace")
        print(output, end="", flush=True)
        if done.returncode != expected:
            raise VerificationError(
                "a step of the demo went wrong", expected=f"exit code {expected}", got=done.returncode, where=shown
            )
        return output

    def _api(self) -> None:
        digest = _json(self._captured("fingerprint", "model", "--json"))["digest"]["sha256"]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        print(f"\n$ provenance serve --port {port} &", flush=True)
        server = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "provenance.cli", "serve", "--port", str(port)],
            cwd=self._workspace, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait_for(f"http://127.0.0.1:{port}/readyz", server)
            body = json.dumps({"digest": digest})
            url = f"http://127.0.0.1:{port}/v1/verify"
            print(f"$ curl -s {url} -H 'Content-Type: application/json' -d {shlex.quote(body)}", flush=True)
            request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - a loopback address
                report = _json(answer.read())
        finally:
            server.terminate()
            server.wait(30)
        print(json.dumps({key: report[key] for key in ("verified", "target", "level", "missing")}), "...")
        if report["verified"] is not True:
            raise VerificationError("the API did not verify the model", expected="verified", got=report["verified"])

    def _captured(self, *arguments: str) -> bytes:
        command = [sys.executable, "-m", "provenance.cli", *arguments]
        return subprocess.run(command, cwd=self._workspace, capture_output=True, timeout=_TIMEOUT_S, check=True).stdout  # noqa: S603


def _examples() -> Path:
    package = Path(__file__).resolve().parent.parent
    for folder in (package.parent / "examples", package / "examples"):
        if (folder / "data" / "titanic" / "titanic.csv").is_file():
            return folder
    raise NotFoundError(
        "the demo's data is not installed",
        expected="the project's examples/ folder",
        hint="run scripts/demo in a clone",
    )


def _workspace(directory: Path, examples: Path) -> Path:
    directory = directory.absolute()
    if directory.exists() and any(directory.iterdir()):
        if not (directory / _MARKER).is_file():
            raise ConflictError(
                "folder is not empty and not an earlier demo's", where=directory, hint="name another folder"
            )
        shutil.rmtree(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / _MARKER).write_text("made by `provenance demo`; it is removed when the demo runs again\n")
    for folder, names in _SOURCES.items():
        (directory / folder).mkdir()
        for name in names:
            shutil.copy(examples / "data" / name, directory / folder)
    return directory


def _program() -> Path:
    return Path(sys.executable).parent / "provenance"


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - a loopback address
                return
        except OSError:
            time.sleep(0.1)
    raise VerificationError("the server did not start", where=url)


def _json(data: bytes) -> dict[str, Any]:
    value = json.loads(data)
    if not isinstance(value, dict):
        raise VerificationError("not a JSON object", got=type(value).__name__)
    return value


def _say(text: str) -> None:
    print(f"\n== {text}", flush=True)
