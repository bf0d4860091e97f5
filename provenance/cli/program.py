"""The program: arguments in, exit code out.

Invariants: `run` never raises; a failure is an `error:` line and its details on stderr, or one document on stdout
with `--json`; output that cannot be shown in the terminal's encoding is escaped, never fatal.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Final, TextIO

import typer

from provenance.cli.exits import INTERRUPTED, READER_GONE, USAGE, Failure, failure_of
from provenance.cli.invocation import Invocation
from provenance.cli.screen import complain

NAME: Final = "provenance"
# typer does not export its usage errors, and where they are has changed; what it exports derives from them.
_USAGE_ERROR: Final[type[BaseException]] = typer.BadParameter.__mro__[1]
_MAX_USAGE_CHARS = 300


def run(arguments: Sequence[str]) -> int:
    """Run one verb and return the exit code."""
    invocation = Invocation()
    try:
        _tolerate_terminal()
        code = _dispatch(arguments, invocation)
        if code == INTERRUPTED:
            _report(_INTERRUPTED, invocation, arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        code = READER_GONE
    except SystemExit as stop:  # shell completion ends this way, and typer when the reader of its help went away
        code = stop.code if isinstance(stop.code, int) else 0
        if isinstance(stop.__context__, BrokenPipeError):
            code = READER_GONE
    except (KeyboardInterrupt, typer.Abort):
        _report(_INTERRUPTED, invocation, arguments)
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback for a user
        if os.environ.get("PROVENANCE_DEBUG") == "1":
            traceback.print_exc()
        failure = _usage(error) if isinstance(error, _USAGE_ERROR) else failure_of(error)
        _report(failure, invocation, arguments)
        code = failure.code
    if code == READER_GONE:
        _discard_output()
    return code


_INTERRUPTED = Failure("interrupted", INTERRUPTED, "interrupted")


def _dispatch(arguments: Sequence[str], invocation: Invocation) -> int:
    from provenance.cli.application import app

    # A newcomer types the bare name.
    code = app(list(arguments) or ["--help"], prog_name=NAME, standalone_mode=False, obj=invocation)
    return code if isinstance(code, int) else 0


def _report(failure: Failure, invocation: Invocation, arguments: Sequence[str]) -> None:
    try:
        if (invocation.as_json or "--json" in arguments) and not invocation.printed:
            invocation.use_json()
            invocation.document(failure.to_json())
        else:
            sys.stdout.flush()
            complain(failure.what, failure.details)
    except BrokenPipeError:
        _discard_output()
    except OSError:  # standard output takes nothing more: what is left in its buffer must not be tried again at exit
        _discard(sys.stdout)
        complain(failure.what, failure.details)


def _usage(error: BaseException) -> Failure:
    """A usage error of the argument parser in this program's words."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    what = " ".join(message.split()).rstrip(".")
    if len(what) > _MAX_USAGE_CHARS:
        what = f"{what[:_MAX_USAGE_CHARS]}..."
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else NAME
    hint = f"see `{path} --help`"
    if "--ledger" in what and path != NAME:
        hint = f"it goes before the verb: `{NAME} --ledger DIR {path.removeprefix(NAME).strip()} ...`"
    return Failure("usage", USAGE, what[:1].lower() + what[1:], hint=hint)


def _tolerate_terminal() -> None:
    """Streams that exist and take any text. A closed one is replaced first, so that no file of ours gets its number."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - lives as long as we do
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Let the interpreter's last flush go nowhere, without a word."""
    for stream in (sys.stdout, sys.stderr):
        _discard(stream)


def _discard(stream: TextIO) -> None:
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):
        return
