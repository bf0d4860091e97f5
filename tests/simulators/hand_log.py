"""A transparency log written by hand from c2sp.org/tlog-tiles, tlog-checkpoint and signed-note: nothing of ours in it.

Paths, tiles, roots and signatures are made from the texts' own definitions, as slowly and plainly as they read.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf(data: bytes) -> bytes:
    """RFC 6962 section 2.1: the hash of a leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def mth(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 section 2.1: the Merkle Tree Hash over leaf hashes."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + mth(leaves[:split]) + mth(leaves[split:])).digest()


def place(index: int) -> str:
    """The index of a tile as path elements of three digits."""
    text = str(index)
    while len(text) % 3:
        text = "0" + text
    parts = [text[at : at + 3] for at in range(0, len(text), 3)]
    return "/".join(["x" + part for part in parts[:-1]] + parts[-1:])


class HandLog:
    """A log that signs what it is told to."""

    def __init__(self, origin: str = "other.example/log", seed: bytes = b"\x07" * 32, name: str | None = None) -> None:
        self.origin, self.name = origin, name or origin
        self.extensions: tuple[str, ...] = ()
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._key.public_key().public_bytes_raw()
        self._key_id = hashlib.sha256(self.name.encode() + b"\n\x01" + self._public).digest()[:4]

    @property
    def vkey(self) -> str:
        """The verifier key."""
        material = base64.b64encode(b"\x01" + self._public).decode()
        return f"{self.name}+{self._key_id.hex()}+{material}"

    def sign(self, size: int, root: bytes) -> bytes:
        """The signed checkpoint."""
        lines = (self.origin, str(size), base64.b64encode(root).decode(), *self.extensions)
        text = "".join(f"{line}\n" for line in lines).encode()
        blob = base64.b64encode(self._key_id + self._key.sign(text)).decode()
        return text + f"\n\u2014 {self.name} {blob}\n".encode()

    def files(self, entries: Sequence[bytes]) -> dict[str, bytes]:
        """Every file of the log of these entries, by its path."""
        rows = [[leaf(entry) for entry in entries]]
        while len(rows[-1]) >= 256:
            below = rows[-1]
            rows.append([mth(below[at : at + 256]) for at in range(0, len(below) // 256 * 256, 256)])
        root = self._root(rows)
        found = {"checkpoint": self.sign(len(entries), root)}
        for level, row in enumerate(rows):
            for index in range(0, len(row), 256):
                hashes = row[index : index + 256]
                found[f"tile/{level}/{self._tile(index // 256, len(hashes))}"] = b"".join(hashes)
        for index in range(0, len(entries), 256):
            some = entries[index : index + 256]
            bundle = b"".join(len(entry).to_bytes(2, "big") + entry for entry in some)
            found[f"tile/entries/{self._tile(index // 256, len(some))}"] = bundle
        return found

    def write(self, folder: Path, entries: Sequence[bytes]) -> dict[str, bytes]:
        """Write the files, over those of an earlier size; what was written."""
        found = self.files(entries)
        for name, data in found.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return found

    def _tile(self, index: int, width: int) -> str:
        return place(index) + (f".p/{width}" if width < 256 else "")

    def _root(self, rows: list[list[bytes]]) -> bytes:
        """The root over the leaves, where each 256 of a row are one of the next: the same hash, sooner."""
        if not rows[0]:
            return EMPTY_ROOT
        value: bytes | None = None
        for level, row in enumerate(rows):
            rest = row[len(row) // 256 * 256 :] if level + 1 < len(rows) else row
            if rest:
                value = self._joined(rest, value)
        assert value is not None
        return value

    def _joined(self, hashes: list[bytes], right: bytes | None) -> bytes:
        """The hash over perfect subtrees of one size and what is to their right."""
        if right is None:
            return mth(hashes)
        pieces = []
        while hashes:
            width = 1
            while width * 2 <= len(hashes):
                width *= 2
            pieces.append(mth(hashes[:width]))
            hashes = hashes[width:]
        for piece in reversed(pieces):
            right = hashlib.sha256(b"\x01" + piece + right).digest()
        return right
