"""Batches of decisions: a journal becomes a dataset of records that is signed and logged.

Invariants: a journal is removed only when every decision in it is in the log; one of which some cannot be read, that
differs from what was logged of it before, or that says it is another model's, is kept under a name that is not tried
again, and `kept_journals` lists it; of another model's nothing is logged; a row keeps its number whatever was damaged
before it; everything is synced before it is logged, and not written again afterwards; files are 0600.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provenance.errors import MalformedError, NotFoundError, SourceError, StoreError
from provenance.ledger.decision_folders import KEPT
from provenance.ledger.decision_journal import Decided, read_journal, version_of
from provenance.ledger.fingerprinting import Wanted, find_fingerprint
from provenance.ledger.layout import sync_folder
from provenance.ledger.receipts import Receipt

if TYPE_CHECKING:
    import pyarrow as pa

    from provenance.ledger.ledger import Ledger

SALT_BYTES: Final = 16
_TABLE: Final = "decisions.arrow"
_WANTED: Final = Wanted(records=True)


def log_journal(
    ledger: Ledger, name: str, model: str, path: Path, key: str | None, passphrase: bytes | None
) -> Receipt | None:
    """Make a dataset of a journal's decisions, register it, and remove the journal; None if that added nothing.

    The caller holds the journal's claim. Safe to repeat: what was cut off after the entry was logged finds that entry.
    A decision that cannot be read is a row of nulls, and the journal is then kept; so is one of another model.
    """
    if not path.exists():  # another recorder of this model logged it
        return None
    noted, receipt, pin = read_journal(path), None, ledger.pin(model)
    batch, reference = path.parent / version_of(path), f"{name}@{version_of(path)}"
    is_logged = noted.model in (None, pin.envelope)
    try:
        if is_logged and noted.damaged < len(noted.rows):
            table = _table(noted.rows, pin.digest.raw)
            if _is_registered(ledger, reference):  # and is not written again: what is in the log stays as it is
                receipt, is_logged = ledger.receipt(reference), _is_batch(ledger, reference, batch, table)
            else:
                _write_batch(batch, table, noted.rows)
                receipt = ledger.register(
                    batch,
                    name,
                    version_of(path),
                    parents=[model],
                    key=key,
                    passphrase=passphrase,
                    anchor=False,
                    wanted=_WANTED,
                )
        if noted.is_whole and is_logged:
            path.unlink(missing_ok=True)
        else:
            path.rename(path.with_name(path.name + KEPT))
            sync_folder(path.parent)
    except OSError as error:
        raise StoreError("cannot log the decisions", got=error.strerror, where=path) from error
    return receipt


def _is_registered(ledger: Ledger, reference: str) -> bool:
    try:
        ledger.pin(reference)
    except NotFoundError:
        return False
    return True


def _is_batch(ledger: Ledger, reference: str, batch: Path, table: pa.Table) -> bool:
    """Whether a batch in the log is of these decisions, by the bytes that are kept of it."""
    import pyarrow as pa

    try:
        if find_fingerprint(batch, _WANTED).fingerprint.digest != ledger.pin(reference).digest:
            return False
        with pa.OSFile(str(batch / _TABLE)) as file, pa.ipc.open_file(file) as reader:
            return bool(reader.read_all().equals(table))
    except (MalformedError, SourceError):  # nothing is kept of it, or nothing that can be read
        return False


def _table(rows: Sequence[Decided | None], model: bytes) -> pa.Table:
    import pyarrow as pa

    return pa.table(
        {
            "time": pa.array([one and one.time_us for one in rows], pa.timestamp("us", "UTC")),
            "model": pa.array([one and model for one in rows], pa.binary()),
            "input": pa.array([one and one.input for one in rows], pa.binary()),
            "output": pa.array([one and one.output for one in rows], pa.binary()),
            "explanation": pa.array([one and one.explanation for one in rows], pa.binary()),
        }
    )


def _write_batch(batch: Path, table: pa.Table, rows: Sequence[Decided | None]) -> None:
    import pyarrow as pa

    batch.mkdir(exist_ok=True, mode=0o700)
    _write(batch.with_name(f"{batch.name}.salts"), b"".join(one.salt if one else bytes(SALT_BYTES) for one in rows))
    with pa.BufferOutputStream() as sink:
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        _write(batch / _TABLE, sink.getvalue())
    for folder in (batch, batch.parent):
        sync_folder(folder)


def _write(path: Path, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
