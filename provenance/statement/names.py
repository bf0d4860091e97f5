"""Names of datasets and references to them.

Invariants: a name is `namespace/name`, a pinned name `namespace/name@version`; both are ASCII and mean the same on
every file system and in every URL; a digest prefix has no slash and at least 8 hex digits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from provenance.errors import MalformedError
from provenance.limits import MAX_NAME_CHARS, MAX_NAMESPACE_CHARS, MAX_VERSION_CHARS, check_size

_PART = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._+-]*[A-Za-z0-9])?")
_PREFIX = re.compile(r"[0-9a-f]{8,64}")
_FORM = "namespace/name, of a-z 0-9 . _ - each"


@dataclass(frozen=True, slots=True, order=True)
class DatasetName:
    """`namespace/name`."""

    namespace: str
    name: str

    def __post_init__(self) -> None:
        check_size("namespace", len(self.namespace), MAX_NAMESPACE_CHARS, "characters")
        check_size("name", len(self.name), MAX_NAME_CHARS, "characters")
        if not _PART.fullmatch(self.namespace) or not _PART.fullmatch(self.name):
            raise MalformedError("not a dataset name", expected=_FORM, got=self)

    @classmethod
    def parse(cls, text: str) -> DatasetName:
        """The name written as `namespace/name`."""
        namespace, slash, name = text.partition("/")
        if not slash:
            raise MalformedError("not a dataset name", expected=_FORM, got=text)
        return cls(namespace, name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class PinnedName:
    """`namespace/name@version`: one version of one dataset."""

    dataset: DatasetName
    version: str

    def __post_init__(self) -> None:
        check_size("version", len(self.version), MAX_VERSION_CHARS, "characters")
        if not _VERSION.fullmatch(self.version):
            raise MalformedError("not a version", expected="letters, digits and . _ + - between them", got=self.version)

    @classmethod
    def parse(cls, text: str) -> PinnedName:
        """The name written as `namespace/name@version`."""
        name, at, version = text.partition("@")
        if not at:
            raise MalformedError("name has no version", expected="namespace/name@version", got=text)
        return cls(DatasetName.parse(name), version)

    def __str__(self) -> str:
        return f"{self.dataset}@{self.version}"


@dataclass(frozen=True, slots=True)
class DigestPrefix:
    """The first 8 to 64 lower-case hex digits of a digest."""

    hex: str

    def __str__(self) -> str:
        return self.hex


Reference = DatasetName | PinnedName | DigestPrefix


def parse_reference(text: str) -> Reference:
    """What a REF names: `ns/name` (its latest version), `ns/name@version`, or a digest prefix."""
    if _PREFIX.fullmatch(text):
        return DigestPrefix(text)
    if "/" not in text:
        raise MalformedError("not a reference", expected="ns/name, ns/name@version or 8 to 64 hex digits", got=text)
    return PinnedName.parse(text) if "@" in text else DatasetName.parse(text)
