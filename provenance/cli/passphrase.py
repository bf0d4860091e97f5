"""Passphrases: from a file, from PROVENANCE_PASSPHRASE, or typed; never from an argument.

Invariants: a passphrase is in no message and no argument list; the terminal is asked only if stdin is one; a key that
is not encrypted is never asked for.
"""

from __future__ import annotations

import os
import sys
from getpass import getpass
from typing import TYPE_CHECKING, Final

from provenance.cli.files import read_file
from provenance.errors import MalformedError, SignerError

if TYPE_CHECKING:
    from provenance.ledger.keyring import Keyring

VARIABLE: Final = "PROVENANCE_PASSPHRASE"
_MAX_FILE_BYTES = 4_096
_HINT = f"set {VARIABLE}, or use --passphrase-file FILE, or run it in a terminal"


def given_passphrase(file: str | None) -> bytes | None:
    """The passphrase in `file` (without one newline at its end), else in the environment, else None."""
    if file is not None:
        data = read_file(file, "passphrase file", max_bytes=_MAX_FILE_BYTES)
        passphrase = data.removesuffix(b"\n").removesuffix(b"\r")
        if not passphrase:
            raise MalformedError("passphrase file is empty", expected="one line", where=file)
        return passphrase
    return os.environb.get(VARIABLE.encode()) or None


def new_passphrase(file: str | None, *, ask: bool) -> bytes | None:
    """The passphrase for a key about to be made; None for a key that is not encrypted. Typed twice if asked for."""
    passphrase = given_passphrase(file)
    if passphrase is not None or not ask:
        return passphrase
    passphrase = _typed("new passphrase: ")
    if _typed("the same again: ") != passphrase:
        raise MalformedError("the two passphrases differ", hint="try again; nothing was made")
    return passphrase


def passphrase_for(keyring: Keyring, name: str | None, file: str | None) -> bytes | None:
    """The passphrase of the key `name` (of the only key, without a name); None if it is not encrypted."""
    if file is not None:
        return given_passphrase(file)
    if name is None:
        keys = keyring.list()
        if len(keys) != 1:
            return None  # signing says which keys there are
        key = keys[0]
    else:
        key = keyring.show(name)
    return unlock(key.name) if key.encrypted else None


def unlock(name: str, file: str | None = None) -> bytes:
    """The passphrase of an encrypted key, from wherever it can be had."""
    return given_passphrase(file) or _typed(f"passphrase of {name}: ")


def _typed(prompt: str) -> bytes:
    if sys.stdin is None or not sys.stdin.isatty():
        raise SignerError("the key needs a passphrase", expected="a passphrase", got="none", hint=_HINT)
    passphrase = getpass(prompt, stream=sys.stderr)
    if not passphrase:
        raise SignerError("passphrase is empty", hint=_HINT)
    return passphrase.encode("utf-8", "surrogateescape")
