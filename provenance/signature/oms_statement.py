"""The payload of an OMS bundle: an in-toto statement that lists every file (OpenSSF Model Signing v1.0, 5 and 6).

Invariants: one subject; its SHA-256 is over the concatenated raw digests of the listed files, in the listed order, so
it leaves names out; a name is a relative POSIX path in normal form and occurs once. What is written here lists files
by the code points of their names (6.4), whole files under SHA-256, and never what OMS excludes (6.2): `.git`,
`.gitattributes`, `.github`, `.gitignore` at the top of the folder, and `ignore_paths`.

    {"_type":"https://in-toto.io/Statement/v1","predicate":{"resources":[{"algorithm":"sha256","digest":"<64 hex>",
    "name":"data/train.csv"}],"serialization":{"allow_symlinks":false,"hash_type":"sha256","ignore_paths":[".git",
    ".gitattributes",".github",".gitignore"],"method":"files"}},"predicateType":"https://model_signing/signature/v1.0",
    "subject":[{"digest":{"sha256":"<64 hex>"},"name":"titanic"}]}
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from provenance.encoding import Digest, Fields, JsonValue, canonical_json, parse_json
from provenance.errors import MalformedError, SignerError, VerificationError
from provenance.limits import MAX_FILES, MAX_OMS_BYTES, MAX_PATH_BYTES, MAX_TEXT_CHARS, check_size

OMS_STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
OMS_PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
OMS_DEFAULT_IGNORES: Final = (".git", ".gitattributes", ".github", ".gitignore")
SINGLE_FILE_NAME: Final = "."
"""What model-signing names the only resource when it is given a file instead of a folder."""

_MAX_IGNORES: Final = 10_000
_MAX_DIGESTS: Final = 32
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class OmsResource:
    """One file: its path inside the dataset and the SHA-256 of its bytes."""

    name: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class OmsStatement:
    """A parsed OMS payload. `verify_oms_statement` says whether it agrees with itself."""

    name: str
    subject_digest: Digest
    resources: tuple[OmsResource, ...]
    ignore_paths: tuple[str, ...]
    allow_symlinks: bool

    @property
    def files(self) -> tuple[OmsResource, ...]:
        """The resources, where a lone `.` (model-signing's single file) bears the subject's name."""
        if [r.name for r in self.resources] == [SINGLE_FILE_NAME]:
            return (OmsResource(self.name, self.resources[0].digest),)
        return self.resources


def oms_payload(
    name: str, resources: Iterable[OmsResource], *, ignore_paths: Sequence[str] = (), allow_symlinks: bool = False
) -> bytes:
    """The payload that lists `resources`, less those OMS excludes; canonical JSON, the same for the same files.

    `name`: the folder's or file's base name. `ignore_paths`: relative paths inside the folder that a verifier shall
    pass over as well. `SignerError` if nothing is left to list; `MalformedError` for a name or path that OMS forbids.
    """
    ignored = (*OMS_DEFAULT_IGNORES, *ignore_paths)
    for path in ignore_paths:
        _check_ignore_path(path)
    listed = sorted((r for r in resources if not _is_under(r.name, ignored)), key=lambda r: r.name)
    if not listed:
        hint = "OMS lists files; this dataset has none outside .git, .gitattributes, .github and .gitignore"
        raise SignerError("dataset has no file that OMS can list", expected="at least one file", hint=hint)
    _check_names([r.name for r in listed])
    check_size("OMS subject name", len(name), MAX_TEXT_CHARS, "characters")
    if not name:
        raise MalformedError("OMS subject name is empty", expected="the base name of the dataset's folder or file")
    rows: list[JsonValue] = [{"algorithm": "sha256", "digest": r.digest.hex, "name": r.name} for r in listed]
    return canonical_json(
        {
            "_type": OMS_STATEMENT_TYPE,
            "predicateType": OMS_PREDICATE_TYPE,
            "predicate": {
                "resources": rows,
                "serialization": {
                    "allow_symlinks": allow_symlinks,
                    "hash_type": "sha256",
                    "ignore_paths": sorted(set(ignored)),
                    "method": "files",
                },
            },
            "subject": [{"digest": {"sha256": oms_subject_digest(listed).hex}, "name": name}],
        }
    )


def oms_subject_digest(resources: Iterable[OmsResource]) -> Digest:
    """SHA-256 over the raw digests in the order given (OMS 6.5.1); names do not enter it."""
    hasher = hashlib.sha256()
    for resource in resources:
        hasher.update(resource.digest.raw)
    return Digest(hasher.digest())


def parse_oms_payload(payload: bytes) -> OmsStatement:
    """The statement of an OMS payload. `MalformedError` for other types, predicates, hash types and unknown fields."""
    fields = Fields(parse_json(payload, what="OMS statement", max_bytes=MAX_OMS_BYTES), "OMS statement")
    fields.constant("_type", OMS_STATEMENT_TYPE)
    fields.constant("predicateType", OMS_PREDICATE_TYPE)
    name, subject_digest = _parse_subject(fields.array("subject", max_items=MAX_FILES))
    predicate = fields.object("predicate")
    fields.end()
    ignore_paths, allow_symlinks = _parse_serialization(predicate.object("serialization"))
    rows = predicate.array("resources", max_items=MAX_FILES)
    predicate.end()
    resources = tuple(_parse_resource(row, f"OMS resource {index}") for index, row in enumerate(rows))
    if not resources:
        raise MalformedError("OMS statement lists no file", expected="at least one resource")
    _check_names([r.name for r in resources])
    return OmsStatement(name, subject_digest, resources, ignore_paths, allow_symlinks)


def verify_oms_statement(statement: OmsStatement) -> None:
    """`VerificationError` unless the subject's digest is that of the listed resources."""
    found = oms_subject_digest(statement.resources)
    if found != statement.subject_digest:
        what = "OMS subject digest is not that of the listed files"
        raise VerificationError(what, expected=statement.subject_digest, got=found)


def _parse_subject(subjects: list[JsonValue]) -> tuple[str, Digest]:
    if len(subjects) != 1:
        raise MalformedError(
            "OMS statement has the wrong number of subjects", expected="exactly one", got=len(subjects)
        )
    subject = Fields(subjects[0], "OMS subject")
    digests = subject.value("digest")
    if not isinstance(digests, dict) or len(digests) > _MAX_DIGESTS:
        raise MalformedError("OMS subject digest is not a digest set", expected="an object that holds sha256")
    for algorithm, value in digests.items():
        if not isinstance(value, str) or not _HEX.fullmatch(value):
            raise MalformedError("OMS subject digest is not hex", expected="lower-case hex digits", where=algorithm)
    return subject.string("name"), Digest.from_hex(digests.get("sha256"), what="OMS subject digest sha256")


def _parse_serialization(fields: Fields) -> tuple[tuple[str, ...], bool]:
    fields.constant("method", "files")
    fields.constant("hash_type", "sha256")
    allow_symlinks = fields.boolean("allow_symlinks")
    paths: list[str] = []
    if fields.has("ignore_paths"):
        for path in fields.array("ignore_paths", max_items=_MAX_IGNORES):
            if not isinstance(path, str) or not 0 < len(path) <= MAX_PATH_BYTES:
                raise MalformedError("OMS ignore path is not a path", expected="a string that is not empty", got=path)
            paths.append(path)
    fields.end()
    return tuple(paths), allow_symlinks


def _parse_resource(row: JsonValue, what: str) -> OmsResource:
    fields = Fields(row, what)
    name = fields.string("name", max_chars=MAX_PATH_BYTES)
    fields.constant("algorithm", "sha256")
    return OmsResource(name, fields.digest("digest"))


def _check_names(names: list[str]) -> None:
    if names == [SINGLE_FILE_NAME]:
        return
    for name in names:
        _check_path(name, "OMS resource name")
    if len(set(names)) != len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise MalformedError("OMS statement lists a file twice", expected="every name once", got=twice)


def _check_ignore_path(path: str) -> None:
    _check_path(path, "OMS ignore path")
    if any(character in path for character in "*?["):
        raise MalformedError("OMS ignore path is a pattern", expected="one path without *, ? or [", got=path)


def _check_path(path: str, what: str) -> None:
    check_size(what, len(path.encode("utf-8", "surrogatepass")), MAX_PATH_BYTES)
    if "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        expected = "a relative POSIX path without empty parts, . or .."
        raise MalformedError(f"{what} is not in normal form", expected=expected, got=path)


def _is_under(name: str, folders: Sequence[str]) -> bool:
    return any(name == folder or name.startswith(f"{folder}/") for folder in folders)
