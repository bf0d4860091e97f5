"""One file on a web server (`http://`, `https://`).

Invariants: the file is called by the last part of the URL's path, percent-decoded, whatever the server calls it or
redirects to; its size must be stated; state is ETag, Last-Modified, Content-Encoding and size. What is hashed are the
bytes as the server keeps them: it is asked for no coding (`Accept-Encoding: identity`), and what still comes with one,
as objects do that were stored compressed, is hashed as it came, as `curl` would save it. A server that compresses as it
sends states no size and is refused.

A folder of a web server is not listed: there is no one way to, and a page of links is no list of files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from urllib.parse import unquote_to_bytes, urlsplit

from provenance.encoding import Digest
from provenance.errors import SourceError
from provenance.sources.remote.failures import TransientError
from provenance.sources.remote.objects import StoredObject, checked_object
from provenance.sources.remote.patience import Patience
from provenance.sources.remote.ranges import Validators, WebFile, read_range, validators
from provenance.sources.remote.transport import Answer, Target, Transport, check_status


class WebStore:
    """The file that a URL names. `stated` is the digest its address says it has, where it does."""

    range_bytes = None
    is_immutable = False

    def __init__(
        self, url: str, label: str, patience: Patience, *, name: str | None = None, stated: Digest | None = None
    ) -> None:
        self.label = label
        self._target = Target(url, label)
        self._name = name if name is not None else file_name(url, label)
        self._stated = stated
        self._transport = Transport(patience)

    def list(self) -> Sequence[StoredObject]:
        """The one file."""
        # Links that were signed for GET refuse HEAD, and some servers say less in its answer.
        return [self._ask("HEAD") or self._ask("GET") or self._unstated()]

    def stat(self, name: str) -> StoredObject:
        """The one file, if it has this name."""
        (found,) = self.list()
        if found.name != name:
            raise SourceError("no such file", expected=found.name, got=ascii(name), where=self.label)
        return found

    def state_digests(self, found: Sequence[StoredObject]) -> Sequence[StoredObject]:
        """The same: a web server states no digest that is one of the content."""
        return found

    def can_resume(self, stored: StoredObject, /) -> bool:
        """Whether the file has a strong ETag."""
        return Validators(*stored.state).is_strong

    def read(self, stored: StoredObject, start: int, stop: int) -> Iterator[bytes]:
        """The bytes of the file."""
        file = WebFile(replace(self._target, url=stored.key), stored.size, Validators(*stored.state))
        return read_range(self._transport, file, start, stop)

    def close(self) -> None:
        """Nothing is kept open."""

    def check(self, answer: Answer) -> None:
        """Raise if an answer with content is not the file. For gateways, whose folders answer with a page."""

    def _ask(self, method: str) -> StoredObject | None:
        with self._transport.request(method, self._target) as answer:
            if method == "HEAD" and answer.status >= 400 and answer.status not in (429, 500, 502, 503, 504):
                return None
            check_status(answer, self.label, is_listed=False)
            if answer.status == 206:
                raise TransientError("a part that was not asked for")
            self.check(answer)
            size = answer.content_bytes(self.label)
            if size is None:
                return None
            found = validators(answer)
            state = (found.etag, found.last_modified, found.coding)
            file = checked_object(self._name, self._target.url, size, state, where=self.label, stated=self._stated)
            return replace(file, is_alone=True)

    def _unstated(self) -> StoredObject:
        hint = "download it, and fingerprint the file"
        raise SourceError("server does not say how large the file is", where=self.label, hint=hint)


def file_name(url: str, label: str) -> str:
    """What the file at a URL is called. `SourceError` for a folder, or a name that cannot be a file's."""
    last = urlsplit(url).path.rpartition("/")[2]
    if not last:
        hint = "name one file, or read the folder from where it lies (s3://, a mounted path)"
        raise SourceError("a folder of a web server is not listed", where=label, hint=hint)
    try:
        name = unquote_to_bytes(last).decode()
    except UnicodeDecodeError:
        raise SourceError("file name is not UTF-8", got=ascii(last), where=label) from None
    if "/" in name:
        raise SourceError("file name holds a slash", got=ascii(name), where=label)
    return checked_object(name, url, 0, (), where=label).name
