"""The operations: parameters, bodies, answers and what each is for."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

from starlette.responses import Response

from provenance.limits import MAX_ENTRY_BYTES, MAX_LINEAGE_NODES, MAX_PAGE_ITEMS, MAX_REQUEST_BYTES, MAX_UPLOAD_BYTES
from provenance.server.openapi.schemas import SCHEMAS, Schema, ref
from provenance.server.problems import BUSY, KINDS, MEDIA_TYPE, ProblemKind

Operation = dict[str, Any]

DESCRIPTION: Final = """Register signed statements, and verify what was registered.

Statements are signed by their sources before they come here; the server holds no source's key. Everything it answers
can be checked without trusting it: entries come with inclusion proofs, the log is served as C2SP tiles, and bundles
verify offline. Reads need no authentication; a statement is accepted if this ledger trusts its key. Put a reverse proxy
in front for TLS and for limits by client.

Errors are problem documents (RFC 9457). Lists have pages: pass `nextCursor` back as `cursor`."""

TAGS: Final = (
    {"name": "statements", "description": "Registering."},
    {"name": "datasets", "description": "What is registered."},
    {"name": "verification", "description": "What can be proven."},
    {"name": "log", "description": "The transparency log and its anchors."},
    {"name": "health", "description": "For whoever operates the server."},
)

EXAMPLES: Final[dict[str, Any]] = json.loads(
    (files("provenance.server.openapi") / "examples.json").read_text(encoding="utf-8")
)
"""Examples by name, as a running server gave them."""

JSON: Final = "application/json"
DSSE: Final = "application/vnd.dsse.envelope.v1+json"
BUNDLE: Final = "application/vnd.provenance-ledger.bundle.v1+json"
_BY_STATUS: Final = {kind.status: kind for kind in KINDS}


def content(media_type: str, schema: Schema, *examples: str) -> Schema:
    """The content of one body."""
    named = {name: {"$ref": f"#/components/examples/{name}"} for name in examples}
    return {media_type: {"schema": schema, "examples": named}}


def answer(description: str, body: Schema, **headers: str) -> Schema:
    """A successful response; `headers` maps names to what they hold (underscores are hyphens)."""
    described = {
        name.replace("_", "-"): {"description": text, "schema": {"type": "string"}} for name, text in headers.items()
    }
    return {"description": description, "content": body, **({"headers": described} if described else {})}


def problems(*statuses: int) -> dict[str, Schema]:
    """The problem responses of an operation, and the ones that any operation may give."""
    return {
        **{str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in statuses},
        "503": {"$ref": "#/components/responses/Problem503"},
        "default": {"$ref": "#/components/responses/Problem"},
    }


def parameter(place: str, name: str, description: str, example: object, **schema: Any) -> Schema:
    """A path or query parameter."""
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": description,
        "schema": {"type": "string", **schema},
        "example": example,
    }


def operation(tag: str, summary: str, description: str, responses: dict[str, Schema], **rest: Any) -> Operation:
    """One operation."""
    return {"tags": [tag], "summary": summary, "description": description, **rest, "responses": responses}


LIMIT: Final = parameter(
    "query", "limit", "Items on the page.", 100, type="integer", minimum=1, maximum=MAX_PAGE_ITEMS, default=100
)
NAMESPACE: Final = parameter("path", "namespace", "Namespace.", "titanic", maxLength=64)
NAME: Final = parameter("path", "name", "Name in the namespace.", "passengers", maxLength=128)
REF: Final = parameter(
    "path",
    "ref",
    "`ns/name` (its latest version), `ns/name@version`, or 8 to 64 hex digits of a dataset's digest. The slash stays "
    "a slash.",
    "titanic/passengers@1",
)


def cursor(name: str) -> Schema:
    """The cursor parameter of a list."""
    return parameter("query", "cursor", "`nextCursor` of the page before.", EXAMPLES[name]["value"], maxLength=64)


OPERATIONS: Final[dict[str, Operation]] = {
    "submitStatement": operation(
        "statements",
        "Log a signed statement",
        "A statement on a dataset, or an event: docs/formats/statement.md, docs/formats/events.md. "
        f"The body is the DSSE envelope and becomes the log entry byte for byte; at most {MAX_ENTRY_BYTES:,} bytes. "
        "The answer is sent once the entry would survive a power cut. Sending the same statement again is harmless.",
        {
            "201": answer("Logged.", content(JSON, ref("Receipt"), "receipt"), Location="The entry."),
            "200": answer(
                "It was there already.", content(JSON, ref("Receipt"), "receiptAgain"), Location="The entry."
            ),
            **problems(400, 403, 404, 408, 409, 413, 415, 422),
        },
        requestBody={
            "required": True,
            "content": {
                **content(DSSE, ref("Envelope"), "envelope"),
                **content(JSON, ref("Envelope"), "envelope"),
            },
        },
    ),
    "getReceipt": operation(
        "statements",
        "The receipt of a dataset",
        "As it was given on submission, with a proof against the log as it is now.",
        {"200": answer("The receipt.", content(JSON, ref("Receipt"), "receiptAgain")), **problems(400, 404, 414)},
        parameters=[REF],
    ),
    "getEntry": operation(
        "log",
        "A log entry with its proof",
        "The envelope's exact bytes, what they say, and a proof of inclusion under the latest checkpoint.",
        {"200": answer("The entry.", content(JSON, ref("Entry"), "entry")), **problems(400, 404)},
        parameters=[parameter("path", "index", "Index in the log, from 0.", 0, type="integer", minimum=0)],
    ),
    "listAnchors": operation(
        "log",
        "Checkpoints that were anchored",
        "Transactions that are mined or final, oldest first. One anchor covers every entry below its size.",
        {"200": answer("A page of anchors.", content(JSON, ref("AnchorPage"), "anchors")), **problems(400)},
        parameters=[cursor("anchorCursor"), LIMIT],
    ),
    "listDatasets": operation(
        "datasets",
        "Registered datasets",
        "Every version of every dataset, in log order.",
        {"200": answer("A page of datasets.", content(JSON, ref("DatasetPage"), "datasets")), **problems(400, 414)},
        parameters=[
            cursor("datasetCursor"),
            LIMIT,
            parameter("query", "namespace", "Only this namespace.", "titanic", maxLength=64),
        ],
    ),
    "getDataset": operation(
        "datasets",
        "A dataset and its versions",
        "The latest version, and a page of all versions, oldest first.",
        {"200": answer("The dataset.", content(JSON, ref("DatasetVersions"), "dataset")), **problems(400, 404, 414)},
        parameters=[NAMESPACE, NAME, cursor("versionCursor"), LIMIT],
    ),
    "getDatasetVersion": operation(
        "datasets",
        "One version of a dataset",
        "What its statement says, in short; `GET /v1/entries/{index}` has the statement.",
        {"200": answer("The version.", content(JSON, ref("Dataset"), "version")), **problems(400, 404, 414)},
        parameters=[NAMESPACE, NAME, parameter("path", "version", "Version.", "1", maxLength=64)],
    ),
    "verify": operation(
        "verification",
        "Verify a digest, a reference, a file or a bundle",
        "A report, whether it says verified or not. A digest is a dataset's, a file root's or one file's SHA-256. A "
        f"file (at most {MAX_UPLOAD_BYTES // 2**20:,} MiB) is hashed while it arrives and is not stored; sent as a "
        "form its name counts too, so that a dataset of one file is recognised. A reference is judged by its records "
        "alone; its bytes are not looked for. A bundle is judged under this ledger's trust roots. JSON bodies: at "
        f"most {MAX_REQUEST_BYTES // 2**20} MiB.",
        {
            "200": answer("The report.", content(JSON, ref("Report"), "report", "reportFailed")),
            **problems(400, 404, 408, 413, 415),
        },
        requestBody={
            "required": True,
            "content": {
                **content(JSON, ref("VerifyRequest"), "verifyDigest", "verifyReference", "verifyBundle"),
                **content(BUNDLE, ref("Bundle"), "bundle"),
                **content(
                    "multipart/form-data",
                    {
                        "type": "object",
                        "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
                        "required": ["file"],
                        "additionalProperties": False,
                    },
                    "form",
                ),
                **content("application/octet-stream", {"type": "string"}, "fileBytes"),
            },
        },
    ),
    "getLineage": operation(
        "verification",
        "What a dataset was made from, and what was made from it",
        "Every ancestor, judged; edges; and the names of all descendants. The verdict is on all of it, however much is "
        "shown; with `asOf`, by what the last anchor of then or before holds (404 if that is nothing).",
        {"200": answer("The lineage.", content(JSON, ref("Lineage"), "lineage")), **problems(400, 404, 413, 414)},
        parameters=[
            {**REF, "example": "titanic/cleaned@1"},
            parameter(
                "query",
                "direction",
                "Show ancestors (up), descendants (down) or both.",
                "both",
                type="string",
                enum=["up", "down", "both"],
                default="both",
            ),
            parameter(
                "query",
                "depth",
                "Show so many steps to either side.",
                1,
                type="integer",
                minimum=0,
                maximum=MAX_LINEAGE_NODES,
            ),
            parameter(
                "query",
                "asOf",
                "RFC 3339 in UTC, to the second.",
                "2026-01-31T12:00:00Z",
                type="string",
                format="date-time",
            ),
        ],
    ),
    "listEvents": operation(
        "verification",
        "What was said about a dataset later",
        "Uses, reviews, findings, revocations and successors, in log order, whoever signed them. What of it counts, a "
        "verification says.",
        {"200": answer("A page of events.", content(JSON, ref("EventPage"), "events")), **problems(400, 404, 414)},
        parameters=[REF, cursor("eventCursor"), LIMIT],
    ),
    "getImpact": operation(
        "verification",
        "What was made from a dataset",
        "Every descendant, nearest first, with its parent on one of the shortest ways that lead to it. A whole way is "
        "given to one descendant, with `to`. Where the dataset is revoked from some time on, what is older is marked.",
        {
            "200": answer("The impact.", content(JSON, ref("Impact"), "impact", "impactPath")),
            **problems(400, 404, 413, 414),
        },
        parameters=[
            REF,
            cursor("impactCursor"),
            LIMIT,
            parameter("query", "to", "A REF: this descendant alone, with a way to it.", "titanic/cleaned@1"),
        ],
    ),
    "listKeyEvents": operation(
        "verification",
        "What was said of a key",
        "That it is in use, gave way to another, or was revoked, in log order, whoever signed it. What of it counts, a "
        "verification says. 404 for a key that is not known here and that nothing was said of.",
        {"200": answer("A page of key events.", content(JSON, ref("KeyEventPage"), "keyEvents")), **problems(400, 404)},
        parameters=[
            parameter("path", "keyid", "SHA-256 of the PEM public key.", "9f" * 32, pattern="^[0-9a-f]{64}$"),
            cursor("keyCursor"),
            LIMIT,
        ],
    ),
    "getMapAnswer": operation(
        "log",
        "Every entry about something, and that there are no others",
        "By the log's map (docs/formats/map.md): checked with the log's key alone.",
        {"200": answer("The answer.", content(JSON, ref("MapAnswer"), "mapAnswer")), **problems(400, 404, 413)},
        parameters=[
            parameter("path", "kind", "What is given.", "name", enum=["name", "subject", "about", "use", "signer"]),
            parameter(
                "path", "value", "`namespace/name`, or 64 hex digits. The slash stays a slash.", "titanic/cleaned"
            ),
        ],
    ),
    "listUsage": operation(
        "verification",
        "What a dataset was used for",
        "Uses that were logged, in log order.",
        {"200": answer("A page of uses.", content(JSON, ref("EventPage"), "usage")), **problems(400, 404, 414)},
        parameters=[REF, cursor("usageCursor"), LIMIT],
    ),
    "audit": operation(
        "verification",
        "Everything that went into a dataset or model",
        "Each artefact with what its statement says and what was said of it, licences and what they ask for, gaps, and "
        "the same by articles of the EU AI Act. Its bytes count by the digest that the caller computed of them.",
        {
            "200": answer("The audit.", content(JSON, ref("Audit"), "audit")),
            **problems(400, 404, 408, 413, 415),
        },
        requestBody={"required": True, "content": content(JSON, ref("AuditRequest"), "auditRequest")},
    ),
    "gate": operation(
        "verification",
        "Whether datasets or models may be used",
        "The decision of a policy (docs/formats/policy.md, as JSON and without rules) on each input.",
        {
            "200": answer("The decisions.", content(JSON, ref("GateAnswer"), "gate")),
            **problems(400, 404, 408, 413, 415),
        },
        requestBody={"required": True, "content": content(JSON, ref("GateRequest"), "gateRequest")},
    ),
    "getBundle": operation(
        "verification",
        "The offline bundle of a dataset",
        "Enough to verify the dataset and all it was made from with no server.",
        {"200": answer("The bundle.", content(BUNDLE, ref("Bundle"), "bundle")), **problems(400, 404, 413, 414)},
        parameters=[
            REF,
            parameter(
                "query",
                "manifests",
                "Whether to put in the lists of files, which name the file that differs.",
                True,
                type="boolean",
                default=True,
            ),
            parameter(
                "query",
                "complete",
                "Whether it is to show that nothing that was said of them was left out.",
                False,
                type="boolean",
                default=False,
            ),
        ],
    ),
    "getCheckpoint": operation(
        "log",
        "The latest checkpoint",
        "A C2SP signed note: origin, size, root, signatures. Ask for it again every time (`Cache-Control: no-cache`).",
        {
            "200": answer(
                "The checkpoint.", content("text/plain", {"type": "string"}, "checkpoint"), ETag="Of the note."
            ),
            "304": {"description": "It is the one the client has."},
            **problems(404),
        },
    ),
    "getMapHead": operation(
        "log",
        "The head of the log's map",
        "A signed note over the roots of log and map, of the newest published checkpoint that has one: it comes after "
        "its checkpoint. 404 before the first.",
        {
            "200": answer("The head.", content("text/plain", {"type": "string"}, "mapHead"), ETag="Of the note."),
            "304": {"description": "It is the one the client has."},
            **problems(404),
        },
    ),
    "getTile": operation(
        "log",
        "A tile or an entry bundle",
        "C2SP tlog-tiles: `<level>/<index>[.p/<width>]` gives hashes, `entries/<index>[.p/<width>]` gives entries, "
        "each after its length as a big-endian u16. Neither ever changes: a full one may be kept for a year, a partial "
        "one is worth keeping for a minute. Bundles are sent with `Content-Encoding: gzip` to who accepts it. 404 for "
        "what the log does not have yet and for what is no path of a tile.",
        {
            "200": answer(
                "The tile.",
                content("application/octet-stream", {"type": "string"}, "tile"),
                ETag="Of the tile as it is sent.",
                Cache_Control="`immutable` for a full tile or bundle.",
            ),
            "304": {"description": "The client has it."},
            **problems(400, 404),
        },
        parameters=[parameter("path", "path", "The rest of the tile's path; slashes stay slashes.", "0/000.p/3")],
    ),
    "getHealth": operation(
        "health",
        "Whether the process lives",
        "Never refused for load.",
        {"200": answer("It lives.", content(JSON, ref("Health"), "health")), **problems()},
    ),
    "getReadiness": operation(
        "health",
        "Whether the server can do its work",
        "The database answers and the log's key can be read; 503 otherwise.",
        {"200": answer("It can.", content(JSON, ref("Readiness"), "readiness")), **problems()},
    ),
}


def documented(operation_id: str) -> dict[str, Any]:
    """Arguments of a route decorator that document the operation."""
    return {
        "operation_id": operation_id,
        "response_class": Response,
        "response_model": None,
        "status_code": int(min(status for status in OPERATIONS[operation_id]["responses"] if status.isdecimal())),
        "openapi_extra": OPERATIONS[operation_id],
    }


def _problem_response(kind: ProblemKind) -> Schema:
    description = "Busy, or storage, keys or chain are not available." if kind == BUSY else f"{kind.title}."
    return {"description": description, "content": content(MEDIA_TYPE, ref("Problem"), f"problem{kind.status}")}


COMPONENTS: Final[Schema] = {
    "schemas": SCHEMAS,
    "examples": EXAMPLES,
    "responses": {
        "Problem": {
            "description": "Any other problem.",
            "content": content(MEDIA_TYPE, ref("Problem"), "problem405"),
        },
        **{
            f"Problem{status}": _problem_response(kind)
            for status, kind in sorted(_BY_STATUS.items())
            if f"problem{status}" in EXAMPLES and status != 405  # any path: it is the example of any other problem
        },
    },
}
