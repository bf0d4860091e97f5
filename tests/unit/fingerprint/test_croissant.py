"""Digests of Croissant descriptions: a real one, and what declares nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from provenance.encoding import Digest
from provenance.errors import MalformedError
from provenance.fingerprint.croissant import parse_croissant_sums
from tests.paths import SHARED

TITANIC = SHARED / "data" / "titanic"


def test_a_real_description_declares_what_its_files_are() -> None:
    found = parse_croissant_sums((TITANIC / "metadata.json").read_bytes())
    assert set(found) == {"data/titanic.csv", "data/genders.csv", "data/embarkation_ports.csv"}
    for path, digest in found.items():
        assert Digest.of((TITANIC / path).read_bytes()) == digest


def _described(*files: dict[str, Any]) -> bytes:
    return json.dumps({"distribution": [{"@type": "cr:FileObject", **one} for one in files]}).encode()


GOOD = {"contentUrl": "a.csv", "sha256": "AB" * 32}


def test_only_64_digits_of_a_file_that_lies_there_are_declared() -> None:
    others: list[dict[str, Any]] = [
        {"contentUrl": "b.csv", "sha256": "ab" * 31},
        {"contentUrl": "b.csv", "sha256": "https://example.org/"},
        {"contentUrl": "b.csv", "md5": "ab" * 16},
        {"contentUrl": "https://h.example/b.csv", "sha256": "ab" * 32},
        {"contentUrl": "b*.csv", "sha256": "ab" * 32, "@type": "cr:FileSet"},
        {"sha256": "ab" * 32},
    ]
    assert parse_croissant_sums(_described(GOOD, *others)) == {"a.csv": Digest.from_hex("ab" * 32)}
    for one in others:
        with pytest.raises(MalformedError, match="declares no digest"):
            parse_croissant_sums(_described(one))


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"{}",
        b'{"distribution": {}}',
        b"{",
        _described(GOOD, {**GOOD, "sha256": "cd" * 32}),
        _described({**GOOD, "contentUrl": "../a.csv"}),
        _described({**GOOD, "contentUrl": "/etc/passwd"}),
    ],
)
def test_what_is_no_description_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_croissant_sums(data)
