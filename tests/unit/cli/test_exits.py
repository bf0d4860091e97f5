"""The table from errors to exit codes."""

from __future__ import annotations

import errno

import pytest

from provenance import errors
from provenance.chains import RejectedError, RevertedError
from provenance.cli.exits import ENVIRONMENT, FAILED, TABLE, USAGE, failure_of
from provenance.errors import MalformedError, ProvenanceError, StoreError


def descendants(root: type[BaseException]) -> set[type[BaseException]]:
    return {root}.union(*(descendants(child) for child in root.__subclasses__()))


def test_every_error_of_the_tree_has_a_row() -> None:
    rows = tuple(error for error, _, _ in TABLE)
    defined = {e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, ProvenanceError)}
    missing = {
        error for error in (defined | descendants(ProvenanceError)) - {ProvenanceError} if not issubclass(error, rows)
    }
    assert missing == set()


def test_no_row_is_hidden_by_one_above_it() -> None:
    for number, (error, _, _) in enumerate(TABLE):
        assert not any(issubclass(error, above) for above, _, _ in TABLE[:number])


def test_kinds_are_distinct() -> None:
    assert len({kind for _, kind, _ in TABLE}) == len(TABLE)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.VerificationError("x"), FAILED),
        (errors.MalformedError("x"), USAGE),
        (errors.LimitError("x"), USAGE),
        (errors.NotFoundError("x"), USAGE),
        (errors.SourceError("x"), USAGE),
        (errors.CommandError("x", status=3), FAILED),
        (errors.PolicyError("x"), USAGE),
        (errors.ConflictError("x"), USAGE),
        (errors.SignerError("x"), USAGE),
        (errors.StoreError("x"), ENVIRONMENT),
        (errors.ChainError("x"), ENVIRONMENT),
        (errors.LogError("x"), ENVIRONMENT),
        (RejectedError("x"), ENVIRONMENT),
        (RevertedError("x"), ENVIRONMENT),
        (OSError(errno.ENOSPC, "No space left on device"), ENVIRONMENT),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), ENVIRONMENT),
        (TimeoutError("x"), ENVIRONMENT),
        (KeyError("x"), ENVIRONMENT),
        (RecursionError("x"), ENVIRONMENT),
    ],
)
def test_codes(error: BaseException, code: int) -> None:
    assert failure_of(error).code == code


def test_the_message_says_what_expected_got_where() -> None:
    failure = failure_of(
        MalformedError("not a thing", expected="a thing", got="x\x1b[31m", where="line 1", hint="look")
    )
    assert failure.message == "not a thing; expected a thing; got x\\x1b[31m; at line 1"
    assert failure.to_json() == {
        "error": {
            "kind": "malformed",
            "message": "not a thing; expected a thing; got x\\x1b[31m; at line 1",
            "what": "not a thing",
            "expected": "a thing",
            "got": "x\x1b[31m",
            "where": "line 1",
            "hint": "look",
            "exitCode": 2,
        }
    }


def test_a_long_place_is_shortened() -> None:
    message = failure_of(StoreError("cannot write", where="x" * 5_000)).message
    assert len(message) < 500
    assert "(5000 characters)" in message


def test_an_unexpected_error_keeps_its_text_to_itself() -> None:
    failure = failure_of(KeyError("a passphrase"))
    assert failure.kind == "internal"
    assert "passphrase" not in str(failure.to_json())
    assert failure.hint is not None and "PROVENANCE_DEBUG=1" in failure.hint


def test_a_system_error_says_what_and_where() -> None:
    failure = failure_of(OSError(errno.EACCES, "Permission denied", b"/x\xff"))
    assert (failure.kind, failure.message) == ("system", "Permission denied; at /x\\udcff")
