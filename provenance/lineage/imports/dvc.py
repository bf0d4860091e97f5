"""DVC's files: `dvc.lock` (what each stage read and wrote) and `*.dvc` (one tracked file or folder, or an import).

Invariants: MD5 is what DVC hashes with, and is carried as DVC's fact, never as a digest of ours; a path is as the file
has it; parameters stay in the document, and so does a command that seems to hold a secret.

Source: DVC documentation, `dvc.lock` schema 2.0 and `.dvc` files.
"""

from __future__ import annotations

from typing import Final

from provenance.encoding import JsonValue
from provenance.encoding.yaml import parse_yaml
from provenance.errors import MalformedError
from provenance.lineage.imports.declared import (
    MAX_NAME_CHARS,
    Declared,
    DeclaredDataset,
    DeclaredStep,
    objects,
    text_of,
)
from provenance.statement.credentials import find_secret_word
from provenance.statement.run import check_words

FORM: Final = "dvc"
_WITHHELD: Final = "withheld: it seems to hold a secret"
_MAX_BYTES: Final = 16 * 2**20
_HASHES: Final = ("md5", "etag", "checksum", "sha256", "version_id")


def read_dvc(data: bytes) -> Declared:
    """The stages or the tracked data that a file declares."""
    value = _parse(data)
    if "stages" in value or "schema" in value:
        stages = value.get("stages") or {}
        if not isinstance(stages, dict):
            raise MalformedError("stages are no mapping", expected="a dvc.lock", where="stages")
        return Declared(FORM, tuple(_stage(str(name), stage) for name, stage in sorted(stages.items())))
    outputs = _datasets(value.get("outs"), "outs")
    inputs = _datasets(value.get("deps"), "deps")
    if not outputs:
        raise MalformedError("not a DVC file", expected="stages, as in dvc.lock, or outs, as in a .dvc file")
    if inputs:
        return Declared(
            FORM,
            (DeclaredStep(f"import {outputs[0].name}"[:MAX_NAME_CHARS], inputs, outputs, {"command": "dvc import"}),),
        )
    return Declared(FORM, (), outputs)


def _parse(data: bytes) -> dict[str, JsonValue]:
    value = parse_yaml(data, what="DVC file", max_bytes=_MAX_BYTES)
    if not isinstance(value, dict):
        raise MalformedError("not a DVC file", expected="a mapping", got=type(value).__name__)
    return {str(name): one for name, one in value.items()}


def _stage(name: str, stage: JsonValue) -> DeclaredStep:
    if not isinstance(stage, dict):
        raise MalformedError("stage is no mapping", expected="cmd, deps, outs", where=f"stages.{name}")
    where = f"stages.{name}"
    command = stage.get("cmd")
    words = command if isinstance(command, str) else "; ".join(map(str, command)) if isinstance(command, list) else None
    inputs, outputs = _datasets(stage.get("deps"), f"{where}.deps"), _datasets(stage.get("outs"), f"{where}.outs")
    return DeclaredStep(name, inputs, outputs, {"command": _withheld(words)})


def _withheld(command: str | None) -> str | None:
    """The command, unless it seems to hold a secret, in its words or between its quotes, or is no text."""
    if command is None:
        return None
    try:
        check_words(command.split())
    except MalformedError:
        return _WITHHELD
    return command if find_secret_word([command]) is None else _WITHHELD


def _datasets(value: JsonValue, where: str) -> tuple[DeclaredDataset, ...]:
    return tuple(_dataset(one, where) for one in objects(value, where))


def _dataset(one: dict[str, JsonValue], where: str) -> DeclaredDataset:
    path = text_of(one.get("path"))
    if path is None:
        raise MalformedError("entry has no path", expected="path", where=where)
    digests = {name: text for name in _HASHES if (text := text_of(one.get(name))) is not None}
    repository = one.get("repo")
    if isinstance(repository, dict):
        url, locked = text_of(repository.get("url")), text_of(repository.get("rev_lock"))
        if url is not None:
            path = f"{url.rstrip('/')}#{path}"
        if locked is not None:
            digests["gitcommit"] = locked
    return DeclaredDataset(path, digests)
