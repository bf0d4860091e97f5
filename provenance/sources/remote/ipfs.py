"""`ipfs://CID/path` through an HTTP gateway: the one that `PROVENANCE_IPFS_GATEWAY` names, or a public one.

What is checked, and what is not: if the CID is a CIDv1 of one raw block hashed with SHA-256 and no path follows, the
bytes are checked against it, and a gateway cannot lie. For every other CID (UnixFS files of several blocks, files in
folders, CIDv0) the digest over its blocks is not checked here: the bytes are what the gateway says they are, and the
fingerprint binds them from then on. A local gateway (`http://127.0.0.1:8080`) checks what it serves.

Sources: the CID and multibase specifications, the path gateway specification (specs.ipfs.tech).
"""

from __future__ import annotations

import base64
import os
import re
from typing import Final
from urllib.parse import quote, unquote

from provenance.encoding import Digest
from provenance.errors import SourceError
from provenance.sources.remote.address import Address, parse_address
from provenance.sources.remote.patience import Patience
from provenance.sources.remote.transport import Answer
from provenance.sources.remote.web import WebStore

DEFAULT_GATEWAY: Final = "https://ipfs.io"
GATEWAY_VARIABLE: Final = "PROVENANCE_IPFS_GATEWAY"

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_CID_V0 = re.compile(rf"Qm[{_BASE58}]{{44}}")
_CID_V1 = re.compile(rf"[bB][A-Za-z2-7]{{10,200}}|[fF][0-9A-Fa-f]{{20,300}}|z[{_BASE58}]{{10,200}}")
_RAW_SHA256 = bytes((0x01, 0x55, 0x12, 0x20))
"""CID version 1, codec raw, hash sha2-256, 32 bytes: each a varint of one byte."""


class GatewayStore(WebStore):
    """A file behind a CID, by way of a gateway."""

    def check(self, answer: Answer) -> None:
        """Raise if the gateway answers with a page that lists a folder."""
        if answer.header("ETag").startswith(('"DirIndex', 'W/"DirIndex')):
            hint = "name one file in it: ipfs://CID/path"
            raise SourceError("this CID is a folder, which a gateway does not list", where=self.label, hint=hint)


def open_gateway(address: Address, patience: Patience) -> GatewayStore:
    """The store for an `ipfs://` address. `SourceError` for what is no CID, or a gateway that is no web address."""
    cid, _, path = address.path.partition("/")
    if not (_CID_V0.fullmatch(cid) or _CID_V1.fullmatch(cid)):
        raise SourceError("not a CID", expected="a CIDv0 or CIDv1 in base32, base16 or base58", where=address.label)
    gateway = os.environ.get(GATEWAY_VARIABLE) or DEFAULT_GATEWAY
    try:
        base = parse_address(gateway)
    except SourceError as error:
        raise SourceError(f"{GATEWAY_VARIABLE} is not a web address", got=error.got) from None
    if base.kind != "http" or "?" in base.uri:
        raise SourceError(f"{GATEWAY_VARIABLE} is not a web address", expected="http(s)://host")
    name = unquote(path.rpartition("/")[2]) if path else cid
    if not name:
        raise SourceError("this names a folder, which a gateway does not list", where=address.label)
    url = f"{base.uri.rstrip('/')}/ipfs/{cid}" + (f"/{quote(path, safe='/%')}" if path else "")
    return GatewayStore(url, address.label, patience, name=name, stated=None if path else raw_digest(cid))


def raw_digest(cid: str) -> Digest | None:
    """The SHA-256 in a CIDv1 of one raw block; None for every other CID."""
    if not _CID_V1.fullmatch(cid):
        return None
    decoded = _decoded(cid)
    if len(decoded) != 36 or not decoded.startswith(_RAW_SHA256):
        return None
    return Digest(decoded[4:])


def _decoded(cid: str) -> bytes:
    base, text = cid[0], cid[1:]
    if base in "fF":
        return bytes.fromhex(text) if len(text) % 2 == 0 else b""
    if base in "bB":
        try:
            return base64.b32decode(text.upper() + "=" * (-len(text) % 8))
        except ValueError:
            return b""
    number = 0
    for character in text:
        number = number * 58 + _BASE58.index(character)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
