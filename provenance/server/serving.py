"""Serving: one process, one ledger, one address, until a signal.

Invariants: the ledger is opened and its log key read before the address is taken; on SIGTERM or SIGINT no new
connection is taken, requests that run are finished, the ledger is closed, and `serve` returns; the log on standard
error names methods, routes, statuses and durations, never a path, a query or a body.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from provenance.errors import MalformedError, ProvenanceError, StoreError
from provenance.ledger import Ledger
from provenance.ledger.access import AccessLog
from provenance.ledger.log_publisher import LogPublisher
from provenance.ledger.log_publishing import Published
from provenance.ledger.map_keeper import MapKeeper
from provenance.ledger.receiving import Receiver
from provenance.server.app import create_app
from provenance.server.bounds import DEFAULT_LIMITS, ServerLimits
from provenance.server.problems import logger
from provenance.server.protocol import bounded_protocol

_MAX_PORT = 65_535
_BACKLOG = 512
LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "provenance.server": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "uvicorn": {"handlers": ["stderr"], "level": "ERROR", "propagate": False},
        "uvicorn.error": {"level": "ERROR"},
        "asyncio": {"handlers": ["stderr"], "level": "ERROR", "propagate": False},
        # Its warnings quote what a client sent.
        "python_multipart": {"level": "CRITICAL"},
    },
}


@dataclass(frozen=True, slots=True)
class Receiving:
    """How lineage events are taken: under which signing key, and from whoever has one of these bearer keys (from
    anybody, if there is none)."""

    key: str | None = None
    passphrase: bytes | None = field(default=None, repr=False)
    bearer_keys: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Noting:
    """Under which signing key the access log is kept."""

    key: str | None = None
    passphrase: bytes | None = field(default=None, repr=False)


def serve(
    ledger_dir: Path,
    host: str,
    port: int,
    *,
    limits: ServerLimits = DEFAULT_LIMITS,
    receiving: Receiving | None = None,
    noting: Noting | None = None,
    publish: str | None = None,
    listening: Callable[[str], None] | None = None,
) -> None:
    """Serve the ledger in `ledger_dir` until SIGTERM or SIGINT.

    With `receiving`, lineage events are taken too; with `noting`, who asked for what is logged; with `publish`, the log
    is published to that place as it grows, and neither waits for the other. The log's map is kept up aside.

    Port 0 is a free one. `listening` is told the URL once connections are taken. `NotFoundError`, `SignerError` or
    `StoreError` if the ledger cannot be used; `StoreError` if the address cannot.
    """
    with Ledger.open(ledger_dir) as ledger:
        ledger.keyring.note_signer()
        with (
            closing(MapKeeper(ledger, tell=_tell_of_the_map)),
            _receiver(ledger, receiving) as receiver,
            _access(ledger, noting) as access,
            _published(ledger, publish),
        ):
            keys = receiving.bearer_keys if receiving is not None else ()
            app = create_app(ledger, limits=limits, receiver=receiver, bearer_keys=keys, access=access)
            run_app(app, host, port, limits=limits, listening=listening)


def run_app(
    app: ASGIApp, host: str, port: int, *, limits: ServerLimits, listening: Callable[[str], None] | None
) -> None:
    """Serve an application at an address until SIGTERM or SIGINT; `StoreError` if the address cannot be had."""
    with _listen(host, port) as address:
        config = uvicorn.Config(
            app,
            http=bounded_protocol(limits),
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=LOGGING,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=limits.max_head_bytes,
            timeout_keep_alive=limits.keep_alive_s,
            timeout_graceful_shutdown=limits.shutdown_timeout_s,
        )
        server = uvicorn.Server(config)
        with _stopped_by_signals(server):
            if listening is not None:
                listening(_url(address))
            server.run(sockets=[address])


@contextmanager
def _receiver(ledger: Ledger, receiving: Receiving | None) -> Iterator[Receiver | None]:
    if receiving is None:
        yield None
        return
    receiver = Receiver(ledger, receiving.key, receiving.passphrase)
    try:
        yield receiver
    finally:
        receiver.close()


@contextmanager
def _access(ledger: Ledger, noting: Noting | None) -> Iterator[AccessLog | None]:
    if noting is None:
        yield None
        return
    with closing(AccessLog(ledger, noting.key, noting.passphrase)) as access:
        yield access


@contextmanager
def _published(ledger: Ledger, place: str | None) -> Iterator[None]:
    if place is None:
        yield
        return
    with closing(LogPublisher(ledger, place, tell=_tell_of_publishing)):
        yield


def _tell_of_publishing(outcome: Published | ProvenanceError) -> None:
    """A line in the server's log. What a place's error says holds no credential."""
    if isinstance(outcome, Published):
        logger.info("published: size %d, %d files", outcome.size, outcome.files)
    else:
        logger.warning("publishing failed, and is tried again: %s", outcome.message)


def _tell_of_the_map(error: ProvenanceError) -> None:
    logger.warning("the log's map is not kept up, and is tried again: %s", error.message)


@contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    if not 0 <= port <= _MAX_PORT:
        raise MalformedError("not a port", expected=f"0 to {_MAX_PORT}", got=port)
    where = f"{host}:{port}"
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        address = socket.socket(family, kind, protocol)
        try:
            address.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            address.bind(target)
            address.listen(_BACKLOG)
        except BaseException:
            address.close()
            raise
    except (OSError, UnicodeError) as error:
        got = error.strerror if isinstance(error, OSError) and error.strerror else error
        hint = "choose another --port, or another --host"
        raise StoreError("cannot listen at this address", got=got, where=where, hint=hint) from error
    with address:
        yield address


def _url(address: socket.socket) -> str:
    host, port = address.getsockname()[:2]
    return f"http://[{host}]:{port}" if address.family == socket.AF_INET6 else f"http://{host}:{port}"


@contextmanager
def _stopped_by_signals(server: uvicorn.Server) -> Iterator[None]:
    # The server library shuts down on these signals and then raises them again for whoever had them before. That is
    # this function, so that the ledger is closed and the caller goes on; one that comes before the library is ready
    # stops it as well.
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:  # noqa: ARG001 what a handler is given
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
