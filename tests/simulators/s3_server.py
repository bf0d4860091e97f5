"""A server of the S3 protocol (moto) on a port of its own choice or ours, and an environment that names it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]  # it has no stubs
import pytest
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

BUCKET = "public"
SECRET = "hunter2"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def name_endpoint(monkeypatch: pytest.MonkeyPatch, folder: Path, port: int) -> None:
    """Let every client of this process find the server at `port`, with credentials of its own."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"AKIA{SECRET.upper()}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")


@contextmanager
def s3_server(port: int) -> Iterator[Any]:
    """A client of the server at `port`, with a bucket, while it runs. What was stored outlives it: see `forget`."""
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    client = boto3.client("s3")
    try:
        client.create_bucket(Bucket=BUCKET)
        yield client
    finally:
        client.close()
        server.stop()


def forget() -> None:
    """Empty every bucket there ever was."""
    for account in s3_backends.values():
        for backend in account.values():
            backend.reset()


def objects(client: Any, prefix: str = "") -> dict[str, Any]:
    """What is stored below a prefix: answers of GetObject, with `Body` read, by what follows the prefix."""
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
        for item in page.get("Contents", ()):
            answer = client.get_object(Bucket=BUCKET, Key=item["Key"])
            found[item["Key"].removeprefix(prefix)] = {**answer, "Body": answer["Body"].read()}
    return found
