"""How a dataset is to be read and hashed: the options that `fingerprint` and `register` share, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.completion import complete_engine, complete_hash
from provenance.errors import MalformedError, ProvenanceError
from provenance.limits import MAX_KEY_BYTES, MAX_MANIFEST_BYTES, MAX_SCHEMA_BYTES

if TYPE_CHECKING:
    from provenance.cli.invocation import Invocation
    from provenance.encoding import Digest
    from provenance.encoding.records import RecordSchema
    from provenance.ledger.fingerprinting import Wanted

LOCATION_HELP = "A file, folder, or URI (s3:, gs:, az:, hf:, https:, ipfs:)."

AlgorithmOption = Annotated[
    str,
    typer.Option(
        "--algorithm",
        metavar="WORD",
        help="How file contents are hashed: sha256 or blake3.",
        autocompletion=complete_hash,
    ),
]
IgnoreOption = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore", metavar="RULE", help="Leave files out, as a line of .provenanceignore does. Repeat for several."
    ),
]
NoCacheOption = Annotated[
    bool, typer.Option("--no-cache", help="Read every byte, whatever was read before. For audits.")
]
DeclaredOption = Annotated[
    str | None,
    typer.Option(
        "--declared-by",
        metavar="NAME",
        help="Take SHA-256 digests that the store states of its files, and say that NAME declared them.",
    ),
]
SumsOption = Annotated[
    str | None,
    typer.Option(
        "--sums",
        metavar="FILE",
        help="With --declared-by: take the digests in FILE: sha256sum's, a Croissant description, or an OMS bundle.",
    ),
]
SumsKeyOption = Annotated[
    str | None,
    typer.Option("--sums-key", metavar="PEM", help="With --sums of an OMS bundle: whose signature it must bear."),
]
RecordsOption = Annotated[bool, typer.Option("--records", help="Fingerprint the rows of its tables too.")]
SchemaOption = Annotated[
    str | None,
    typer.Option("--schema", metavar="FILE", help="With --records: the schema, as --schema-out wrote it."),
]
SortOption = Annotated[
    list[str] | None,
    typer.Option("--sorted-by", metavar="COLUMN", help="With --records: declare the rows' order. Repeat for several."),
]
ChunksOption = Annotated[
    bool,
    typer.Option(
        "--chunks", help="Hash large files chunk by chunk too: damage is located, and parts are read verified."
    ),
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine", metavar="NAME", help="Who hashes: local, or ray for a cluster.", autocompletion=complete_engine
    ),
]


@dataclass(frozen=True, slots=True)
class HowToRead:
    """The options, in the order of `--help`."""

    algorithm: AlgorithmOption = "sha256"
    ignore: IgnoreOption = None
    no_cache: NoCacheOption = False
    declared_by: DeclaredOption = None
    sums: SumsOption = None
    sums_key: SumsKeyOption = None
    records: RecordsOption = False
    schema: SchemaOption = None
    sorted_by: SortOption = None
    engine: EngineOption = "local"


def wanted_of(run: Invocation, location: str, how: HowToRead, *, chunks: bool = False) -> Wanted:
    """What these options ask for. `MalformedError` names one that does not fit."""
    from provenance.fingerprint import parse_algorithm
    from provenance.ledger.fingerprinting import Wanted
    from provenance.machine.folders import cache_folder
    from provenance.sources import Reading

    if not how.records and (how.schema is not None or how.sorted_by):
        option = "--schema" if how.schema is not None else "--sorted-by"
        raise MalformedError(f"{option} says something about records", expected="--records with it")
    reading = Reading(
        algorithm=parse_algorithm(how.algorithm),
        cache=None if how.no_cache else cache_folder(),
        ignore=tuple(how.ignore or ()),
        declared_by=how.declared_by,
        declared=_read_sums(how.sums, how.sums_key),
        leave_out=_ledger_within(run, location),
    )
    return Wanted(
        reading=reading,
        records=how.records,
        schema=_read_schema(how.schema) if how.schema is not None else None,
        sort=tuple(how.sorted_by or ()),
        engine=how.engine,
        chunks=chunks,
    )


def _read_schema(path: str) -> RecordSchema:
    from provenance.cli.files import read_file
    from provenance.encoding.records import parse_schema_document

    return parse_schema_document(read_file(path, "schema", max_bytes=MAX_SCHEMA_BYTES))


def _read_sums(path: str | None, key: str | None) -> dict[str, Digest]:
    from provenance.cli.files import read_file
    from provenance.fingerprint.sums import parse_sums

    if path is None:
        if key is not None:
            raise MalformedError("--sums-key says who signed a list of digests", expected="--sums with it")
        return {}
    data = read_file(path, "checksum file", max_bytes=MAX_MANIFEST_BYTES)
    is_json = data.lstrip()[:1] == b"{"
    if key is not None or (is_json and b'"dsseEnvelope"' in data):
        from provenance.signature.oms import oms_sums, parse_oms_key

        pem = read_file(key, "public key", max_bytes=MAX_KEY_BYTES) if key is not None else None
        return oms_sums(data, parse_oms_key(pem.decode("ascii", "replace")) if pem is not None else None)
    if is_json:
        from provenance.fingerprint.croissant import parse_croissant_sums

        return parse_croissant_sums(data)
    return parse_sums(data)


def _ledger_within(run: Invocation, location: str) -> Path | None:
    """The ledger in use, if there is one at the top of the folder: what `register` leaves out."""
    if not (Path(location) / ".provenance").is_dir():
        return None
    from provenance.ledger.layout import discover, ledger_folder

    try:
        return ledger_folder(Path(run.ledger_folder)) if run.ledger_folder else discover()
    except ProvenanceError:
        return None
