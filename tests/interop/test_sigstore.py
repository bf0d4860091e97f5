"""npm's @sigstore/verify: our checkpoints, our inclusion proofs, and a whole bundle whose entry is in our log.

It signs nothing, builds no proof and knows no consistency proofs and no cosignatures, so that its direction is ours to
it. Rekor's entries are JSON bodies and ours are DSSE envelopes: an inclusion proof of any entry verifies, but its
`Verifier` goes on to compare the entry with the bundle and so takes a log of Rekor's bodies alone. One is made here.
"""

from __future__ import annotations

import json
import random
from base64 import b64decode, b64encode
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from provenance.encoding import Digest
from provenance.errors import ProvenanceError
from provenance.log import (
    Checkpoint,
    Cosigner,
    LogSigner,
    NoteSigner,
    add_signatures,
    entry_leaf,
    integrate,
    open_checkpoint,
    sign_checkpoint,
)
from provenance.log.algorithm import ML_DSA_44
from provenance.log.note import encode_signature_line
from provenance.log.tile import TileReader
from provenance.merkle import prove_inclusion
from provenance.signature import OmsResource, derive_private_key, oms_payload, sign_oms
from tests.interop.peer import Peer, Refused
from tests.interop.trees import LARGE, PREFIX, SMALL, changed, changed_proofs, largest, places
from tests.interop.trusted import trusted_log

SEED = 162
LOG = NoteSigner("sigstore.example/log", bytes(range(32)))
WITNESS = Cosigner("witness.example/w1", b"\x02" * 32)
BOTH = LogSigner((LOG, Cosigner(LOG.name, b"\x05" * 32, ML_DSA_44)))


def _log(signer: NoteSigner = LOG) -> dict[str, object]:
    return trusted_log(signer.verifier)


def _head(size: int) -> Checkpoint:
    return Checkpoint(LOG.name, size, largest().root(size))


def test_it_opens_our_checkpoints(sigstore: Peer) -> None:
    for size in (*SMALL, *LARGE):
        bare = sign_checkpoint(_head(size), LOG)
        cosigned = add_signatures(bare, [WITNESS.cosign(_head(size), 1_700_000_000)])
        for note in (bare, cosigned, sign_checkpoint(_head(size), BOTH)):
            found = sigstore.ask("checkpoint", log=_log(), note=note)
            assert found["origin"] == LOG.name
            assert (int(found["size"]), b64decode(found["root"])) == (size, largest().root(size))
    largest_size = Checkpoint(LOG.name, 2**64 - 1, bytes(32))
    assert sigstore.ask("checkpoint", log=_log(), note=sign_checkpoint(largest_size, LOG))["size"] == str(2**64 - 1)


def test_it_refuses_our_checkpoint_with_one_byte_changed(sigstore: Peer) -> None:
    chance, note = random.Random(SEED), sign_checkpoint(_head(70), LOG)
    taken = set()
    for at in range(len(note)):
        for change in (0x01, 0x80, chance.randrange(1, 256)):
            bad = note[:at] + bytes([note[at] ^ change]) + note[at + 1 :]
            if sigstore.accepts("checkpoint", log=_log(), note=bad):
                taken.add((at, bad))
            with pytest.raises(ProvenanceError):
                open_checkpoint(bad, LOG.verifier)
    # It looks for a signature line anywhere below the text, and takes base64 without padding or with unused bits.
    assert all(at >= len(note) - 4 for at, _ in taken), sorted(taken)


def test_it_refuses_another_key_another_id_and_another_name(sigstore: Peer) -> None:
    note = sign_checkpoint(_head(70), LOG)
    other = NoteSigner(LOG.name, bytes(32))
    for log in (
        _log(other),
        _log(other) | {"keyId": LOG.verifier.key_id},
        _log() | {"keyId": other.verifier.key_id},
        _log() | {"origin": "another.example/log"},
    ):
        with pytest.raises(Refused, match="invalid checkpoint signature"):
            sigstore.ask("checkpoint", log=log, note=note)


def test_one_good_signature_is_enough_for_it(sigstore: Peer) -> None:
    """It passes over a bad one of the same key; we refuse the note."""
    note = sign_checkpoint(_head(70), LOG)
    bad = encode_signature_line(replace(NoteSigner(LOG.name, bytes(32)).sign(b"a\n"), key_id=LOG.verifier.key_id))
    assert not sigstore.accepts("checkpoint", log=_log(), note=note.rpartition(b"\xe2\x80\x94")[0] + bad)
    assert sigstore.accepts("checkpoint", log=_log(), note=note + bad)
    with pytest.raises(ProvenanceError, match="does not verify"):
        open_checkpoint(note + bad, LOG.verifier)


def test_it_verifies_our_inclusion_proofs(sigstore: Peer) -> None:
    chance, tree = random.Random(SEED), largest()
    for size in (*SMALL[::3], *LARGE):
        note = sign_checkpoint(_head(size), LOG)
        for index in places(size, SEED):
            entry, proof = f"{PREFIX}{index}".encode(), tree.inclusion(index, size)
            asked: dict[str, Any] = {"log": _log(), "note": note, "index": index, "entry": entry, "hashes": proof}
            assert sigstore.ask("inclusion", **asked)
            bad: list[dict[str, Any]] = [{"hashes": wrong} for wrong in changed_proofs(proof, chance)]
            bad += [{"entry": changed(entry, chance)}, {"index": index + 1}, {"index": -1}, {"index": size + 2**64}]
            for wrong in bad:
                assert not sigstore.accepts("inclusion", **asked | wrong), (size, index, wrong)


def test_every_byte_of_an_inclusion_proof_counts(sigstore: Peer) -> None:
    size, index = 70, 33
    note, proof = sign_checkpoint(_head(size), LOG), largest().inclusion(index, size)
    for number, one in enumerate(proof):
        for at in range(len(one)):
            wrong = [*proof[:number], one[:at] + bytes([one[at] ^ 1]) + one[at + 1 :], *proof[number + 1 :]]
            asked = {"note": note, "index": index, "entry": f"{PREFIX}{index}".encode(), "hashes": wrong}
            assert not sigstore.accepts("inclusion", log=_log(), **asked)


SIGNER = derive_private_key("ecdsa-p256", b"sigstore".ljust(48, b"\0"))


def _logged_bundle() -> tuple[dict[str, Any], dict[str, object]]:
    """An OMS bundle of ours with Rekor's body of it as entry 41 of 70 in a log of ours; and who signed it."""
    bundle = json.loads(sign_oms(oms_payload("data", [OmsResource("a.csv", Digest.of(b"1"))]), SIGNER))
    envelope = bundle["dsseEnvelope"]
    body = {
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": {
            "payloadHash": {"algorithm": "sha256", "value": sha256(b64decode(envelope["payload"])).hexdigest()},
            "signatures": [
                {
                    "signature": envelope["signatures"][0]["sig"],
                    "verifier": b64encode(SIGNER.public.pem.encode()).decode(),
                }
            ],
        },
    }
    entries = [f"{PREFIX}{number}".encode() for number in range(70)]
    entries[41] = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    grown = integrate(lambda level, index: b"", 0, [entry_leaf(entry) for entry in entries])
    reader = TileReader(lambda level, index: grown.tiles[level, index], grown.size)
    log_id = {"keyId": b64encode(LOG.verifier.key_id).decode()}
    bundle["verificationMaterial"]["tlogEntries"] = [
        {
            "logIndex": "41",
            "logId": log_id,
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": "0",
            "inclusionProof": {
                "logIndex": "41",
                "rootHash": b64encode(grown.root).decode(),
                "treeSize": str(grown.size),
                "hashes": [b64encode(one).decode() for one in prove_inclusion(41, grown.size, reader.read)],
                "checkpoint": {"envelope": sign_checkpoint(Checkpoint(LOG.name, 70, grown.root), LOG).decode()},
            },
            "canonicalizedBody": b64encode(entries[41]).decode(),
        }
    ]
    pem = SIGNER.public.pem.encode().splitlines()[1:-1]
    hint = bundle["verificationMaterial"]["publicKey"]["hint"]
    return bundle, {"hint": hint, "key": b64decode(b"".join(pem))}


def test_its_verifier_takes_a_bundle_that_is_in_our_log(sigstore: Peer) -> None:
    """What the package exports, from the bundle to the log's key, with nothing left out but time stamps."""
    bundle, signer = _logged_bundle()
    assert sigstore.ask("bundle", log=_log(), signer=signer, bundle=bundle)

    def refused(*path: str | int, value: object) -> str:
        bad = json.loads(json.dumps(bundle))
        place = bad["verificationMaterial"]["tlogEntries"]
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        with pytest.raises(Refused) as found:
            sigstore.ask("bundle", log=_log(), signer=signer, bundle=bad)
        return str(found.value)

    entry = bundle["verificationMaterial"]["tlogEntries"][0]
    proof = entry["inclusionProof"]
    wrong_hash = b64encode(bytes(32)).decode()
    assert "root hash" in refused(0, "inclusionProof", "hashes", 3, value=wrong_hash)
    assert "hash count" in refused(0, "inclusionProof", "hashes", value=proof["hashes"][1:])
    assert "root hash" in refused(0, "inclusionProof", "logIndex", value="40")
    envelope = proof["checkpoint"]["envelope"]
    assert "signature" in refused(0, "inclusionProof", "checkpoint", "envelope", value=envelope.replace("70", "71", 1))
    assert "signature" in refused(0, "logId", "keyId", value=b64encode(bytes(4)).decode())
    body = b64decode(entry["canonicalizedBody"])
    assert "root hash" in refused(0, "canonicalizedBody", value=b64encode(body + b" ").decode())
    bad = json.loads(json.dumps(bundle))
    bad["verificationMaterial"]["tlogEntries"] = []
    with pytest.raises(Refused, match="expected 1 tlog entries"):
        sigstore.ask("bundle", log=_log(), signer=signer, bundle=bad)
