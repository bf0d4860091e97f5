"""A witness behind HTTP (c2sp.org/tlog-witness): `POST /add-checkpoint`, and pages of what it has seen.

Invariants: 200 is answered only once what was seen is durable; 409 states the size that was seen last, as
`text/x.tlog.size`; every log has its own bound of requests in a time, so that none keeps another from being witnessed.

| answer | when |
| --- | --- |
| 200 | cosignature lines |
| 400 | the request makes no sense |
| 403 | no key of the log signed the checkpoint |
| 404 | the log is not watched |
| 409 | another size was cosigned last, or the same with another root |
| 422 | the proof does not hold; of an attester (`provenance.server.attester`), or an entry |
| 429 | too many requests for this log: Retry-After |
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from html import escape
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from provenance.encoding import JsonValue, b64encode
from provenance.errors import LimitError
from provenance.log import Checkpoint, WitnessSigner, encode_vkey
from provenance.log.add_checkpoint import MAX_REQUEST_BYTES, SIZE_TYPE, AddCheckpoint, parse_add_checkpoint
from provenance.log.following import Head
from provenance.server.attester import Attestations, refused
from provenance.server.bounds import DEFAULT_LIMITS, ServerLimits
from provenance.server.gate import Gate
from provenance.server.problems import on_http_error
from provenance.server.serving import run_app
from provenance.witnesses.refusal import AttestationRefusedError, Refusal, RefusalKind
from provenance.witnesses.state import NotAttestedError, Seen, SizeConflictError, WitnessState

_BURST: Final = 30.0
_A_SECOND: Final = 5.0


class _Buckets:
    """So many requests at once and so many a second, for each log."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, origin: str) -> bool:
        """Whether one more is allowed now."""
        now = self._clock()
        left, since = self._left.get(origin, (_BURST, now))
        left = min(_BURST, left + (now - since) * _A_SECOND)
        self._left[origin] = (left - 1 if left >= 1 else left, now)
        return left >= 1


def witness_app(
    state: WitnessState,
    cosigner: WitnessSigner,
    *,
    attestations: Attestations | None = None,
    limits: ServerLimits = DEFAULT_LIMITS,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """The application of a witness over `state`, which stays the caller's to close; with `attestations` of one that
    checks entries before it cosigns."""
    buckets = _Buckets(time.monotonic)

    async def add_checkpoint(request: Request) -> Response:
        body = await _body(request)
        asked = parse_add_checkpoint(body)
        # Of a log's share only that is taken which its own key signed.
        checkpoint = await asyncio.to_thread(state.opened, asked)
        origin = checkpoint.origin
        if not buckets.take(origin):
            return PlainTextResponse("too many requests for this log\n", 429, {"Retry-After": "1"})
        try:
            if attestations is not None:
                await _attested(attestations, asked, checkpoint, await asyncio.to_thread(state.last, origin))
            lines = await asyncio.to_thread(
                lambda: state.cosign(asked, cosigner, int(clock()), only_attested=attestations is not None)
            )
        except SizeConflictError as error:
            return Response(f"{error.size}\n", 409, {"Content-Type": SIZE_TYPE})
        except AttestationRefusedError as error:
            return refused(error)
        except NotAttestedError as error:
            return refused(AttestationRefusedError(Refusal(RefusalKind.CHECKING, "entries", error.what)))
        return Response(lines, media_type="text/plain; charset=utf-8")

    async def page(request: Request) -> Response:  # noqa: ARG001 what a route is given
        return HTMLResponse(await asyncio.to_thread(lambda: _page(cosigner, state.logs(), attestations)))

    async def logs(request: Request) -> Response:  # noqa: ARG001 what a route is given
        seen = await asyncio.to_thread(state.logs)
        vkeys = [encode_vkey(verifier) for verifier in cosigner.verifiers]
        return JSONResponse({"witness": vkeys[0], "keys": vkeys, "logs": [_shown(one) for one in seen]})

    async def evidence(request: Request) -> Response:
        pairs = await asyncio.to_thread(state.evidence, request.query_params.get("origin", ""))
        shown = [[first.decode("utf-8"), second.decode("utf-8")] for first, second in pairs]
        return JSONResponse({"forks": shown})

    app = Starlette(
        routes=[
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/", page),
            Route("/logs", logs),
            Route("/evidence", evidence),
            *(attestations.routes() if attestations is not None else ()),
        ],
        exception_handlers={HTTPException: on_http_error},
    )
    app.add_middleware(Gate, limits=limits)
    return app


def serve_witness(
    state: WitnessState,
    cosigner: WitnessSigner,
    host: str,
    port: int,
    *,
    attestations: Attestations | None = None,
    listening: Callable[[str], None] | None = None,
) -> None:
    """Serve a witness until SIGTERM or SIGINT."""
    app = witness_app(state, cosigner, attestations=attestations)
    run_app(app, host, port, limits=DEFAULT_LIMITS, listening=listening)


async def _attested(attestations: Attestations, asked: AddCheckpoint, checkpoint: Checkpoint, seen: Seen) -> None:
    """Return once the entries were checked, or where a witness refuses whatever is in them."""
    is_next = asked.old == seen.size and seen.size <= checkpoint.size
    if not checkpoint.size or not is_next or (seen.size == checkpoint.size and seen.root != checkpoint.root):
        return
    before = Head(seen.note, Checkpoint(seen.origin, seen.size, seen.root)) if seen.note is not None else None
    await attestations.require(Head(asked.note, checkpoint), before)


async def _body(request: Request) -> bytes:
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_REQUEST_BYTES:
            raise LimitError("request is too large", expected=f"at most {MAX_REQUEST_BYTES} bytes")
    return data


def _shown(seen: Seen) -> dict[str, JsonValue]:
    return {
        "origin": seen.origin,
        "keys": list(seen.vkeys),
        "size": seen.size,
        "root": b64encode(seen.root) if seen.root else None,
        "time": seen.time_s,
        "forks": seen.evidence,
    }


def _page(cosigner: WitnessSigner, logs: tuple[Seen, ...], attestations: Attestations | None) -> str:
    rows = "".join(
        f"<tr><td>{escape(one.origin)}</td><td>{one.size}</td><td>{escape(b64encode(one.root))}</td>"
        f"<td>{_time(one.time_s)}</td><td>{one.evidence or 'none'}</td></tr>"
        for one in logs
    )
    keys = "".join(
        f'<p>Verifier key: <code style="overflow-wrap:anywhere">{escape(encode_vkey(verifier))}</code></p>'
        for verifier in cosigner.verifiers
    )
    attested = attestations.page([one.origin for one in logs]) if attestations is not None else ""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Witness</title>'
        f"<h1>{escape(cosigner.name)}</h1>{keys}"
        "<table border=1><caption>What this witness saw last of each log</caption><thead><tr><th>log</th><th>size</th>"
        f"<th>root</th><th>time</th><th>forks seen</th></tr></thead><tbody>{rows}</tbody></table>{attested}</html>\n"
    )


def _time(time_s: int | None) -> str:
    return "never" if time_s is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_s))
