"""An attester behind HTTP: checkpoints are cosigned once their entries were checked, and what was found is shown.

Invariants: one log's entries are checked by one thread at a time, and so many logs' at once, whatever is asked; a
request waits a bounded time, and the work goes on without it; nothing here decides whether an entry passes.

| answer of `POST /add-checkpoint` besides a witness's | when |
| --- | --- |
| 422 | an entry failed a check, or the log shows other files than it signed: `provenance.witnesses.refusal` |
| 503, Retry-After | the entries are being checked still, or the log cannot be read now: likewise |

`GET /attester` says who attests and by which policy; `GET /attestations/<origin>/<size>` is the signed attestation
that ends there, `GET /attestations?origin=` lists where they end, `GET /findings?origin=` what failed.
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from html import escape
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from provenance.encoding import JsonValue
from provenance.errors import ConflictError, NotFoundError, ProvenanceError, WitnessError
from provenance.ledger.attesting import Attester
from provenance.log.decimal import parse_decimal
from provenance.log.following import Head
from provenance.server.problems import logger
from provenance.witnesses.attested import MAX_SIZE, Finding
from provenance.witnesses.refusal import AttestationRefusedError, Refusal, RefusalKind, encode_refusal

ENVELOPE_TYPE: Final = "application/vnd.dsse.envelope.v1+json"
_MAX_JOBS: Final = 8
_RETRY_AFTER_S: Final = 5
_SHOWN_FINDINGS: Final = 20


@dataclass(slots=True)
class _Job:
    head: Head
    future: Future[None] = field(default_factory=Future)
    ended_s: float | None = None


class Attestations:
    """Checks of logs' entries that are under way. `wait_s`: how long a request waits for one; a checkpoint that was
    refused is refused again without looking for `again_s`."""

    def __init__(self, attester: Attester, *, wait_s: float = 8.0, again_s: float = 1.0) -> None:
        self.attester, self._wait_s, self._again_s = attester, wait_s, again_s
        self._guard, self._jobs = threading.Lock(), dict[str, _Job]()

    async def require(self, head: Head, seen: Head | None) -> None:
        """Return once all entries of a checkpoint were checked; `AttestationRefusedError` if they are not, and why."""
        deadline = time.monotonic() + self._wait_s
        while not await asyncio.to_thread(self.attester.state.is_attested, head.checkpoint):
            job = self._job(head, seen)
            future = asyncio.shield(asyncio.wrap_future(job.future))
            try:
                await asyncio.wait_for(future, max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                raise await asyncio.to_thread(self._under_way, head) from None
            is_own = job.head.checkpoint == head.checkpoint
            if is_own and not await asyncio.to_thread(self.attester.state.is_attested, head.checkpoint):
                what = "it has no entry that is new since this witness became an attester"
                raise AttestationRefusedError(Refusal(RefusalKind.REFUSED, "size", what))

    def _job(self, head: Head, seen: Head | None) -> _Job:
        origin, now_s = head.checkpoint.origin, time.monotonic()
        with self._guard:
            job = self._jobs.get(origin)
            if job is not None and (
                job.ended_s is None or (job.head.checkpoint == head.checkpoint and now_s - job.ended_s < self._again_s)
            ):
                return job
            if sum(one.ended_s is None for one in self._jobs.values()) >= _MAX_JOBS:
                what = f"{_MAX_JOBS} other logs are being checked"
                raise AttestationRefusedError(Refusal(RefusalKind.UNAVAILABLE, "attester", what))
            job = self._jobs[origin] = _Job(head)
        # A daemon: the process does not wait for it, and what it did not finish it has not attested.
        threading.Thread(target=self._run, args=(job, seen), name="provenance-attester", daemon=True).start()
        return job

    def _run(self, job: _Job, seen: Head | None) -> None:
        problem: AttestationRefusedError | None = None
        try:
            self.attester.attest(job.head, seen)
        except AttestationRefusedError as error:
            problem = error
        except ProvenanceError as error:
            logger.error("attester: %s", error.message)
            why = "it is stopping, or another process checked it" if _is_passing(error) else "its own state failed"
            problem = AttestationRefusedError(Refusal(RefusalKind.UNAVAILABLE, "attester", why))
        except Exception as error:  # noqa: BLE001 - the last resort: the log is told nothing of it
            logger.error("attester: unexpected error", exc_info=error)
            problem = AttestationRefusedError(Refusal(RefusalKind.UNAVAILABLE, "attester", "internal error"))
        with self._guard:
            job.ended_s = time.monotonic()
        if problem is None:
            job.future.set_result(None)
        else:
            job.future.set_exception(problem)

    def _under_way(self, head: Head) -> AttestationRefusedError:
        progress = self.attester.state.progress(head.checkpoint.origin)
        done = f"{0 if progress is None else progress.size} of {head.checkpoint.size} entries are checked"
        return AttestationRefusedError(Refusal(RefusalKind.CHECKING, "entries", done))

    def routes(self) -> list[Route]:
        """The pages of an attester."""
        state = self.attester.state

        async def attester(request: Request) -> Response:  # noqa: ARG001 what a route is given
            return JSONResponse(self.shown())

        async def attestation(request: Request) -> Response:
            origin = request.path_params["origin"]
            size = parse_decimal(request.path_params["size"], what="size", max_value=MAX_SIZE)
            found = await asyncio.to_thread(state.attestation, origin, size)
            if found is None:
                raise NotFoundError("no attestation ends there", got=f"size {size}", where=origin)
            return Response(found, media_type=ENVELOPE_TYPE)

        async def attestations(request: Request) -> Response:
            query = request.query_params
            after = parse_decimal(query.get("after", "0"), what="after", max_value=MAX_SIZE)
            sizes = await asyncio.to_thread(lambda: state.sizes(query.get("origin", ""), after=after))
            return JSONResponse({"sizes": list(sizes)})

        async def findings(request: Request) -> Response:
            origin = request.query_params.get("origin", "")
            found = await asyncio.to_thread(state.findings, origin)
            waived = await asyncio.to_thread(state.waivers, origin)
            document: dict[str, JsonValue] = {
                "findings": [_finding_json(one) for one in found],
                "waived": [{"entry": one.entry, "reason": one.reason, "time": one.time_s} for one in waived],
            }
            return JSONResponse(document)

        return [
            Route("/attester", attester),
            Route("/attestations", attestations),
            Route("/attestations/{origin:path}/{size}", attestation),
            Route("/findings", findings),
        ]

    def shown(self) -> dict[str, JsonValue]:
        """Who attests, by what, for others to verify."""
        settings = self.attester.settings
        places, public = settings.places, settings.signer.public
        return {
            "attester": settings.name,
            "keyid": public.keyid,
            "publicKey": public.pem,
            "policy": {"name": settings.policy.name, "digest": {"sha256": settings.policy.digest.hex}},
            "files": places.sample_files,
            "dataRequired": places.is_required,
        }

    def page(self, origins: list[str]) -> str:
        """The part of the page that is about attesting."""
        state, shown = self.attester.state, self.shown()
        rows = ""
        for origin in origins:
            progress = state.progress(origin)
            rows += f"<tr><td>{escape(origin)}</td><td>{0 if progress is None else progress.size}</td></tr>"
        found = [one for origin in origins for one in state.findings(origin)[:_SHOWN_FINDINGS]]
        lines = "".join(
            f"<tr><td>{escape(one.origin)}</td><td>{one.entry}</td><td>{escape(one.kind)}</td>"
            f"<td>{escape(one.reason)}</td></tr>"
            for one in found
        )
        return (
            f"<h2>Attester</h2><p>Key id: <code>{escape(str(shown['keyid']))}</code>, policy: "
            f"{escape(self.attester.settings.policy.name)}</p>"
            "<table border=1><caption>Entries that were checked</caption><thead><tr><th>log</th><th>up to</th></tr>"
            f"</thead><tbody>{rows}</tbody></table>"
            "<table border=1><caption>What was found</caption><thead><tr><th>log</th><th>entry</th><th>check</th>"
            f"<th>what is wrong</th></tr></thead><tbody>{lines}</tbody></table>"
        )


def refused(error: AttestationRefusedError) -> Response:
    """The answer to a checkpoint that is not cosigned."""
    body, media_type = encode_refusal(error.refusal), "text/plain; charset=utf-8"
    if error.refusal.kind is RefusalKind.REFUSED:
        return Response(body, 422, media_type=media_type)
    return Response(body, 503, {"Retry-After": str(_RETRY_AFTER_S)}, media_type=media_type)


def _is_passing(error: ProvenanceError) -> bool:
    return isinstance(error, WitnessError | ConflictError)


def _finding_json(finding: Finding) -> JsonValue:
    return {
        "entry": finding.entry,
        "check": finding.kind,
        "reason": finding.reason,
        "time": finding.time_s,
        "leafHash": None if finding.leaf is None else finding.leaf.hex(),
        "evidence": None if finding.evidence is None else finding.evidence.decode("utf-8", "replace"),
    }
