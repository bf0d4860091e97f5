"""What went wrong on the way to a store, as errors that hold no text of the other side.

Invariants: a library's message is never repeated, since a URL with a token may stand in it: what is shown is an HTTP
status, or the class of the error. Nor does an error raised here have the library's for its context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from provenance.errors import ProvenanceError, SourceError

_TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 522, 524})
_DENIED_STATUSES = frozenset({401, 403, 407})
_ABSENT_STATUSES = frozenset({404, 410})
_CHANGED_STATUSES = frozenset({412, 416})
_NO_CREDENTIALS = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "ClientAuthenticationError"}
    | {"ProfileNotFound", "TokenRetrievalError", "UnauthorizedSSOTokenError", "SSOTokenLoadError"}
)
_MAX_CHAIN = 8
_MAX_CODE_CHARS = 40

_Result = TypeVar("_Result")


class TransientError(Exception):
    """Something that may go well when it is tried again. `got` may be shown; it never leaves `provenance.sources`."""

    def __init__(self, got: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(got)
        self.got, self.retry_after_s = got, retry_after_s


def changed(where: str, *, expected: str | None = None, got: str | None = None) -> SourceError:
    """What is raised for an object that changed between two looks at it."""
    hint = "wait until nobody writes to it, or read a version that is pinned"
    return SourceError("object changed while it was read", expected=expected, got=got, where=where, hint=hint)


def denied(where: str, got: str) -> SourceError:
    """What is raised when the store does not let us in."""
    hint = "credentials come from the environment and the store's own configuration files, never from the URI"
    return SourceError("not allowed to read", got=got, where=where, hint=hint)


def damaged(where: str, *, expected: object = None, got: object = None) -> SourceError:
    """What is raised for bytes that do not have the digest that is stated of them."""
    hint = "read it again; if it stays so, the store holds damaged bytes"
    return SourceError("content is not what it is said to be", expected=expected, got=got, where=where, hint=hint)


def status_failure(
    status: int, where: str, *, is_listed: bool, retry_after_s: float | None = None, code: str = ""
) -> Exception:
    """What an HTTP status means; an object that was listed and is not there any more has changed."""
    got = f"HTTP status {status}" + (f" ({code})" if code else "")
    if status in _TRANSIENT_STATUSES:
        return TransientError(got, retry_after_s=retry_after_s)
    if status in _DENIED_STATUSES:
        return denied(where, got)
    if status in _CHANGED_STATUSES or (is_listed and status in _ABSENT_STATUSES):
        return changed(where, got=got)
    if status in _ABSENT_STATUSES:
        return SourceError("no such object or folder", where=where)
    return SourceError("cannot read", got=got, where=where)


def guarded(work: Callable[[], _Result], where: str, *, is_listed: bool) -> _Result:
    """What `work` returns; what a library raises in it becomes an error of ours that does not hold it."""
    try:
        return work()
    except (ProvenanceError, TransientError):
        raise
    except Exception as error:  # noqa: BLE001 - libraries raise what they like
        failure = library_failure(error, where, is_listed=is_listed)
    # Not in the handler: the library's error would be the context of ours.
    raise failure


def library_failure(error: BaseException, where: str, *, is_listed: bool) -> Exception:
    """What a library's error means, by the HTTP status it carries, else by its class."""
    chain = list(_chain(error))
    for link in chain:
        if type(link).__name__ in _NO_CREDENTIALS:
            return denied(where, "no credentials that work")
        if type(link).__name__ == "FlexibleChecksumError":  # botocore compares the store's checksum, if there is one
            return damaged(where)
    for link in chain:
        status = _status(link)
        if status is not None and status >= 400:
            return status_failure(status, where, is_listed=is_listed, code=_code(link))
    if isinstance(error, FileNotFoundError):
        return status_failure(404, where, is_listed=is_listed)
    if isinstance(error, PermissionError):
        return denied(where, "permission denied")
    # Errors of the network are of many classes; what is none of them does not go away by asking again.
    if any(isinstance(link, OSError | TimeoutError | EOFError) or _is_network_error(link) for link in chain):
        return TransientError(type(chain[-1]).__name__)
    return SourceError("cannot read", got=type(error).__name__, where=where)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(_MAX_CHAIN):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status if isinstance(status, int) else None
    for holder in (error, response):
        for name in ("status_code", "status", "code"):
            status = getattr(holder, name, None)
            if isinstance(status, int) and 100 <= status <= 599:
                return status
    return None


def _code(error: BaseException) -> str:
    """The name that a store gives its refusal, if it is a plain one (`AccessDenied`)."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    if isinstance(code, str) and code.isascii() and code.isalpha() and len(code) <= _MAX_CODE_CHARS:
        return code
    return ""


def _is_network_error(error: BaseException) -> bool:
    """Whether a library's error is about connections, by the names its classes go by (botocore, aiohttp, httpx)."""
    words = (
        "Connection",
        "Timeout",
        "IncompleteRead",
        "Payload",
        "HTTPClientError",
        "TransportError",
        "ResponseParser",
    )
    return any(word in kind.__name__ for kind in type(error).__mro__ for word in words)
