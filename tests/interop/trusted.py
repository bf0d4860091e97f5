"""What @sigstore/verify is told of a log that it shall trust."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from provenance.log import NoteVerifier


def trusted_log(verifier: NoteVerifier) -> dict[str, object]:
    """The log's name, its key as SPKI, and the id that stands before its signatures."""
    public = Ed25519PublicKey.from_public_bytes(verifier.public_key)
    key = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {"origin": verifier.name, "key": key, "keyId": verifier.key_id}
