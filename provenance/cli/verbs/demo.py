"""`provenance demo`: the main job, end to end, on real data."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from provenance.cli.invocation import Invocation


def demo(
    run: Invocation,
    directory: Annotated[
        str | None, typer.Argument(metavar="DIR", help="Where to play it. Default: .demo here.")
    ] = None,
) -> int:
    """Play the main job on real data.

    It registers, anchors, verifies, hands over a bundle, and catches a changed byte.
    """
    from provenance.cli.demo import run as play

    where = Path(directory) if directory else None
    with contextlib.redirect_stdout(sys.stderr) if run.as_json else contextlib.nullcontext():
        code = play(where)
    run.document({"directory": str(where or ".demo"), "exitCode": code})
    return code
