"""Writes docs/openapi.json and docs/api.md from the application.

docs_api.py              writes both
docs_api.py --check      says whether they are what the application gives now; status 1 if not
docs_api.py --examples   captures the examples anew first (keys and times change), then writes both
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
DOCS = PROJECT / "docs"
MAX_SHOWN_CHARS = 72
Document = dict[str, Any]


def main(arguments: list[str]) -> int:
    """Run one mode; the exit status."""
    if arguments not in ([], ["--check"], ["--examples"]):
        print((__doc__ or "").strip(), file=sys.stderr)
        return 2
    if arguments == ["--examples"]:
        from api_examples import write_examples  # needs what only the tests need

        write_examples()
        return subprocess.run([sys.executable, __file__], check=False).returncode  # with the new examples loaded
    document = current_document()
    wanted = {
        DOCS / "openapi.json": json.dumps(document, indent=1, ensure_ascii=False) + "\n",
        DOCS / "api.md": "\n".join(page(document)).rstrip("\n") + "\n",
    }
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if arguments == ["--check"]:
            print(f"{path.relative_to(PROJECT)} is stale: run scripts/docs_api.py", file=sys.stderr)
        else:
            path.write_text(wanted[path], encoding="utf-8")
    return 1 if stale and arguments == ["--check"] else 0


def current_document() -> Document:
    """The application's OpenAPI document."""
    from provenance import Ledger
    from provenance.server import create_app

    with tempfile.TemporaryDirectory() as folder, Ledger.init(folder) as ledger:
        return create_app(ledger).openapi()


def page(document: Document) -> Iterator[str]:
    """The lines of docs/api.md."""
    yield "<!-- Written by scripts/docs_api.py from the application: change the code, then run it. -->"
    yield from ("# HTTP API", "", document["info"]["description"], "")
    yield from starting()
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    yield from ("## Paths", "", "| | | |", "| --- | --- | --- |")
    for method, path, operation in operations:
        yield f"| {method} | [`{path}`](#{operation['operationId'].lower()}) | {operation['summary']} |"
    yield ""
    for tag in document["tags"]:
        yield from (f"## {tag['name'].capitalize()}", "", tag["description"], "")
        for method, path, operation in operations:
            if operation["tags"] == [tag["name"]]:
                yield from section(document, method, path, operation)
    yield from problem_kinds(document)
    yield from limits()


def starting() -> Iterator[str]:
    """How to start a server and talk to it."""
    yield from (
        "The whole description for machines is [openapi.json](openapi.json), which a server gives at `/openapi.json`.",
        "",
        "```console",
        "$ provenance serve --host 127.0.0.1 --port 8080",
        "$ curl -s http://127.0.0.1:8080/checkpoint",
        "$ curl -s -F file=@titanic.csv http://127.0.0.1:8080/v1/verify",
        '$ curl -s --json \'{"reference": "titanic/passengers@1"}\' http://127.0.0.1:8080/v1/verify',
        "$ curl -s --data-binary @envelope.json -H 'Content-Type: application/vnd.dsse.envelope.v1+json' \\",
        "    http://127.0.0.1:8080/v1/statements",
        "```",
        "",
    )


def section(document: Document, method: str, path: str, operation: Document) -> Iterator[str]:
    """One operation."""
    yield from (f'<a id="{operation["operationId"].lower()}"></a>', "")
    yield from (f"### `{method} {path}`", "", f"{operation['summary']}. {operation['description']}", "")
    parameters = operation.get("parameters", [])
    if parameters:
        yield from ("| parameter | in | meaning |", "| --- | --- | --- |")
        for item in parameters:
            default = item["schema"].get("default")
            given = f" Default: {json.dumps(default)}." if default is not None else ""
            bounds = bounds_of(item["schema"])
            yield f"| `{item['name']}` | {item['in']} | {item['description']}{bounds}{given} |"
        yield ""
    before: Document = {}
    for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
        again = body["examples"] == before
        yield from (f"Takes `{media_type}`, the same." if again else f"Takes `{media_type}`:", "")
        yield from () if again else shown(document, body)
        before = body["examples"]
    yield from ("| status | |", "| --- | --- |")
    for status, response in operation["responses"].items():
        described = resolve(document, response)
        headers = "".join(f" `{name}`: {field['description']}" for name, field in described.get("headers", {}).items())
        yield f"| {status} | {described['description']}{headers} |"
    yield ""
    for status, response in operation["responses"].items():
        for media_type, body in response.get("content", {}).items():
            yield from (f"{status}, `{media_type}`:", "")
            yield from shown(document, body)


def shown(document: Document, body: Document) -> Iterator[str]:
    """The examples of a body, long texts cut."""
    for reference in body["examples"].values():
        example = resolve(document, reference)
        value = example["value"]
        yield f"{example['summary']}:"
        yield ""
        yield "```text" if isinstance(value, str) else "```json"
        yield value.rstrip("\n") if isinstance(value, str) else json.dumps(cut(value), indent=2, ensure_ascii=False)
        yield from ("```", "")


def cut(value: Any) -> Any:
    """`value` with long texts shortened and long lists ended early."""
    if isinstance(value, dict):
        return {name: cut(child) for name, child in value.items()}
    if isinstance(value, list):
        return [cut(child) for child in value[:3]] + (["..."] if len(value) > 3 else [])
    if isinstance(value, str) and len(value) > MAX_SHOWN_CHARS:
        return value[: MAX_SHOWN_CHARS - 3] + "..."
    return value


def bounds_of(schema: Document) -> str:
    """What a parameter's schema bounds, in words."""
    if "maximum" in schema:
        return f" {schema['minimum']} to {schema['maximum']:,}."
    return f" At most {schema['maxLength']} characters." if "maxLength" in schema else ""


def problem_kinds(document: Document) -> Iterator[str]:
    """The table of problems."""
    from provenance.server.problems import KINDS, MEDIA_TYPE, TYPE_PREFIX

    yield from ("## Problems", "")
    yield f"Every answer that is no success is `{MEDIA_TYPE}`. `type` is `{TYPE_PREFIX}` and one of these:"
    yield from ("", "| type | status | title |", "| --- | --- | --- |")
    for kind in sorted(KINDS, key=lambda kind: (kind.status, kind.name)):
        yield f"| `{kind.name}` | {kind.status} | {kind.title} |"
    yield from ("", "```json")
    example = document["components"]["examples"]["problem409"]["value"]
    yield from (json.dumps(example, indent=2, ensure_ascii=False), "```", "")
    yield "Problems of the server's own machine (503) say what is wrong; details that could name paths go to its log."
    yield "503 has `Retry-After`. An unforeseen error (500) has an `instance` that is in the server's log."
    yield ""


def limits() -> Iterator[str]:
    """The table of limits."""
    from provenance.limits import MAX_ENTRY_BYTES, MAX_JSON_DEPTH, MAX_JSON_NODES, MAX_PAGE_ITEMS
    from provenance.server import DEFAULT_LIMITS

    server = DEFAULT_LIMITS
    rows = (
        ("URL", f"{server.max_url_bytes:,} bytes", 414),
        ("header fields", f"{server.max_head_bytes:,} bytes", 431),
        ("envelope", f"{MAX_ENTRY_BYTES:,} bytes", 413),
        ("JSON body of `/v1/verify`", f"{server.max_request_bytes:,} bytes", 413),
        ("uploaded file", f"{server.max_upload_bytes:,} bytes", 413),
        ("JSON", f"{MAX_JSON_DEPTH} levels, about {MAX_JSON_NODES:,} values", 413),
        ("page", f"1 to {MAX_PAGE_ITEMS:,} items", 400),
        ("time for a request's head", f"{server.head_timeout_s:g} s", "closed"),
        ("time for a body", f"{server.body_timeout_s:g} s, and 1 s per {server.min_body_bytes_per_s:,} bytes", 408),
        ("time to take 128 KiB of an answer", f"{server.send_timeout_s:g} s", "closed"),
        ("requests at a time", f"{server.max_requests}", 503),
        ("of those, verifications and bundles", f"{server.max_heavy_requests}", 503),
        ("of those, uploads", f"{server.max_uploads}", 503),
        ("bodies in memory, together", f"{server.max_held_bytes:,} bytes", 503),
        ("connections", f"{server.max_connections}", 503),
    )
    yield from ("## Limits", "", "| what | limit | over it |", "| --- | --- | --- |")
    for what, limit, status in rows:
        yield f"| {what} | {limit} | {status} |"
    yield ""
    yield "JSON is strict: UTF-8, no name twice, integers within 2^53 - 1, no NaN. Unknown query fields are refused."


def resolve(document: Document, value: Document) -> Document:
    """`value`, or what its `$ref` names."""
    found = value
    for name in value.get("$ref", "").removeprefix("#/").split("/") if "$ref" in value else ():
        found = document[name] if found is value else found[name]
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
