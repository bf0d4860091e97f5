"""The examples of the format pages are the bytes that the code makes.

A page marks an example with `<!-- example: NAME -->` before a fenced block; `EXAMPLES` holds the same name.
"""

from __future__ import annotations

import re

import pytest

from provenance.encoding import Digest
from provenance.signature import (
    IN_TOTO_PAYLOAD_TYPE,
    OmsResource,
    derive_private_key,
    encode_envelope,
    encode_private_key,
    oms_payload,
    pae,
    parse_envelope,
    parse_oms,
    parse_private_key,
    sign_envelope,
    sign_oms,
    verify_envelope,
    verify_oms,
)
from tests.paths import PROJECT

P256 = derive_private_key("ecdsa-p256", bytes(48))
ED25519 = derive_private_key("ed25519", bytes(32))
PAYLOAD = oms_payload("table", [OmsResource("a.csv", Digest.of(b"x,y\n1,2\n"))])
LOCKED = encode_private_key(ED25519, b"passphrase", entropy=bytes(range(32))).decode()

EXAMPLES = {
    "keys": {
        "p256 public key": P256.public.pem,
        "ed25519 public key": ED25519.public.pem,
        "key ids": f"{P256.public.keyid}\n{ED25519.public.keyid}\n",
        "encrypted key file": ED25519.public.pem + LOCKED,
    },
    "dsse-envelope": {
        "p256 envelope": encode_envelope(sign_envelope(b"{}", IN_TOTO_PAYLOAD_TYPE, P256)).decode() + "\n",
        "ed25519 envelope": encode_envelope(sign_envelope(b"{}", IN_TOTO_PAYLOAD_TYPE, ED25519)).decode() + "\n",
        "signed bytes": pae(IN_TOTO_PAYLOAD_TYPE, b"{}").decode() + "\n",
    },
    "oms-bundle": {"bundle": sign_oms(PAYLOAD, P256).decode() + "\n", "payload": PAYLOAD.decode() + "\n"},
}


def examples(page: str) -> dict[str, str]:
    text = (PROJECT / "docs" / "formats" / f"{page}.md").read_text(encoding="utf-8")
    return dict(re.findall(r"<!-- example: ([a-z0-9 ]+) -->\n```text\n(.*?)```\n", text, flags=re.DOTALL))


@pytest.mark.parametrize("page", EXAMPLES)
def test_examples_are_what_the_code_makes(page: str) -> None:
    assert examples(page) == EXAMPLES[page]


def test_a_reader_of_the_pages_alone_can_verify_them() -> None:
    for name, key in (("p256 envelope", P256), ("ed25519 envelope", ED25519)):
        verify_envelope(parse_envelope(examples("dsse-envelope")[name].strip().encode()), key.public)
    verify_oms(parse_oms(examples("oms-bundle")["bundle"].strip().encode()), P256.public)
    locked = examples("keys")["encrypted key file"].partition("-----END PUBLIC KEY-----\n")[2]
    assert parse_private_key(locked.encode(), b"passphrase").public == ED25519.public
