"""JSON Schemas of what the API gives and takes. Closed: a field that is not here is an error in the tests."""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

HEX_64: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
TEXT: Final[Schema] = {"type": "string"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
HEX_BYTES: Final[Schema] = {"type": "string", "pattern": "^0x([0-9a-f]{2})*$"}
STATUS: Final[Schema] = {"type": "string", "enum": ["passed", "failed", "not performed"]}
ARTEFACT_STATUS: Final[Schema] = {"type": "string", "enum": ["passed", "failed", "affected", "not performed"]}
VERDICT: Final[Schema] = {"type": "string", "enum": ["verified", "incomplete", "failed"]}
LEVEL: Final[Schema] = {"type": ["string", "null"], "enum": ["D0", "D1", "D2", "D3", "D4", None]}


def closed(description: str, optional: tuple[str, ...] = (), **fields: Schema) -> Schema:
    """An object of exactly these fields; those in `optional` may be missing."""
    return {
        "type": "object",
        "description": description,
        "properties": fields,
        "required": [name for name in fields if name not in optional],
        "additionalProperties": False,
    }


def ref(name: str) -> Schema:
    """The schema of this name."""
    return {"$ref": f"#/components/schemas/{name}"}


def listed(items: Schema) -> Schema:
    """A list of `items`."""
    return {"type": "array", "items": items}


def nullable(schema: Schema) -> Schema:
    """`schema` or null."""
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def said(schema: Schema, description: str) -> Schema:
    """`schema` with a description."""
    return {**schema, "description": description}


CURSOR: Final = said(nullable(TEXT), "`cursor` of the next page; null on the last one")
DIGEST: Final = closed("A SHA-256 digest.", sha256=HEX_64)
PROOF: Final = said(TEXT, "c2sp.org/tlog-proof@v1: the entry's inclusion in the checkpoint at its end")

SCHEMAS: Final[dict[str, Schema]] = {
    "Digest": DIGEST,
    "Envelope": closed(
        "A DSSE envelope in its one byte form: canonical JSON (RFC 8785), at most 65,535 bytes, one signature.",
        payload=said(TEXT, "base64 of an in-toto Statement v1"),
        payloadType={"type": "string", "const": "application/vnd.in-toto+json"},
        signatures={
            **listed(closed("A signature.", keyid=said(HEX_64, "SHA-256 of the key's PEM"), sig=said(TEXT, "base64"))),
            "minItems": 1,
            "maxItems": 1,
        },
    ),
    "Receipt": closed(
        "What a registrant keeps: where the statement is in the log, proven. Of an event, name and digest are of what "
        "it is about, and files are 0.",
        name=said(TEXT, "namespace/name@version"),
        digest=ref("Digest"),
        index=said(COUNT, "of the log entry"),
        envelope=ref("Digest"),
        signer=said(HEX_64, "key id"),
        created=said(FLAG, "false: it had been there before"),
        files=COUNT,
        totalBytes=COUNT,
        proof=PROOF,
        notes=listed(TEXT),
        anchor={"type": "null", "description": "the server does not anchor on submission; see /v1/anchors"},
        anchorProblem={"type": "null"},
    ),
    "Entry": closed(
        "A log entry.",
        index=COUNT,
        leafHash=said(HEX_64, "SHA-256(0x00 || envelope), RFC 9162"),
        envelope=closed(
            "The envelope: its exact bytes in base64, and what they say.",
            sha256=HEX_64,
            base64=TEXT,
            json=ref("Envelope"),
            statement={"type": "object", "description": "the in-toto Statement in the payload"},
        ),
        proof=PROOF,
    ),
    "Dataset": closed(
        "One version of one dataset.",
        name=said(TEXT, "namespace/name@version"),
        digest=said(ref("Digest"), "of the fingerprint document: the dataset's digest"),
        index=said(COUNT, "of the log entry"),
        kind={"type": "string", "enum": ["dataset", "model"]},
        sensitivity={"type": "string", "enum": ["public", "internal", "confidential", "restricted"]},
        license=nullable(TEXT),
        signer=said(HEX_64, "key id"),
        created=said(TEXT, "RFC 3339, the signer's own clock"),
        fileRoot=said(HEX_64, "RFC 9162 root over the files"),
        manifest=nullable(ref("Digest")),
        omsBundle=nullable(ref("Digest")),
    ),
    "DatasetPage": closed("Datasets in log order.", items=listed(ref("Dataset")), nextCursor=CURSOR),
    "DatasetVersions": closed(
        "A dataset: its latest version, and its versions, oldest first.",
        name=said(TEXT, "namespace/name"),
        latest=ref("Dataset"),
        versions=listed(ref("Dataset")),
        nextCursor=CURSOR,
    ),
    "Check": closed(
        "One check. One that was not performed is never a pass.",
        ("note", "expected", "found", "where", "damage"),
        check=said(TEXT, "the check's name"),
        subject=said(TEXT, "which artefact"),
        status=STATUS,
        note=TEXT,
        expected=TEXT,
        found=TEXT,
        where=TEXT,
        damage=said(listed(ref("Damage")), "in which bytes a file differs, if that is known"),
    ),
    "Damage": closed(
        "A range of bytes of a file, counted from 0.",
        begin=COUNT,
        end=said(COUNT, "the first byte after it"),
        kind={"type": "string", "enum": ["changed", "added", "missing", "unchecked"]},
    ),
    "Artefact": closed(
        "A statement of the lineage: the target at depth 0, its inputs at 1. It is affected if no check of it "
        "failed and one of something that it was made from did.",
        name=TEXT,
        kind=TEXT,
        digest=ref("Digest"),
        index=COUNT,
        depth=COUNT,
        signer=TEXT,
        status=ARTEFACT_STATUS,
        parents=listed(TEXT),
    ),
    "TimeBound": closed("A time, RFC 3339, and whose clock says so.", time=TEXT, clock=TEXT),
    "Report": closed(
        "A verification report. Verified: no check failed and the required level is reached; incomplete: none failed "
        "and it is not. Sound: some check passed and none failed.",
        verified=FLAG,
        verdict=VERDICT,
        sound=FLAG,
        target=TEXT,
        digest=closed("The target's digest.", sha256={"type": "string", "pattern": "^([0-9a-f]{64})?$"}),
        level=said(LEVEL, "the level reached"),
        missing=said(listed(TEXT), "what the next level needs"),
        requiredLevel=said(LEVEL, "what the target's sensitivity asks for"),
        checks=listed(ref("Check")),
        lineage=listed(ref("Artefact")),
        time=closed(
            "When it was stated: the signer's claim, and both sides that a chain proves.",
            claimed=nullable(ref("TimeBound")),
            notBefore=nullable(ref("TimeBound")),
            notAfter=nullable(ref("TimeBound")),
        ),
        affected=said(listed(TEXT), "what was made from something that failed"),
    ),
    "Lineage": closed(
        "A dataset's ancestors, judged, and its descendants, nearest first, with how many steps away each is.",
        optional=("asOf",),
        target=TEXT,
        verdict=VERDICT,
        sound=FLAG,
        level=LEVEL,
        missing=listed(TEXT),
        failures=said(listed(ref("Check")), "the checks that failed, of the whole ancestry"),
        nodes=listed(ref("Artefact")),
        edges=listed(closed("`child` was made from `parent`.", child=TEXT, parent=TEXT)),
        descendants=listed(TEXT),
        distances=listed(COUNT),
        asOf=closed("By what it was judged.", time=TEXT, logSize=COUNT),
    ),
    "Event": closed(
        "Something that was said about a dataset: docs/formats/events.md.",
        index=COUNT,
        type=said(TEXT, "the predicate's type"),
        created=said(TEXT, "the signer's claim, RFC 3339"),
        signer=said(HEX_64, "key id"),
        says={"type": "object", "description": "the event's own part of the predicate"},
    ),
    "EventPage": closed("Events in log order.", about=TEXT, items=listed(ref("Event")), nextCursor=CURSOR),
    "KeyEvent": closed(
        "Something that was said of a key: docs/formats/events.md.",
        index=COUNT,
        created=said(TEXT, "the signer's claim, RFC 3339"),
        signer=said(HEX_64, "key id"),
        says={"type": "object", "description": "action, successor, reason, since"},
    ),
    "MapAnswer": closed(
        "Every entry about something, with its proof: docs/formats/map.md.",
        format={"type": "string", "const": "urn:provenance-ledger:map-answer:1"},
        kind=TEXT,
        value=TEXT,
        entries=said(listed(COUNT), "log entries, and there are no others"),
        bucket=said(TEXT, "base64"),
        hashes=said(listed(TEXT), "base64; RFC 9162 inclusion proof of the bucket"),
        logRoot=said(TEXT, "base64"),
        head=said(TEXT, "signed note"),
    ),
    "KeyEventPage": closed("Key events in log order.", keyid=HEX_64, items=listed(ref("KeyEvent")), nextCursor=CURSOR),
    "Impact": closed(
        "What was made from a dataset, nearest first.",
        of=TEXT,
        count=said(COUNT, "of all that are concerned, whatever the page holds"),
        spared=said(COUNT, "of all that are older than the revocation, likewise"),
        affected=listed(
            closed(
                "A descendant.",
                spared=said(FLAG, "whether final anchors prove that it is older than the revocation"),
                name=TEXT,
                distance=said(COUNT, "steps of a shortest way to it"),
                via=said(nullable(TEXT), "its parent on such a way"),
            )
        ),
        path=said(nullable(listed(TEXT)), "where `to` asks for one: the names of a whole way"),
        nextCursor=CURSOR,
    ),
    "AnchorReceipt": closed(
        "Proof that a contract holds a checkpoint: docs/formats/anchor-receipt.md.",
        mediaType=TEXT,
        chainId=COUNT,
        client=TEXT,
        contract=HEX_BYTES,
        publisher=HEX_BYTES,
        origin=TEXT,
        size=COUNT,
        root=HEX_BYTES,
        sequence=COUNT,
        transaction=HEX_BYTES,
        blockNumber=COUNT,
        blockHash=HEX_BYTES,
        blockTimeSeconds=COUNT,
        transactionIndex=COUNT,
        logIndex=COUNT,
        finality=said(TEXT, "what the chain promises for this block"),
        development=said(FLAG, "true: a single operator can rewrite this chain"),
        header=HEX_BYTES,
        receipt=HEX_BYTES,
        receiptProof=listed(HEX_BYTES),
    ),
    "Anchor": closed(
        "A checkpoint in a contract on a chain.",
        id=COUNT,
        state={"type": "string", "enum": ["mined", "final"]},
        chainId=COUNT,
        contract=nullable(TEXT),
        publisher=TEXT,
        origin=nullable(TEXT),
        size=nullable(COUNT),
        root=nullable(HEX_64),
        transaction=HEX_BYTES,
        receipt=nullable(ref("AnchorReceipt")),
    ),
    "AnchorPage": closed("Anchors, oldest first.", items=listed(ref("Anchor")), nextCursor=CURSOR),
    "Bundle": closed(
        "An offline bundle: docs/formats/bundle.md.",
        ("map",),
        mediaType={"type": "string", "const": "application/vnd.provenance-ledger.bundle.v1+json"},
        target=said(HEX_64, "SHA-256 of the target's envelope"),
        entries=listed(closed("An entry.", envelope=said(TEXT, "base64"), proof=PROOF)),
        keys=listed(said(TEXT, "PEM public key, offered, not trusted")),
        anchors=listed(ref("AnchorReceipt")),
        headers=listed(HEX_BYTES),
        blobs={"type": "object", "description": "base64 of manifests by SHA-256", "additionalProperties": TEXT},
        map=listed(ref("MapAnswer")),
    ),
    "VerifyRequest": {
        "description": "What to verify: exactly one of the three.",
        "oneOf": [
            closed("A digest you computed: a dataset's, a file root, or one file's SHA-256.", digest=HEX_64),
            closed("ns/name, ns/name@version, or 8 to 64 digits of a digest.", reference={**TEXT, "maxLength": 512}),
            closed("An offline bundle.", bundle=ref("Bundle")),
        ],
    },
    "AuditRequest": closed(
        "What to audit, and the digest you computed of its bytes.",
        ("digest",),
        reference={**TEXT, "maxLength": 512},
        digest=HEX_64,
    ),
    "AuditItem": closed(
        "One artefact of the lineage: what its statement says, what was said of it, and what nobody says.",
        name=said(TEXT, "namespace/name@version"),
        kind=TEXT,
        entry=said(COUNT, "of the log"),
        depth=COUNT,
        digest=ref("Digest"),
        status=ARTEFACT_STATUS,
        signer=TEXT,
        created=said(TEXT, "the signer's claim, RFC 3339"),
        parents=listed(TEXT),
        origin=nullable(TEXT),
        license=nullable(TEXT),
        obligations={"type": "object", "additionalProperties": listed(TEXT), "description": "by licence"},
        sensitivity=TEXT,
        files=COUNT,
        totalBytes=COUNT,
        standards={"type": "object", "description": "elements of the Data Provenance Standards"},
        remarks=listed(
            closed(
                "Something that was said of it and counts.",
                type=TEXT,
                entry=COUNT,
                signer=TEXT,
                says={"type": "object", "description": "the event's own part of the predicate"},
            )
        ),
        gaps=listed(TEXT),
    ),
    "Audit": closed(
        "Everything that went into an artefact.",
        target=TEXT,
        verdict=VERDICT,
        level=LEVEL,
        missing=listed(TEXT),
        sensitivity=said(TEXT, "the highest of all"),
        personalData=said(listed(TEXT), "artefacts that are said to hold personal data"),
        licenses={"type": "object", "additionalProperties": listed(TEXT), "description": "artefacts by licence"},
        geography={
            "type": "object",
            "additionalProperties": listed(TEXT),
            "description": "artefacts by place of origin",
        },
        openFindings=listed(closed("A finding that is not settled.", about=TEXT, entry=COUNT)),
        gaps=listed(closed("What is not known.", about=TEXT, gap=TEXT)),
        items=listed(ref("AuditItem")),
        uses=said(listed(COUNT), "log entries"),
        logs=listed(
            closed(
                "A batch of automatic records about the target.",
                kind={"type": "string", "enum": ["decisions", "requests"]},
                entry=COUNT,
                count=said(COUNT, "records of it that are about the target"),
            )
        ),
        keys=listed(
            closed(
                "What the log holds about a key that signed, and counts.",
                keyid=said(HEX_64, "the key that it is about"),
                name=said(TEXT, "what the trust roots call it"),
                entry=COUNT,
                created=said(TEXT, "the signer's claim, RFC 3339"),
                signer=said(HEX_64, "key id"),
                says={"type": "object", "description": "action, successor, reason, since"},
            )
        ),
        report=ref("Report"),
        aiAct=listed(
            closed(
                "What an article of Regulation (EU) 2024/1689 asks for, and what there is.",
                article=TEXT,
                asks=TEXT,
                found=TEXT,
                entries=said(listed(COUNT), "log entries that say so; none: there is no evidence"),
            )
        ),
    ),
    "GateRequest": closed(
        "A policy, and what it is to decide about.",
        policy={"type": "object", "description": "docs/formats/policy.md, without rules"},
        inputs={**listed(ref("AuditRequest")), "minItems": 1, "maxItems": 64},
    ),
    "GateAnswer": closed(
        "What the policy decides.",
        allowed=said(FLAG, "whether all of them may be used"),
        decisions=listed(
            closed(
                "The decision on one input.",
                target=TEXT,
                digest=closed("The target's digest.", sha256={"type": "string", "pattern": "^([0-9a-f]{64})?$"}),
                allowed=FLAG,
                level=LEVEL,
                policy=closed("Which policy.", name=TEXT, digest=ref("Digest")),
                rulings=listed(closed("What came of a rule.", rule=TEXT, about=TEXT, allowed=FLAG, reason=TEXT)),
            )
        ),
    ),
    "Health": closed("The process lives.", status={"type": "string", "const": "alive"}),
    "Readiness": closed(
        "The ledger answers.", status={"type": "string", "const": "ready"}, origin=said(TEXT, "of the log"), size=COUNT
    ),
    "Problem": closed(
        "A problem document, RFC 9457.",
        ("detail", "instance", "expected", "got", "where", "hint"),
        type=said(TEXT, "urn:provenance-ledger:problem: and the kind"),
        title=TEXT,
        status={"type": "integer"},
        detail=said(TEXT, "what is wrong"),
        instance=said(TEXT, "where the server's log has more"),
        expected=TEXT,
        got=TEXT,
        where=TEXT,
        hint=said(TEXT, "a way out"),
    ),
}
