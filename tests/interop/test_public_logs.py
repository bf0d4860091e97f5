"""Notes that others published: the examples of the C2SP pages, and checkpoints of public logs with real witnesses.

None of these keys or signatures was made by this project.
"""

from __future__ import annotations

import random
import re
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from provenance.errors import ProvenanceError
from provenance.log import (
    Checkpoint,
    encode_checkpoint,
    encode_vkey,
    open_checkpoint,
    open_cosigned,
    open_note,
    parse_checkpoint,
    parse_note,
    parse_vkey,
)
from provenance.log.algorithm import cosignature_message, cosignature_time, subtree_message
from provenance.log.note import encode_note
from tests.interop.peer import Peer

# c2sp.org/signed-note, "Verifier keys" and "Example".
FOO_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = """This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
""".encode()

# c2sp.org/signed-note, at its head; its key is not published.
POEM_NOTE = """Ognuno sta solo sul cuor della terra
trafitto da un raggio di sole:

ed è subito sera.

— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=
""".encode()  # noqa: E501 - the line as it was signed

# c2sp.org/tlog-cosignature, at its head; neither key is published.
SOFA_NOTE = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
""".encode()  # noqa: E501
SOFA_MESSAGE = b"""cosignature/v1
time 1679315147
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
"""

# A tree that the Go checksum database signed: the example above is of it, with another first line and another name.
SUM_TREE = "go.sum database tree"
SUM_NAME = "sum.golang.org"
SUM_NOTE = (
    SOFA_NOTE[: SOFA_NOTE.rindex("— ".encode())]
    .replace(b"example.com/behind-the-sofa\n", b"go.sum database tree\n")
    .replace("— example.com/behind-the-sofa ".encode(), f"— {SUM_NAME} ".encode())
)

# A certificate transparency log of TrustFabric's with the cosignatures of four operators. Its first line is an RFC 6962
# tree head (type 0x05), which this project does not know.
ARCHE = "arche2025h1.staging.ct.transparency.dev"
ARCHE_NOTE = f"""{ARCHE}
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— {ARCHE} zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— {ARCHE} ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
""".encode()  # noqa: E501
ARCHE_VKEY = f"{ARCHE}+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
WITNESS_VKEYS = (
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
    "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
)
ARCHE_TIME_S = 1_779_573_024

# Another of its logs: Geomys' witness signed with both its keys, Ed25519 and ML-DSA-44.
PUBLISHED = Path(__file__).resolve().parent / "published"
COACH_TIME_S = 1_785_704_691


@pytest.fixture(scope="module")
def sum_vkey(go_root: Path) -> str:
    """The key of the Go checksum database, as the Go tool-chain has it in its own source."""
    found = go_root / "src/cmd/go/internal/modfetch/key.go"
    match = re.search(r'"(sum\.golang\.org\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+)"', found.read_text("utf-8"))
    assert match, found
    return match[1]


def _refuses_changes(note: bytes, opened: Callable[[bytes], object], signed: int) -> None:
    """Every byte of the text and of the last `signed` bytes: changed, the note does not open."""
    chance = random.Random(1)
    opened(note)
    for at in (*range(note.rindex(b"\n\n")), *range(len(note) - signed, len(note))):
        bad = note[:at] + bytes([note[at] ^ chance.randrange(1, 256)]) + note[at + 1 :]
        with pytest.raises(ProvenanceError):
            opened(bad)


def test_the_example_of_signed_note(go: Peer) -> None:
    verifier = parse_vkey(FOO_VKEY)
    assert encode_vkey(verifier) == FOO_VKEY
    assert open_note(FOO_NOTE, [verifier]).text == b"This is an example message.\n"
    assert go.ask("open", note=FOO_NOTE, vkeys=[FOO_VKEY])["text"] == "This is an example message.\n"
    _refuses_changes(FOO_NOTE, lambda data: open_note(data, [verifier]), len(FOO_NOTE.splitlines(True)[-1]))


@pytest.mark.parametrize("data", [FOO_NOTE, POEM_NOTE, SOFA_NOTE, SUM_NOTE, ARCHE_NOTE])
def test_notes_of_others_are_written_back_as_they_were(data: bytes) -> None:
    note = parse_note(data)
    assert encode_note(note.text, note.signatures) == data


def test_the_example_of_tlog_cosignature() -> None:
    note = parse_note(SOFA_NOTE)
    head = parse_checkpoint(note.text)
    assert (head.origin, head.size) == ("example.com/behind-the-sofa", 20_852_163)
    log, witness = note.signatures
    assert (log.name, log.key_id.hex(), len(log.signature)) == (head.origin, "033de0ae", 64)
    assert (witness.name, witness.key_id.hex(), len(witness.signature)) == ("witness.example.com/w1", "8d66cf3f", 72)
    assert cosignature_time(witness.signature) == 1_679_315_147
    assert cosignature_message(note.text, 1_679_315_147) == SOFA_MESSAGE


def test_a_tree_of_the_go_checksum_database(go: Peer, sum_vkey: str) -> None:
    verifier = parse_vkey(sum_vkey)
    root = b64decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")
    assert open_checkpoint(SUM_NOTE, verifier, origin=SUM_TREE) == Checkpoint(SUM_TREE, 20_852_163, root)
    opened = go.ask("open", note=SUM_NOTE, vkeys=[sum_vkey])
    parsed = go.ask("parse-tree", text=opened["text"])
    assert (parsed["size"], b64decode(parsed["root"])) == (20_852_163, root)
    with pytest.raises(ProvenanceError, match="another log"):
        open_checkpoint(SUM_NOTE, verifier)
    with pytest.raises(ProvenanceError):  # as the page has it, with another origin, it is not signed by this key
        open_note(
            SOFA_NOTE.replace(b"\xe2\x80\x94 example.com/behind-the-sofa", b"\xe2\x80\x94 sum.golang.org"), [verifier]
        )
    last = len(SUM_NOTE.splitlines(True)[-1])
    _refuses_changes(SUM_NOTE, lambda data: open_checkpoint(data, verifier, origin=SUM_TREE), last)


def test_a_checkpoint_of_a_public_log_with_four_witnesses(go: Peer) -> None:
    log, witnesses = parse_vkey(ARCHE_VKEY), [parse_vkey(vkey) for vkey in WITNESS_VKEYS]
    assert [encode_vkey(witness) for witness in witnesses] == list(WITNESS_VKEYS)
    found = open_cosigned(ARCHE_NOTE, log, witnesses)
    assert (found.checkpoint.origin, found.checkpoint.size) == (ARCHE, 1_432_088_532)
    assert [one.witness for one in found.cosignatures] == witnesses
    assert {one.time_s for one in found.cosignatures} == {ARCHE_TIME_S}
    opened = go.ask("open", note=ARCHE_NOTE, vkeys=[ARCHE_VKEY, *WITNESS_VKEYS])
    assert [one["name"] for one in opened["verified"]] == [ARCHE, *(witness.name for witness in witnesses)]
    assert opened["text"].encode() == encode_checkpoint(found.checkpoint)
    known_lines = sum(len(line) for line in ARCHE_NOTE.splitlines(True)[-5:])

    def is_whole(data: bytes) -> bool:
        try:
            return len(open_cosigned(data, log, witnesses).cosignatures) == len(witnesses)
        except ProvenanceError:
            return False

    chance = random.Random(2)
    assert is_whole(ARCHE_NOTE)
    for at in (*range(ARCHE_NOTE.rindex(b"\n\n")), *range(len(ARCHE_NOTE) - known_lines, len(ARCHE_NOTE))):
        bad = ARCHE_NOTE[:at] + bytes([ARCHE_NOTE[at] ^ chance.randrange(1, 256)]) + ARCHE_NOTE[at + 1 :]
        assert not is_whole(bad), at


def test_a_checkpoint_of_a_public_log_with_an_ml_dsa_44_cosignature(go: Peer) -> None:
    data = (PUBLISHED / "coachandhorses2026h1.note").read_bytes()
    vkeys = (PUBLISHED / "witnesses.vkeys").read_text("ascii").splitlines()
    keys = [parse_vkey(vkey) for vkey in vkeys]
    assert [(key.type_byte, encode_vkey(key)) for key in keys] == [(0x04, vkeys[0]), (0x06, vkeys[1])]
    note = open_note(data, keys)
    assert [line.key_id for line in note.verified] == [key.key_id for key in keys]
    assert {cosignature_time(line.signature) for line in note.verified} == {COACH_TIME_S}
    head = parse_checkpoint(note.text)
    # The structure of c2sp.org/tlog-cosignature, made here.
    origin, root = note.text.split(b"\n")[0], b64decode(note.text.split(b"\n")[2])
    name = keys[1].name.encode()
    message = b"".join(
        (b"subtree/v1\n\0", bytes([len(name)]), name, COACH_TIME_S.to_bytes(8, "big"), bytes([len(origin)]), origin)
    ) + b"".join((bytes(8), (185_550_722).to_bytes(8, "big"), root))
    assert subtree_message(keys[1].name, head, COACH_TIME_S) == message
    MLDSA44PublicKey.from_public_bytes(keys[1].public_key).verify(note.verified[1].signature[8:], message)
    # To Go the second key's line is one of an unknown key.
    opened = go.ask("open", note=data, vkeys=vkeys[:1])
    assert [one["id"] for one in opened["verified"]] == [keys[0].key_id.hex()]
    assert keys[1].key_id.hex() in [one["id"] for one in opened["unverified"]]

    chance, start = random.Random(3), data.rindex("— ".encode())
    for at in (*range(data.rindex(b"\n\n")), *chance.sample(range(start, len(data)), 200)):
        bad = data[:at] + bytes([data[at] ^ chance.randrange(1, 256)]) + data[at + 1 :]
        with pytest.raises(ProvenanceError):
            open_note(bad, keys[1:])
