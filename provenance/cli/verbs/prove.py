"""`provenance prove`: that a file, a record or a run of rows is in a dataset, or is not."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.completion import complete_reference
from provenance.cli.exits import DONE
from provenance.cli.files import STDOUT, check_output, write_file
from provenance.cli.invocation import Invocation
from provenance.cli.screen import size_text
from provenance.encoding import parse_json
from provenance.errors import MalformedError
from provenance.limits import MAX_REQUEST_BYTES

if TYPE_CHECKING:
    from provenance.encoding import JsonValue
    from provenance.fingerprint.proof import ProofDocument

_ROWS = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")


def prove(
    run: Invocation,
    target: Annotated[
        str,
        typer.Argument(
            metavar="REF|PATH:FILE",
            help="A dataset, for its records; or REF:FILE or PATH:FILE, for one of its files.",
            autocompletion=complete_reference,
        ),
    ],
    record: Annotated[
        str | None, typer.Option("--record", metavar="JSON", help="The record, an object by column names.")
    ] = None,
    row: Annotated[
        str | None, typer.Option("--row", metavar="N", help="Row N, counted from 0, or the rows N-M.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="COLUMN=VALUE", help="The one row whose column holds this value (JSON or text)."),
    ] = None,
    made_from: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="REF",
            help="That it was made from this, without its other inputs.",
            autocompletion=complete_reference,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="PATH", help="With --row or --key: where its bytes are, if they moved."),
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to write the proof. - is stdout, the default.")
    ] = STDOUT,
) -> int:
    """Prove that a file or record is in a dataset or not, or what it was made from, with a document anyone can check.

    The document holds the record or the file's digest, the dataset's fingerprint and the hashes between them:
    `provenance verify --proof FILE` checks it, with the dataset's digest and nothing else. A record's proof shows it.
    """
    options = (("--record", record), ("--row", row), ("--key", key), ("--input", made_from))
    given = [name for name, value in options if value is not None]
    if len(given) > 1:
        expected = "one of --record, --row, --key and --input"
        raise MalformedError("too much to prove", expected=expected, got=", ".join(given))
    if data is not None and (row is None and key is None):
        raise MalformedError("--data says where rows are", expected="--row or --key with it")
    if output != STDOUT:
        check_output(output, as_json=run.as_json)
    if made_from is not None:
        _input(run, target, made_from, output)
        return DONE
    document, name = _file(run, target) if not given else _records(run, target, record, row, key, data)
    _show(run, document, name, output)
    return DONE


def _input(run: Invocation, target: str, made_from: str, output: str) -> None:
    from provenance.verify.input_proof import encode_input_proof

    with run.ledger() as ledger:
        proof = ledger.prove_input(target, made_from)
    data = encode_input_proof(proof)
    if output == STDOUT:
        run.stream(data.decode("ascii") + "\n")
    else:
        write_file(output, data)
        check = f"provenance verify --proof {shlex.quote(output)}, anywhere"
        run.screen.pairs([("statement", str(proof.statement.name)), ("proof", output), ("check it", check)])
    run.document({"dataset": str(proof.statement.name), "proof": json.loads(data)})


def _file(run: Invocation, target: str) -> tuple[ProofDocument, str]:
    place, path = _split(target)
    if Path(place).exists():
        from provenance.cli.reading import HowToRead, wanted_of
        from provenance.ledger.fingerprinting import find_fingerprint
        from provenance.ledger.proofs import prove_file_of

        wanted = wanted_of(run, place, HowToRead())
        found = find_fingerprint(place, wanted)
        return prove_file_of(found.fingerprint.document, found.fingerprint.files, path), place
    with run.ledger() as ledger:
        proofs = ledger.proofs(place)
        return proofs.file(path), str(proofs.statement.name)


def _split(target: str) -> tuple[str, str]:
    """Place and file: at the last colon whose left side exists here; else at the first colon."""
    cuts = [index for index, character in enumerate(target) if character == ":"]
    for cut in reversed(cuts):
        if target[:cut] and target[cut + 1 :] and Path(target[:cut]).exists():
            return target[:cut], target[cut + 1 :]
    place, colon, path = target.partition(":")
    if not (place and colon and path):
        hint = "name the file: REF:FILE or PATH:FILE; or a record: --record, --row or --key"
        raise MalformedError("nothing to prove", expected="a file or a record", got=target, hint=hint)
    return place, path


def _records(
    run: Invocation, target: str, record: str | None, row: str | None, key: str | None, data: str | None
) -> tuple[ProofDocument, str]:
    with run.ledger() as ledger:
        proofs = ledger.proofs(target)
        name = str(proofs.statement.name)
        if record is not None:
            return proofs.record(_object(record)), name
        table = ledger.table(target, data)
        if row is not None:
            begin, end = _range(row)
        else:
            column, value = _key(key or "")
            found = proofs.find_rows(column, value, table)
            if len(found) != 1:
                hint = "name the row: --row N" if found else "show that a whole record is absent: --record"
                rows = ", ".join(map(str, found[:10]))
                got = f"rows {rows}{' ...' if len(found) > 10 else ''}" if found else "none"
                raise MalformedError("not one row has this key", expected="exactly one", got=got, hint=hint)
            begin, end = found[0], found[0] + 1
            table = ledger.table(target, data)
        return proofs.rows(begin, end, table), name


def _object(text: str) -> dict[str, JsonValue]:
    value = parse_json(text.encode("utf-8", "surrogateescape"), what="--record", max_bytes=MAX_REQUEST_BYTES)
    if not isinstance(value, dict):
        raise MalformedError("--record is no object", expected='{"column": value, ...}', got=type(value).__name__)
    return value


def _range(text: str) -> tuple[int, int]:
    match = _ROWS.fullmatch(text)
    if match is None or (match[2] is not None and int(match[2]) < int(match[1])):
        raise MalformedError("--row has another form", expected="N or N-M, counted from 0", got=text)
    return int(match[1]), int(match[2] or match[1]) + 1


def _key(text: str) -> tuple[str, JsonValue]:
    column, equals, value = text.partition("=")
    if not (column and equals):
        raise MalformedError("--key has another form", expected="COLUMN=VALUE", got=text)
    try:
        parsed: JsonValue = json.loads(value)
    except ValueError:
        return column, value
    return column, parsed


def _show(run: Invocation, document: ProofDocument, name: str, output: str) -> None:
    from provenance.cli.proof_view import proof_rows
    from provenance.fingerprint.proof import encode_proof_document

    data = encode_proof_document(document)
    rows = [("dataset", name), *proof_rows(document)]
    if output == STDOUT:
        run.stream(data.decode("utf-8") + "\n")
    else:
        write_file(output, data)
        count = len(document.claim.hashes)
        rows += [
            ("proof", f"{output} ({count} hash{'' if count == 1 else 'es'}, {size_text(len(data))})"),
            ("check it", f"provenance verify --proof {shlex.quote(output)}, anywhere, with the digest alone"),
        ]
        run.screen.pairs(rows)
    run.document({"dataset": name, "digest": {"sha256": document.digest.hex}, "proof": json.loads(data)})
