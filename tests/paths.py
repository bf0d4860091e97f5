"""Where the shared vectors and datasets lie. A missing folder fails the test that asked for it; it never skips."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
SHARED = PROJECT.parent / "shared"


def vectors(name: str) -> Path:
    """The folder of other people's vectors `name`; AssertionError if it is not there or empty."""
    folder = SHARED / "vectors" / name
    assert folder.is_dir() and any(folder.iterdir()), f"vectors not found: {folder}"
    return folder


def data(name: str) -> Path:
    """The folder of the real dataset `name`; AssertionError if it is not there."""
    folder = SHARED / "data" / name
    assert folder.is_dir(), f"data not found: {folder}"
    return folder
