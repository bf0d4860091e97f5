"""Lineage out of an MLflow server: its finished runs, asked for page by page, logged as declared.

Invariants: a run is imported once, whatever is changed of it later; of its person, parameters, metrics and tags nothing
is kept; the server's answer is bounded; credentials are MLflow's own environment variables and go nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from provenance.encoding import JsonValue, canonical_json, parse_json
from provenance.errors import LimitError, MalformedError, NotFoundError, SourceError
from provenance.ledger.importing import Declarer, Imported, import_bytes, known_steps
from provenance.lineage.imports import MAX_DOCUMENT_BYTES, read_document
from provenance.lineage.imports.mlflow import FORM, reduced
from provenance.statement.credentials import without_secrets

if TYPE_CHECKING:
    from provenance.ledger.ledger import Ledger

_PAGE: Final = 500
_MAX_PAGES: Final = 10_000
_MAX_EXPERIMENTS: Final = 10_000
_TIMEOUT_S: Final = "30"
_RETRIES: Final = "3"


def import_runs(
    ledger: Ledger,
    server: str,
    *,
    experiments: Sequence[str] = (),
    declared_by: str | None = None,
    namespace: str | None = None,
    key: str | None = None,
    passphrase: bytes | None = None,
) -> Iterator[Imported]:
    """Import what is new among the finished runs of an MLflow server, an `Imported` a page that had any.

    `server` is what MLflow calls a tracking URI; `experiments` are names, all of them if none is given; `namespace` is
    the server's address by default. `SourceError` if it cannot be asked, `NotFoundError` for an experiment it has not.
    """
    if without_secrets(server) != server:
        hint = "MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN"
        raise MalformedError("address of the server holds a secret", expected="it in the environment", hint=hint)
    declarer = Declarer(declared_by or FORM, namespace or _address(server), key, passphrase)
    client = _client(server)
    for page in _pages(client, server, experiments):
        if new := _only_new(ledger, page, declarer):
            # A search leaves out which models a run read, and which it made.
            runs: list[JsonValue] = [_whole(client, server, run_id) for run_id in new]
            yield import_bytes(ledger, canonical_json({"runs": runs}), FORM, declarer)


def _address(server: str) -> str:
    parts = urlsplit(server)
    return f"mlflow://{parts.netloc}" if parts.netloc else FORM


def _only_new(ledger: Ledger, page: list[JsonValue], declarer: Declarer) -> list[str]:
    """The ids of those runs that are not logged yet."""
    if not page:
        return []
    declared = read_document(canonical_json({"runs": page}), FORM)
    known = known_steps(ledger, declared, declarer)
    return [step.identity or "" for step, is_known in zip(declared.steps, known, strict=True) if not is_known]


def _whole(client: Any, server: str, run_id: str) -> JsonValue:
    with _asking(server):
        return reduced(_as_json(client.get_run(run_id)))


@contextmanager
def _asking(server: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        got = getattr(error, "error_code", None) or type(error).__name__
        raise SourceError("cannot ask the MLflow server", got=got, where=server) from None


def _pages(client: Any, server: str, experiments: Sequence[str]) -> Iterator[list[JsonValue]]:
    with _asking(server):
        ids = _experiments(client, experiments)
        token: str | None = None
        for _ in range(_MAX_PAGES):
            found = client.search_runs(
                ids,
                filter_string="attributes.status = 'FINISHED'",
                max_results=_PAGE,
                order_by=["attributes.end_time ASC"],
                page_token=token,
            )
            yield [reduced(_as_json(run)) for run in found]
            token = found.token
            if not token:
                return
    raise LimitError("server has too many runs", expected=f"at most {_MAX_PAGES * _PAGE}")


def _experiments(client: Any, names: Sequence[str]) -> list[str]:
    found: dict[str, str] = {}
    token: str | None = None
    while True:
        page = client.search_experiments(max_results=_PAGE, page_token=token)
        found |= {one.name: one.experiment_id for one in page}
        token = page.token
        if not token:
            break
        if len(found) > _MAX_EXPERIMENTS:
            raise LimitError("server has too many experiments", expected=f"at most {_MAX_EXPERIMENTS}")
    for name in names:
        if name not in found:
            raise NotFoundError("no such experiment", expected=", ".join(sorted(found)[:20]), got=name)
    return [found[name] for name in names] if names else list(found.values())


def _as_json(run: Any) -> dict[str, JsonValue]:
    """The run as `runs/search` answers with it."""
    from mlflow.utils.proto_json_utils import message_to_json

    text = message_to_json(run.to_proto())
    value = parse_json(text.encode(), what="run", max_bytes=MAX_DOCUMENT_BYTES)
    if not isinstance(value, dict):
        raise MalformedError("run is no object", expected="a JSON object")
    return value


def _client(server: str) -> Any:
    # MLflow waits 120 s and tries eight times, and reports its use to its makers, unless it is told otherwise.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", _TIMEOUT_S)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", _RETRIES)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError:
        hint = "pip install 'provenance-ledger[mlflow]'"
        raise SourceError("runs of an MLflow server need the extra mlflow", hint=hint) from None
    try:
        return MlflowClient(server)
    except MlflowException as error:
        raise MalformedError("not a tracking URI", expected="what MLflow takes", got=error.error_code) from None
