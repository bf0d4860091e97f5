"""The compiled contract that comes with the package; no compiler is needed to use it."""

from __future__ import annotations

import json
from importlib.resources import files

from provenance.errors import ChainError


def anchor_bytecode() -> bytes:
    """The creation code of CheckpointAnchor."""
    try:
        text = (files("provenance.chains") / "artifacts" / "CheckpointAnchor.json").read_text("utf-8")
        return bytes.fromhex(json.loads(text)["bytecode"].removeprefix("0x"))
    except (OSError, ValueError, KeyError) as error:
        raise ChainError("contract artifact is missing or damaged", hint="reinstall the package") from error
