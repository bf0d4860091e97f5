from __future__ import annotations

import copy
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from provenance.errors import ConflictError, SignerError
from provenance.signers.ethereum import SECP256K1_ORDER, EthereumKey, checksum_address
from tests.paths import PROJECT

# EIP-155's example key and the address it has.
SECRET = b"\x46" * 32
ADDRESS = "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"
TRANSACTION: dict[str, object] = {
    "chainId": 31337,
    "nonce": 7,
    "gas": 90_000,
    "maxFeePerGas": 2_000_000_000,
    "maxPriorityFeePerGas": 1_000_000_000,
    "value": 0,
    "to": "0x" + "35" * 20,
    "data": b"\x01\x02\x03",
}

# EIP-55, "Test Cases".
CHECKSUMS = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("address", CHECKSUMS)
def test_eip_55(address: str) -> None:
    assert checksum_address(bytes.fromhex(address[2:])) == address


@given(st.integers(1, SECP256K1_ORDER - 1))
def test_addresses_are_those_of_another_implementation(scalar: int) -> None:
    secret = scalar.to_bytes(32, "big")
    assert EthereumKey(secret).address == Account.from_key(secret).address


def test_the_example_key_of_eip_155() -> None:
    assert EthereumKey(SECRET).address == ADDRESS


@pytest.mark.parametrize(
    "secret",
    [b"", bytes(32), b"\x01" * 31, b"\x01" * 33, SECP256K1_ORDER.to_bytes(32, "big"), b"\xff" * 32],
)
def test_keys_out_of_range_are_refused(secret: bytes) -> None:
    with pytest.raises(SignerError, match="out of range"):
        EthereumKey(secret)


@pytest.mark.parametrize("passphrase", [None, b"open sesame"])
def test_a_new_key_is_kept_privately(tmp_path: Path, passphrase: bytes | None) -> None:
    path = tmp_path / "chain.key"
    key = EthereumKey.new(path, passphrase=passphrase)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (b"ENCRYPTED" in path.read_bytes()) == (passphrase is not None)
    assert EthereumKey.load(path, passphrase=passphrase).address == key.address
    with pytest.raises(ConflictError):
        EthereumKey.new(path)
    assert EthereumKey.load(path, passphrase=passphrase).address == key.address
    path.chmod(0o644)
    with pytest.raises(SignerError, match="open to others"):
        EthereumKey.load(path, passphrase=passphrase)


def test_new_keys_differ(tmp_path: Path) -> None:
    assert len({EthereumKey.new(tmp_path / str(number)).address for number in range(4)}) == 4


@pytest.mark.parametrize("text", [SECRET.hex(), "0x" + SECRET.hex(), SECRET.hex().upper() + "\n"])
def test_hex_keys_are_read_and_imported(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hex"
    path.touch(0o600)
    path.write_text(text)
    assert EthereumKey.load(path).address == ADDRESS
    assert EthereumKey.import_hex(tmp_path / "pem", text.encode()).address == ADDRESS
    assert EthereumKey.load(tmp_path / "pem").address == ADDRESS


BAD_FILES = {
    "empty": b"",
    "short": SECRET.hex().encode()[:-1],
    "long": SECRET.hex().encode() + b"00",
    "spaces": b" " + SECRET.hex().encode(),
    "zero": b"0" * 64,
    "order": b"%064x" % SECP256K1_ORDER,
    "not UTF-8": b"\xff" * 64,
    "half a PEM": b"-----BEGIN PRIVATE KEY-----\nMIGE",
    "another curve": ec.derive_private_key(7, ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_files_that_hold_no_key_are_refused(tmp_path: Path, case: str) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(BAD_FILES[case])
    with pytest.raises(SignerError) as caught:
        EthereumKey.load(path)
    assert SECRET.hex()[:16] not in repr(vars(caught.value)) + str(caught.value)


def test_passphrases(tmp_path: Path) -> None:
    EthereumKey.new(tmp_path / "locked", passphrase=b"right")
    EthereumKey.new(tmp_path / "plain")
    for name, passphrase in (("locked", None), ("locked", b"guess"), ("locked", b""), ("plain", b"right")):
        with pytest.raises(SignerError) as caught:
            EthereumKey.load(tmp_path / name, passphrase=passphrase)
        assert "guess" not in repr(vars(caught.value))
        assert "right" not in repr(vars(caught.value))


def test_the_secret_stays_inside(tmp_path: Path) -> None:
    key = EthereumKey(SECRET)
    assert repr(key) == str(key) == f"EthereumKey({ADDRESS})"
    assert not hasattr(key, "__dict__")
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(SignerError, match="not copied or pickled"):
            attempt(key)


def rlp_items(data: bytes) -> list[bytes]:
    """The byte strings of one flat RLP list (a nested list is given as its bytes): written from the yellow paper."""

    def header(at: int) -> tuple[int, int]:
        first = data[at]
        if first < 0x80:
            return at, 1
        base = 0x80 if first < 0xC0 else 0xC0
        if first - base <= 55:
            return at + 1, first - base
        count = first - base - 55
        return at + 1 + count, int.from_bytes(data[at + 1 : at + 1 + count], "big")

    at, size = header(0)
    end, items = at + size, []
    assert end == len(data)
    while at < end:
        at, size = header(at)
        items.append(data[at : at + size])
        at += size
    return items


def test_a_transaction_holds_exactly_what_was_asked() -> None:
    raw = EthereumKey(SECRET).sign_transaction(TRANSACTION)
    assert raw[0] == 2
    items = rlp_items(raw[1:])
    numbers = [int.from_bytes(item, "big") for item in items[:5]]
    assert numbers == [31337, 7, 1_000_000_000, 2_000_000_000, 90_000]
    assert items[5:9] == [b"\x35" * 20, b"", b"\x01\x02\x03", b""]
    assert 0 < int.from_bytes(items[11], "big") <= SECP256K1_ORDER // 2
    assert Account.recover_transaction(raw) == ADDRESS
    assert EthereumKey(SECRET).sign_transaction(TRANSACTION | {"type": 2, "from": ADDRESS}) == raw


@pytest.mark.parametrize("to", [None, ""])
def test_no_recipient_makes_a_contract(to: object) -> None:
    raw = EthereumKey(SECRET).sign_transaction(TRANSACTION | {"to": to})
    assert rlp_items(raw[1:])[5] == b""
    assert Account.recover_transaction(raw) == ADDRESS


BAD_FIELDS: list[tuple[str, object]] = [
    ("chainId", ...),
    ("nonce", ...),
    ("gas", ...),
    ("maxFeePerGas", ...),
    ("maxPriorityFeePerGas", ...),
    ("value", ...),
    ("nonce", -1),
    ("nonce", 2**64 - 1),
    ("nonce", True),
    ("nonce", "0x1"),
    ("nonce", 1.0),
    ("chainId", 2**64),
    ("value", 2**256),
    ("type", 0),
    ("from", "0x" + "11" * 20),
    ("from", 1),
    ("to", "0x1234"),
    ("to", b"\x35" * 20),
    ("to", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"),
    ("data", "0x"),
    ("data", bytes(128 * 1024 + 1)),
    ("gasPrice", 1),
    ("accessList", []),
]


@pytest.mark.parametrize(("name", "value"), BAD_FIELDS, ids=lambda v: str(v)[:20])
def test_fields_that_are_wrong_are_named(name: str, value: object) -> None:
    transaction = {field: item for field, item in (TRANSACTION | {name: value}).items() if item is not ...}
    with pytest.raises(SignerError, match="transaction") as caught:
        EthereumKey(SECRET).sign_transaction(transaction)
    assert SECRET.hex() not in repr(vars(caught.value))


def test_signing_leaves_the_recursion_limit_alone() -> None:
    code = (
        "import sys; from provenance.signers.ethereum import EthereumKey; before = sys.getrecursionlimit(); "
        "fields = dict.fromkeys(('chainId', 'nonce', 'gas', 'maxFeePerGas', 'maxPriorityFeePerGas', 'value'), 0); "
        "EthereumKey(bytes(31) + bytes((1,))).sign_transaction(fields | {'gas': 21000, 'chainId': 1}); "
        "print('eth_account' in sys.modules, sys.getrecursionlimit() == before)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
