"""Repositories of the Hugging Face Hub (`hf://datasets/owner/name@revision/path`), through huggingface_hub.

Invariants: the revision is resolved to a commit first, and everything is listed and read at that commit, which never
changes: a branch that moves meanwhile moves without us. For a file in LFS the Hub states the SHA-256 of its content;
for others it states the SHA-1 of a git blob, which is no hash of the content alone and is not taken. A computed
SHA-256 must be the stated one.

The token is that of `HF_TOKEN` or `hf auth login`; it goes to the Hub (`HF_ENDPOINT`) and not to where that redirects.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from provenance.encoding import Digest
from provenance.errors import MalformedError, SourceError
from provenance.sources.remote.address import Address
from provenance.sources.remote.failures import guarded
from provenance.sources.remote.objects import StoredObject, checked_listing, checked_object, object_label
from provenance.sources.remote.patience import Patience, patiently
from provenance.sources.remote.ranges import WebFile, read_range
from provenance.sources.remote.transport import Target, Transport

_KINDS: Final = {"dataset": "datasets/", "model": "", "space": "spaces/", "kernel": "kernels/"}


@dataclass(frozen=True, slots=True)
class _Pinned:
    """A path in a repository at a commit."""

    kind: str
    repository: str
    commit: str
    inside: str

    @property
    def root(self) -> str:
        return f"{_KINDS[self.kind]}{self.repository}@{self.commit}"


class HubStore:
    """A repository, a folder in it, or a file."""

    range_bytes = None
    is_immutable = True

    def __init__(self, address: Address, patience: Patience) -> None:
        self.label = address.label
        if address.path.startswith("buckets/"):
            raise SourceError("buckets of the Hub are not read", hint="name a repository", where=self.label)
        self._address, self._patience = address, patience
        self._transport = Transport(patience)
        self._headers: dict[str, str] = {}
        self._found: Sequence[StoredObject] | None = None
        self._fs = guarded(self._open, self.label, is_listed=False)

    def _open(self) -> Any:
        from huggingface_hub import HfFileSystem
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # loaded when asked for

        self._headers = {name: str(value) for name, value in build_hf_headers().items() if name == "authorization"}
        endpoint = os.environ.get("HF_ENDPOINT") or None
        return HfFileSystem(endpoint=endpoint, skip_instance_cache=True, use_listings_cache=False)

    def list(self) -> Sequence[StoredObject]:
        """The files at the commit that the revision named when it was first asked for."""
        if self._found is None:
            work = lambda: guarded(self._listed, self.label, is_listed=False)  # noqa: E731
            self._found = checked_listing(patiently(self._patience, self.label, work), self.label)
        return self._found

    def _listed(self) -> Sequence[StoredObject]:
        from huggingface_hub import HfApi

        place = self._place()
        api = HfApi(endpoint=self._fs.endpoint)
        found = api.repo_info(
            place.repo_id, repo_type=place.repo_type, revision=place.revision, timeout=self._patience.read_s
        )
        if not found.sha:
            raise SourceError("the Hub does not say at which commit the repository is", where=self.label)
        pinned = _Pinned(place.repo_type, place.repo_id, found.sha, place.path_in_repo.strip("/"))
        listed = self._fs.find(f"{pinned.root}/{pinned.inside}".rstrip("/"), detail=True)
        return [self._object(pinned, path.removeprefix(f"{pinned.root}/"), info) for path, info in listed.items()]

    def _place(self) -> Any:
        try:
            return self._fs.resolve_path(self._address.path)
        except (ValueError, NotImplementedError):
            failure = SourceError("not a repository", expected="hf://datasets/owner/name", where=self.label)
        raise failure

    def _object(self, pinned: _Pinned, path: str, info: Any) -> StoredObject:
        from huggingface_hub import hf_hub_url

        if path == pinned.inside:
            name = path.rpartition("/")[2]
        else:
            name = path.removeprefix(f"{pinned.inside}/") if pinned.inside else path
        url = hf_hub_url(
            pinned.repository, path, repo_type=pinned.kind, revision=pinned.commit, endpoint=self._fs.endpoint
        )
        state = (pinned.commit, str(info.get("blob_id") or ""))
        stated = _stated(info.get("lfs"), object_label(self.label, name))
        found = checked_object(name, url, info.get("size"), state, where=self.label, stated=stated)
        return replace(found, is_alone=path == pinned.inside)

    def stat(self, name: str) -> StoredObject:
        """The file of this name."""
        for found in self.list():
            if found.name == name:
                return found
        raise SourceError("no such file", where=object_label(self.label, name))

    def state_digests(self, found: Sequence[StoredObject]) -> Sequence[StoredObject]:
        """The same: the listing has them."""
        return found

    def can_resume(self, _stored: StoredObject, /) -> bool:
        """A file at a commit is always the same."""
        return True

    def read(self, stored: StoredObject, start: int, stop: int) -> Iterator[bytes]:
        """The bytes of the file."""
        target = Target(stored.key, object_label(self.label, stored.name), self._headers)
        return read_range(self._transport, WebFile(target, stored.size, None), start, stop)

    def close(self) -> None:
        """Nothing of ours is kept open; the library's client is one a process."""


def _stated(lfs: Any, where: str) -> Digest | None:
    """The SHA-256 of a file in LFS. `SourceError` for an object id that is none."""
    text = lfs.get("sha256") if isinstance(lfs, dict) else getattr(lfs, "sha256", None)
    if text is None:
        return None
    try:
        return Digest.from_hex(str(text), what="LFS object id")
    except MalformedError:
        raise SourceError("LFS object id is no SHA-256", got=ascii(text), where=where) from None
