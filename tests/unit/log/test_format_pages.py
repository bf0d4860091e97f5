"""The examples in docs/formats/ are what the code writes: a page that drifts fails here.

A page marks an example with `<!-- example: NAME -->` before a fenced block; `EXAMPLES` holds the same name.
"""

from __future__ import annotations

import re
from functools import cache

import pytest

from provenance.log import (
    Checkpoint,
    Cosigner,
    NoteSigner,
    PolicyGroup,
    PolicyLog,
    PolicyWitness,
    TileReader,
    TlogPolicy,
    TlogProof,
    add_signatures,
    encode_entries,
    encode_proof,
    encode_tile_path,
    encode_tlog_policy,
    encode_vkey,
    entry_leaf,
    integrate,
    open_cosigned,
    parse_proof,
    parse_tlog_policy,
    parse_vkey,
    sign_checkpoint,
    tile_paths,
    verify_proof,
)
from provenance.log.algorithm import ML_DSA_44, cosignature_message, subtree_message
from provenance.log.checkpoint import encode_checkpoint
from provenance.merkle import prove_inclusion
from tests.paths import PROJECT

PAGES = ("checkpoint.md", "tiles.md", "tlog-proof.md", "tlog-policy.md")
LOG = NoteSigner("ledger.example/main", bytes(range(32)))
WITNESS = Cosigner("witness.example/w1", bytes(range(32, 64)))
ML_DSA = Cosigner("witness.example/w1", bytes(range(64, 96)), ML_DSA_44)
_SHOWN_CHARS = 76
ENTRIES = [b"entry %d" % number for number in range(70_000)]
TIME_S = 1_679_315_147


@cache
def examples() -> dict[str, str]:
    """What each marked block of the pages holds, newline at the end included."""
    tree = integrate(lambda _level, _index: b"", 0, [entry_leaf(entry) for entry in ENTRIES])
    head = Checkpoint(LOG.name, tree.size, tree.root)
    signed = sign_checkpoint(head, LOG)
    small = integrate(lambda _level, _index: b"", 0, [entry_leaf(entry) for entry in ENTRIES[:5]])
    reader = TileReader(lambda level, index: small.tiles[level, index], small.size)
    checkpoint = sign_checkpoint(Checkpoint(LOG.name, small.size, small.root), LOG)
    proof = TlogProof(2, tuple(prove_inclusion(2, small.size, reader.read)), checkpoint)
    paths = [path for path in tile_paths(tree.size) if path.index >= 272 or path.level > 0]
    return {
        "log key": encode_vkey(LOG.verifier) + "\n",
        "witness key": encode_vkey(WITNESS.verifier) + "\n",
        "checkpoint": signed.decode(),
        "cosigned message": cosignature_message(encode_checkpoint(head), TIME_S).decode(),
        "cosigned checkpoint": add_signatures(signed, [WITNESS.cosign(head, TIME_S)]).decode(),
        "subtree message": _fields(subtree_message(WITNESS.name, head, TIME_S), 12, 19, 8, 20, 8, 8, 32),
        "ml dsa key": encode_vkey(ML_DSA.verifier)[:_SHOWN_CHARS] + "...\n",
        "right edge": "".join(f"{encode_tile_path(path)}\n" for path in paths),
        "bundle": encode_entries(ENTRIES[:2]).hex(" ") + "\n",
        "proof": encode_proof(proof).decode(),
        "policy": encode_tlog_policy(_policy()).decode(),
    }


def _policy() -> TlogPolicy:
    others = [Cosigner(f"witness.example/w{number}", bytes([number]) * 32) for number in (2, 3)]
    return TlogPolicy(
        (PolicyLog(LOG.verifier),),
        (
            PolicyWitness("w1", WITNESS.verifier, "https://witness.example"),
            PolicyWitness("w2", others[0].verifier),
            PolicyWitness("w3", others[1].verifier),
        ),
        (PolicyGroup("others", 1, ("w2", "w3")), PolicyGroup("both", 2, ("w1", "others"))),
        "both",
    )


def _fields(data: bytes, *lengths: int) -> str:
    """Hexadecimal, a field a line."""
    assert sum(lengths) == len(data)
    ends = [sum(lengths[: number + 1]) for number in range(len(lengths))]
    return "".join(data[end - length : end].hex(" ") + "\n" for end, length in zip(ends, lengths, strict=True))


def marked_blocks(page: str) -> dict[str, str]:
    text = (PROJECT / "docs" / "formats" / page).read_text(encoding="utf-8")
    return dict(re.findall(r"<!-- example: ([a-z ]+) -->\n```text\n(.*?)```\n", text, flags=re.DOTALL))


@pytest.mark.parametrize("page", PAGES)
def test_examples_of_the_page_are_what_the_code_writes(page: str) -> None:
    blocks = marked_blocks(page)
    assert blocks
    for name, block in blocks.items():
        assert block == examples()[name], f"{page}: example {name!r} has drifted"


def test_every_example_is_on_a_page() -> None:
    assert {name for page in PAGES for name in marked_blocks(page)} == set(examples())


def test_the_pages_examples_verify_from_their_text_alone() -> None:
    blocks = {name: block for page in PAGES for name, block in marked_blocks(page).items()}
    log, witness = parse_vkey(blocks["log key"].strip()), parse_vkey(blocks["witness key"].strip())
    opened = open_cosigned(blocks["cosigned checkpoint"].encode(), log, [witness])
    assert (opened.checkpoint.size, opened.cosignatures[0].time_s) == (70_000, TIME_S)
    proof = parse_proof(blocks["proof"].encode())
    assert verify_proof(proof, entry_leaf(b"entry 2"), log).checkpoint.size == 5
    assert parse_tlog_policy(blocks["policy"].encode()) == _policy()
