"""Other people's tools verify what we sign, unchanged: `model-signing` (library and command), `securesystemslib`.

And the other way round: what `model-signing` signs, we verify.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import model_signing
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)
from OpenSSL.crypto import FILETYPE_PEM, load_privatekey
from securesystemslib.dsse import Envelope as OtherEnvelope
from securesystemslib.exceptions import VerificationError as OtherVerificationError
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

from provenance.encoding import Digest
from provenance.errors import VerificationError
from provenance.signature import (
    IN_TOTO_PAYLOAD_TYPE,
    OmsResource,
    PrivateKey,
    derive_private_key,
    encode_envelope,
    encode_private_key,
    oms_payload,
    pae,
    parse_oms,
    parse_oms_key,
    sign_envelope,
    sign_oms,
    verify_oms,
    with_ml_dsa,
)
from tests.paths import data

SIGNER = derive_private_key("ecdsa-p256", b"interop".ljust(48, b"\0"))
OTHER = derive_private_key("ecdsa-p256", b"other".ljust(48, b"\0"))

FILES = {
    "a.csv": b"x,y\n1,2\n",
    "empty": b"",
    "sub/b.csv": b"1\n",
    "sub-1": b"2\n",
    "sub/deep/er/c": b"3\n",
    "spaced name.csv": b"4\n",
    "naïve-模型.bin": bytes(range(256)),
    "a:b:c": b"5\n",
    "-x": b"6\n",
    "line\nbreak": b"7\n",
}


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key.pub"
    path.write_text(SIGNER.public.pem)
    return path


def make(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def resources(files: dict[str, bytes]) -> list[OmsResource]:
    return [OmsResource(name, Digest.of(content)) for name, content in files.items()]


def write_bundle(path: Path, payload: bytes, signer: PrivateKey = SIGNER) -> Path:
    path.write_bytes(sign_oms(payload, signer))
    return path


def verify_with_library(dataset: Path, bundle: Path, key: Path) -> None:
    """As the library's documentation shows it. Raises ValueError."""
    config = model_signing.verifying.Config()  # type: ignore[no-untyped-call]
    config.use_elliptic_key_verifier(public_key=key).verify(dataset, bundle)


def run_model_signing(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "model_signing", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def command_verifies(dataset: Path, bundle: Path, key: Path, *options: str) -> bool:
    done = run_model_signing("verify", "key", dataset, "--signature", bundle, "--public_key", key, *options)
    assert done.returncode in (0, 1), done.stderr
    assert ("Verification succeeded" in done.stdout) == (done.returncode == 0)
    return done.returncode == 0


def test_model_signing_verifies_our_bundle_of_a_folder(tmp_path: Path, key_file: Path) -> None:
    dataset = make(tmp_path / "dataset", FILES)
    bundle = write_bundle(tmp_path / "dataset.oms.json", oms_payload("dataset", resources(FILES)))
    verify_with_library(dataset, bundle, key_file)
    assert command_verifies(dataset, bundle, key_file)


def test_model_signing_verifies_our_bundle_kept_inside_the_folder(tmp_path: Path, key_file: Path) -> None:
    dataset = make(tmp_path / "dataset", FILES)
    bundle = write_bundle(dataset / "oms.json", oms_payload("dataset", resources(FILES)))
    assert command_verifies(dataset, bundle, key_file)


def test_model_signing_verifies_a_real_dataset(tmp_path: Path, key_file: Path) -> None:
    dataset = data("titanic")
    listed = [
        OmsResource(path.relative_to(dataset).as_posix(), Digest(hashlib.sha256(path.read_bytes()).digest()))
        for path in dataset.rglob("*")
        if path.is_file()
    ]
    assert listed
    bundle = write_bundle(tmp_path / "titanic.oms.json", oms_payload("titanic", listed))
    verify_with_library(dataset, bundle, key_file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("edit", "Hash mismatch for .*sub/b.csv"),
        ("rename", "Missing files"),
        ("remove", "Missing files"),
        ("add", "Extra files"),
        ("swap", "Hash mismatch for .*sub-1"),
    ],
)
def test_model_signing_catches_every_change(tmp_path: Path, key_file: Path, change: str, message: str) -> None:
    dataset = make(tmp_path / "dataset", FILES)
    bundle = write_bundle(tmp_path / "oms.json", oms_payload("dataset", resources(FILES)))
    if change == "edit":
        (dataset / "sub/b.csv").write_bytes(b"9\n")
    elif change == "rename":
        (dataset / "sub-1").rename(dataset / "sub-2")
    elif change == "remove":
        (dataset / "empty").unlink()
    elif change == "add":
        (dataset / "more").write_bytes(b"")
    else:
        (dataset / "sub-1").write_bytes(FILES["sub/b.csv"])
        (dataset / "sub/b.csv").write_bytes(FILES["sub-1"])
    with pytest.raises(ValueError, match=message):
        verify_with_library(dataset, bundle, key_file)
    assert not command_verifies(dataset, bundle, key_file)


def test_model_signing_refuses_another_key(tmp_path: Path) -> None:
    dataset = make(tmp_path / "dataset", FILES)
    bundle = write_bundle(tmp_path / "oms.json", oms_payload("dataset", resources(FILES)))
    other = tmp_path / "other.pub"
    other.write_text(OTHER.public.pem)
    with pytest.raises(ValueError, match="Key mismatch"):
        verify_with_library(dataset, bundle, other)
    assert not command_verifies(dataset, bundle, other)


def test_git_files_are_outside_the_bundle_so_that_no_option_is_needed(tmp_path: Path, key_file: Path) -> None:
    files = FILES | {".git/config": b"x", ".gitignore": b"y", ".gitattributes": b"z", ".github/a.yml": b"w"}
    files |= {"sub/.gitignore": b"kept"}
    dataset = make(tmp_path / "dataset", files)
    payload = oms_payload("dataset", resources(files))
    assert "sub/.gitignore" in {r.name for r in parse_oms(sign_oms(payload, SIGNER)).statement.files}
    bundle = write_bundle(tmp_path / "oms.json", payload)
    verify_with_library(dataset, bundle, key_file)
    assert command_verifies(dataset, bundle, key_file)
    assert command_verifies(dataset, bundle, key_file, "--no-ignore-git-paths")


def test_a_ledger_inside_the_folder_is_passed_over_if_the_bundle_says_so(tmp_path: Path, key_file: Path) -> None:
    dataset = make(tmp_path / "dataset", FILES | {".provenance/ledger.db": b"x", ".provenance/keys/log.key": b"y"})
    named = write_bundle(
        tmp_path / "named.json", oms_payload("dataset", resources(FILES), ignore_paths=[".provenance"])
    )
    verify_with_library(dataset, named, key_file)
    assert command_verifies(dataset, named, key_file)
    unnamed = write_bundle(tmp_path / "unnamed.json", oms_payload("dataset", resources(FILES)))
    assert not command_verifies(dataset, unnamed, key_file)
    assert command_verifies(dataset, unnamed, key_file, "--ignore-paths", str(dataset / ".provenance"))


def test_a_single_file_is_verified_by_its_folder(tmp_path: Path, key_file: Path) -> None:
    """OMS 6.1.2 names it by its base name; model-signing 1.1.1, given the file itself, looks for `.`."""
    folder = make(tmp_path / "folder", {"a.csv": FILES["a.csv"]})
    bundle = write_bundle(tmp_path / "a.json", oms_payload("a.csv", resources({"a.csv": FILES["a.csv"]})))
    assert command_verifies(folder, bundle, key_file)
    assert not command_verifies(folder / "a.csv", bundle, key_file)
    make(folder, {"neighbour.csv": b"x"})
    assert not command_verifies(folder, bundle, key_file)
    assert command_verifies(folder, bundle, key_file, "--ignore_unsigned_files")
    (folder / "a.csv").write_bytes(b"tampered")
    assert not command_verifies(folder, bundle, key_file, "--ignore_unsigned_files")


def test_a_single_file_named_as_model_signing_does(tmp_path: Path, key_file: Path) -> None:
    file = make(tmp_path, {"a.csv": FILES["a.csv"]}) / "a.csv"
    payload = oms_payload("a.csv", [OmsResource(".", Digest.of(FILES["a.csv"]))])
    bundle = write_bundle(tmp_path / "a.json", payload)
    assert command_verifies(file, bundle, key_file)
    assert parse_oms(bundle.read_bytes()).statement.files[0].name == "a.csv"


def test_symbolic_links_need_the_bundle_and_the_option(tmp_path: Path, key_file: Path) -> None:
    dataset = make(tmp_path / "dataset", {"a": b"1"})
    (dataset / "link").symlink_to("a")
    files = {"a": b"1", "link": b"1"}
    bundle = write_bundle(tmp_path / "oms.json", oms_payload("dataset", resources(files), allow_symlinks=True))
    assert command_verifies(dataset, bundle, key_file, "--allow_symlinks")
    assert not command_verifies(dataset, bundle, key_file)


def test_our_payload_is_model_signings_up_to_its_form(tmp_path: Path) -> None:
    """Same subject digest, resources and ignored paths; but OMS 6.4 sorts by code points, 1.1.1 by path components."""
    files = {"a.csv": b"1", "sub/b": b"2", "sub/c": b"3", "z": b"4"}
    dataset = make(tmp_path / "dataset", files)
    bundle = sign_with_model_signing(tmp_path, dataset, SIGNER)
    theirs = parse_oms(bundle).statement
    ours = parse_oms(sign_oms(oms_payload("dataset", resources(files)), SIGNER)).statement
    assert (theirs.name, theirs.subject_digest, theirs.resources) == (ours.name, ours.subject_digest, ours.resources)
    assert sorted(theirs.ignore_paths) == sorted(ours.ignore_paths)
    assert theirs.allow_symlinks == ours.allow_symlinks


def sign_with_model_signing(tmp_path: Path, dataset: Path, key: PrivateKey) -> bytes:
    (tmp_path / "key.pem").write_bytes(encode_private_key(key))
    config = model_signing.signing.Config()  # type: ignore[no-untyped-call]
    config.use_elliptic_key_signer(private_key=tmp_path / "key.pem").sign(dataset, tmp_path / "theirs.sig")
    return (tmp_path / "theirs.sig").read_bytes()


def test_we_verify_what_model_signing_signs(tmp_path: Path) -> None:
    dataset = make(tmp_path / "dataset", FILES)
    for number in range(8):
        key = derive_private_key("ecdsa-p256", bytes([number]) * 48)
        bundle = parse_oms(sign_with_model_signing(tmp_path, dataset, key))
        assert verify_oms(bundle, key.public).not_judged == ()
        assert {r.name: r.digest for r in bundle.statement.files} == {r.name: r.digest for r in resources(FILES)}
        with pytest.raises(VerificationError, match="another key"):
            verify_oms(bundle, OTHER.public)


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()], ids=["P-384", "P-521"])
def test_we_verify_what_model_signing_signs_on_other_curves(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    dataset = make(tmp_path / "dataset", {"a.csv": b"1"})
    key = ec.derive_private_key(123456789, curve)
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    config = model_signing.signing.Config()  # type: ignore[no-untyped-call]
    config.use_elliptic_key_signer(private_key=tmp_path / "key.pem").sign(dataset / "a.csv", tmp_path / "theirs.sig")
    bundle = parse_oms((tmp_path / "theirs.sig").read_bytes())
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    verify_oms(bundle, parse_oms_key(pem))
    assert bundle.statement.files == (OmsResource("a.csv", Digest.of(b"1")),)


def test_our_encrypted_keys_open_with_stock_openssl() -> None:
    """Which reads scrypt up to 32 MiB and no further."""
    locked = encode_private_key(SIGNER, b"passphrase", entropy=bytes(32))
    opened = load_privatekey(FILETYPE_PEM, locked, b"passphrase").to_cryptography_key()
    assert isinstance(opened, ec.EllipticCurvePrivateKey)
    pem = opened.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert pem.decode() == SIGNER.public.pem


def as_other_key(key: PrivateKey) -> SSlibKey:
    return SSlibKey.from_crypto(load_pem_public_key(key.public.pem.encode()), keyid=key.public.keyid)


ED25519_SIGNER = derive_private_key("ed25519", bytes(32))


@pytest.mark.parametrize("key", [SIGNER, ED25519_SIGNER], ids=["P-256", "Ed25519"])
def test_securesystemslib_verifies_our_envelopes(key: PrivateKey) -> None:
    data = encode_envelope(sign_envelope(b'{"_type":"x"}', IN_TOTO_PAYLOAD_TYPE, key))
    envelope = OtherEnvelope.from_dict(json.loads(data))
    assert envelope.pae() == pae(IN_TOTO_PAYLOAD_TYPE, b'{"_type":"x"}')
    assert list(envelope.verify([as_other_key(key)], threshold=1)) == [key.public.keyid]
    with pytest.raises(OtherVerificationError):
        envelope.verify([as_other_key(OTHER)], threshold=1)
    envelope.payload += b" "
    with pytest.raises(OtherVerificationError):
        envelope.verify([as_other_key(key)], threshold=1)


@pytest.mark.parametrize("key", [SIGNER, ED25519_SIGNER], ids=["P-256", "Ed25519"])
def test_securesystemslib_verifies_a_pairs_envelopes_by_the_classical_key(key: PrivateKey) -> None:
    signer = with_ml_dsa(key, b"pair".ljust(32, b"\0"))
    data = encode_envelope(sign_envelope(b'{"_type":"x"}', IN_TOTO_PAYLOAD_TYPE, signer))
    envelope = OtherEnvelope.from_dict(json.loads(data))
    assert len(envelope.signatures) == 2
    assert list(envelope.verify([as_other_key(key)], threshold=1)) == [key.public.keyid]
    with pytest.raises(OtherVerificationError):
        envelope.verify([as_other_key(OTHER)], threshold=1)


def test_model_signing_verifies_a_pairs_bundle_with_the_text_that_its_owner_hands_out(tmp_path: Path) -> None:
    signer = with_ml_dsa(SIGNER, b"pair".ljust(32, b"\0"))
    dataset = make(tmp_path / "dataset", FILES)
    payload = oms_payload("dataset", resources(FILES))
    bundle = write_bundle(tmp_path / "dataset.oms.json", payload, signer)
    key_file = tmp_path / "pair.pub"
    key_file.write_text(signer.public.text)
    verify_with_library(dataset, bundle, key_file)
    assert command_verifies(dataset, bundle, key_file)
    assert verify_oms(parse_oms(bundle.read_bytes()), parse_oms_key(signer.public.pem)).not_judged == ()


def test_securesystemslib_verifies_the_envelope_of_our_oms_bundle() -> None:
    bundle = json.loads(sign_oms(oms_payload("dataset", resources(FILES)), SIGNER))
    envelope = OtherEnvelope.from_dict(bundle["dsseEnvelope"])
    assert list(envelope.verify([as_other_key(SIGNER)], threshold=1)) == [SIGNER.public.keyid]
