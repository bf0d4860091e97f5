"""Whether all is at hand that the log holds about a lineage: what was said of its statements, and of the keys that
signed.

Rules: by the answers of the log's map that the evidence carries (`provenance.log.map`), each verified with the log's
own keys; every entry that an answer lists must be in the evidence, proven at that very place. What was logged after the
size that an answer is of, is nobody's promise. Evidence without answers has no such check: there, that nothing was left
out is not proven.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from provenance.encoding import Digest
from provenance.errors import ProvenanceError
from provenance.log.map import KeyKind, Listed, MapAnswer, MapKey, head_origin, verify_answer
from provenance.policy import Status
from provenance.verify.entry_checks import EntryVerifier
from provenance.verify.evidence import Evidence
from provenance.verify.report import Check

CHECK = "log.complete"


def needed_keys(envelopes: Iterable[Digest], keyids: Iterable[str]) -> list[MapKey]:
    """What must be answered for: what was said about these statements, and of these keys."""
    about = [MapKey(KeyKind.ABOUT, envelope.hex) for envelope in envelopes]
    return list(dict.fromkeys([*about, *(MapKey(KeyKind.SUBJECT, keyid) for keyid in keyids)]))


def completeness_check(
    verifier: EntryVerifier, evidence: Evidence, subject: str, needed: Collection[MapKey]
) -> Check | None:
    """Passed if answers show that nothing was left out, failed if something was or an answer does not hold; None if the
    evidence carries no answers."""
    if not evidence.answers:
        return None
    listed: dict[tuple[str, MapKey], Listed] = {}
    for answer in evidence.answers:
        try:
            found = _verified(verifier, answer)
        except ProvenanceError as error:
            what = f"{answer.key.kind} {answer.key.value}"
            return Check(CHECK, subject, Status.FAILED, f"invalid: {error.what}", error.expected, error.got, what)
        listed[found.origin, answer.key] = found
    places = {place for entry in evidence.entries if (place := verifier.place_of(entry)) is not None}
    roots = verifier.known_roots()
    # Of every log that something here is proven in: what one holds, another does not answer for.
    origins = sorted({origin for origin, _ in places})
    sizes = [0]
    for origin, key in ((origin, key) for origin in origins for key in needed):
        answered = listed.get((origin, key))
        if answered is None:
            note = f"nothing shows that all about {key.kind} {key.value} in {origin} is at hand"
            return Check(CHECK, subject, Status.NOT_PERFORMED, note)
        problem = _problem(answered, places, roots)
        if problem is not None:
            return Check(CHECK, subject, Status.FAILED, *problem)
        newest = max((size for known, size in roots if known == origin), default=0)
        if answered.size < newest:
            note = f"the answer about {key.kind} {key.value} is of {answered.size} entries, the log had {newest}"
            return Check(CHECK, subject, Status.NOT_PERFORMED, note)
        sizes.append(answered.size)
    if not origins:
        return Check(CHECK, subject, Status.NOT_PERFORMED, "nothing at hand is proven to be in a log")
    size = min(sizes[1:])
    note = f"of the first {size} entries of the log, all that bear on {len(needed)} statements and keys are at hand"
    return Check(CHECK, subject, Status.PASSED, note)


def _verified(verifier: EntryVerifier, answer: MapAnswer) -> Listed:
    origin = head_origin(answer.head)
    return verify_answer(answer, [key for key in verifier.log_keys() if key.verifier.name == origin])


def _problem(
    listed: Listed, places: Collection[tuple[str, int]], roots: Mapping[tuple[str, int], bytes]
) -> tuple[str, str, str, str] | None:
    where = f"{listed.key.kind} {listed.key.value}"
    known = roots.get((listed.origin, listed.size), listed.log_root)
    if known != listed.log_root:
        return "the map is of another history of the log", known.hex(), listed.log_root.hex(), where
    missing = next((index for index in listed.entries if (listed.origin, index) not in places), None)
    if missing is None:
        return None
    return "an entry of the log that bears on it was left out", f"entry {missing}", "nothing", where
