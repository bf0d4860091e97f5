"""The part of the Hugging Face Hub's HTTP API that reads repositories, over a web server in memory.

`/api/datasets/NAME/revision/REV` names a commit, `/api/datasets/NAME/tree/REV/PATH` lists, and
`/datasets/NAME/resolve/REV/PATH` gives a file, the large ones by way of another host, as the Hub does.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.simulators.web_server import Handler, Page, WebServer

TOKEN = "hf_hunter2"
COMMITS = ("a" * 40, "b" * 40)


class Hub:
    """Repositories by name, each a list of files a commit. `is_private` asks for a token."""

    def __init__(self, web: WebServer, cdn: WebServer) -> None:
        self.web, self.cdn = web, cdn
        self.commits: dict[str, dict[str, tuple[bytes, bool]]] = {}
        """Commit to path to content and whether it is in LFS."""
        self.branch = COMMITS[0]
        self.is_private = False
        self.stated: dict[str, str] = {}
        """Path to an LFS object id that is not the content's."""
        web.pages = _Everything(self)

    @property
    def endpoint(self) -> str:
        """What `HF_ENDPOINT` is to be."""
        return self.web.url

    def answer(self, handler: Handler) -> None:
        """The answer to any request."""
        parts = urlsplit(handler.path)
        if self.is_private and handler.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._error(handler, 401, "RepoNotFound")
            return
        steps = unquote(parts.path).split("/")[1:]
        if steps[:4] != ["api", "datasets", "owner", "name"]:
            if steps[:4] == ["datasets", "owner", "name", "resolve"]:
                self._resolve(handler, steps[4], "/".join(steps[5:]))
            else:
                self._error(handler, 404, "RepoNotFound")
            return
        verb = steps[4] if len(steps) > 4 else "revision"
        revision = steps[5] if len(steps) > 5 else "main"
        commit = self.branch if revision == "main" else revision
        if commit not in self.commits:
            self._error(handler, 404, "RevisionNotFound")
        elif verb == "revision":
            self._json(handler, {"id": "owner/name", "sha": commit, "private": self.is_private, "siblings": []})
        elif verb == "tree":
            recursive = parse_qs(parts.query).get("recursive", [""])[0].lower() == "true"
            self._tree(handler, self.commits[commit], "/".join(steps[6:]), recursive)

    def _tree(self, handler: Handler, files: dict[str, tuple[bytes, bool]], folder: str, recursive: bool) -> None:
        prefix = f"{folder}/" if folder else ""
        found: dict[str, Any] = {}
        for path, (content, is_large) in sorted(files.items()):
            if not path.startswith(prefix):
                continue
            inner = path.removeprefix(prefix).split("/")
            for depth in range(1, len(inner)):
                name = prefix + "/".join(inner[:depth])
                if recursive or depth == 1:
                    found[name] = {"type": "directory", "oid": "c" * 40, "size": 0, "path": name}
            if recursive or len(inner) == 1:
                found[path] = self._file(path, content, is_large)
        if folder and not found:
            self._error(handler, 404, "EntryNotFound")
        else:
            self._json(handler, list(found.values()))

    def _file(self, path: str, content: bytes, is_large: bool) -> dict[str, Any]:
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry: dict[str, Any] = {"type": "file", "oid": blob, "size": len(content), "path": path}
        if is_large:
            oid = self.stated.get(path, hashlib.sha256(content).hexdigest())
            entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 130}
        return entry

    def _resolve(self, handler: Handler, revision: str, path: str) -> None:
        files = self.commits.get(revision, {})
        if path not in files:
            self._error(handler, 404, "EntryNotFound")
            return
        content, is_large = files[path]
        page = Page(content, etag=f'"{hashlib.sha1(content).hexdigest()}"')
        if not is_large:
            handler.serve(page)
            return
        place = f"/blobs/{quote(path)}?Signature=hunter2"
        self.cdn.pages.setdefault(place, page)
        handler.send(302, b"", {"Location": self.cdn.url.replace("127.0.0.1", "localhost") + place})

    def _json(self, handler: Handler, value: Any) -> None:
        handler.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _error(self, handler: Handler, status: int, code: str) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": "hunter2", "Content-Type": "application/json"}
        handler.send(status, b'{"error":"hunter2"}', headers)


class _Everything(dict[str, Any]):
    """Every path is the Hub's."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub

    def get(self, key: str, default: Any = None) -> Any:
        return self._hub.answer
