"""Every case of the transparency-dev vectors, with the verdict it names."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from provenance.errors import ProvenanceError
from provenance.merkle import verify_consistency, verify_inclusion
from tests.paths import SHARED, vectors

FOLDER = SHARED / "vectors" / "rfc9162"
INCLUSION = sorted(FOLDER.glob("inclusion/**/*.json"))
CONSISTENCY = sorted(FOLDER.glob("consistency/**/*.json"))
INCLUSION_CASES, CONSISTENCY_CASES = 98, 98


def _name(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


def _hashes(case: dict[str, list[str] | None]) -> list[bytes]:
    return [base64.b64decode(text) for text in case["proof"] or []]


def test_vectors_are_all_there() -> None:
    vectors("rfc9162")
    assert (len(INCLUSION), len(CONSISTENCY)) == (INCLUSION_CASES, CONSISTENCY_CASES)


@pytest.mark.parametrize("path", INCLUSION, ids=_name)
def test_inclusion(path: Path) -> None:
    case = json.loads(path.read_text())
    leaf, root = base64.b64decode(case["leafHash"] or ""), base64.b64decode(case["root"] or "")
    if case["wantErr"]:
        with pytest.raises(ProvenanceError):
            verify_inclusion(leaf, case["leafIdx"], case["treeSize"], _hashes(case), root)
    else:
        verify_inclusion(leaf, case["leafIdx"], case["treeSize"], _hashes(case), root)


@pytest.mark.parametrize("path", CONSISTENCY, ids=_name)
def test_consistency(path: Path) -> None:
    case = json.loads(path.read_text())
    root1, root2 = base64.b64decode(case["root1"] or ""), base64.b64decode(case["root2"] or "")
    if case["wantErr"]:
        with pytest.raises(ProvenanceError):
            verify_consistency(case["size1"], case["size2"], root1, root2, _hashes(case))
    else:
        verify_consistency(case["size1"], case["size2"], root1, root2, _hashes(case))
