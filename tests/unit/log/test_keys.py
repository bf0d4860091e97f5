"""Which keys count for which checkpoint: every type that is owed, no key outside its span, no witness twice."""

from __future__ import annotations

import pytest

from provenance.errors import MalformedError, ProvenanceError, VerificationError
from provenance.log import (
    Checkpoint,
    Cosigner,
    LogKey,
    LogSigner,
    NoteSigner,
    WitnessKey,
    add_signatures,
    open_counted,
    sign_checkpoint,
)
from provenance.log.algorithm import ED25519_COSIGNATURE, ML_DSA_44

ORIGIN = "ledger.example/main"
ROOT = bytes(range(32))
OLD, NEW = NoteSigner(ORIGIN, b"\x01" * 32), NoteSigner(ORIGIN, b"\x02" * 32)
PQ, NEW_PQ = Cosigner(ORIGIN, b"\x03" * 32, ML_DSA_44), Cosigner(ORIGIN, b"\x04" * 32, ML_DSA_44)
TYPES = (ED25519_COSIGNATURE, ML_DSA_44)
W1 = tuple(Cosigner("witness.example/w1", bytes([5, kind] * 16), kind) for kind in TYPES)
W2 = tuple(Cosigner("witness.example/w2", bytes([6, kind] * 16), kind) for kind in TYPES)
TIME_S = 1_700_000_000


def _signed(size: int, *keys: NoteSigner | Cosigner, by: tuple[Cosigner, ...] = (), time_s: int = TIME_S) -> bytes:
    head = Checkpoint(ORIGIN, size, ROOT)
    return add_signatures(sign_checkpoint(head, LogSigner(keys)), [one.cosign(head, time_s) for one in by])


def _refused(data: bytes, *keys: LogKey) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        open_counted(data, keys)
    return caught.value


def test_both_types_are_owed_where_both_are_listed() -> None:
    listed = LogKey(OLD.verifier), LogKey(PQ.verifier)
    assert open_counted(_signed(9, OLD, PQ), listed).checkpoint.size == 9
    assert "ML-DSA-44" in _refused(_signed(9, OLD), *listed).what
    assert _refused(_signed(9, PQ), *listed).what == "checkpoint is not signed by its log"
    # Who lists one of them asks for that one alone, as before there was the other.
    assert open_counted(_signed(9, OLD, PQ), listed[:1]).checkpoint.size == 9
    assert open_counted(_signed(9, OLD, PQ), listed[1:]).checkpoint.size == 9


def test_a_key_that_began_later_is_owed_from_there_on() -> None:
    listed = LogKey(OLD.verifier), LogKey(PQ.verifier, from_size=10)
    assert open_counted(_signed(9, OLD), listed).checkpoint.size == 9
    assert open_counted(_signed(10, OLD, PQ), listed).checkpoint.size == 10
    refused = _refused(_signed(10, OLD), *listed)
    assert refused.what == "checkpoint is not signed by its log with ML-DSA-44"
    assert PQ.verifier.key_id.hex() in str(refused.expected)


def test_keys_of_an_overlap_stand_in_for_each_other_and_neither_does_beyond_its_own() -> None:
    listed = LogKey(OLD.verifier, until_size=20), LogKey(NEW.verifier, from_size=11)
    for size, keys in ((10, (OLD,)), (11, (OLD,)), (11, (NEW,)), (20, (OLD, NEW)), (20, (OLD,)), (21, (NEW,))):
        assert open_counted(_signed(size, *keys), listed).checkpoint.size == size
    for size, key in ((10, NEW), (21, OLD), (2**64 - 1, OLD)):
        refused = _refused(_signed(size, key), *listed)
        assert "does not hold for its size" in refused.what
        assert key.verifier.key_id.hex() in str(refused.where)
    assert open_counted(_signed(21, OLD, NEW), listed).checkpoint.size == 21  # the new one is enough


def test_types_rotate_apart() -> None:
    listed = (
        LogKey(OLD.verifier),
        LogKey(PQ.verifier, until_size=20),
        LogKey(NEW_PQ.verifier, from_size=15),
    )
    assert open_counted(_signed(15, OLD, PQ), listed)
    assert open_counted(_signed(21, OLD, NEW_PQ), listed)
    assert "does not hold" in _refused(_signed(21, OLD, PQ), *listed).what
    assert "ML-DSA-44" in _refused(_signed(21, OLD), *listed).what


def test_a_log_whose_keys_have_all_ended_signs_nothing_more() -> None:
    listed = LogKey(OLD.verifier, until_size=20)
    assert "does not hold for its size" in _refused(_signed(21, OLD), listed).what


def test_a_signature_that_fails_rejects_even_where_it_would_not_count() -> None:
    data = _signed(21, OLD, NEW)
    listed = LogKey(OLD.verifier, until_size=20), LogKey(NEW.verifier)
    forged = _signed(22, OLD).split(b"\n\n")[1]
    head, _, lines = data.partition(b"\n\n")
    with pytest.raises(VerificationError, match="does not verify"):
        open_counted(head + b"\n\n" + forged + lines, listed)


def test_checkpoints_of_other_logs_do_not_count() -> None:
    other = NoteSigner("other.example/log", b"\x09" * 32)
    assert _refused(_signed(9, OLD), LogKey(other.verifier)).what == "note is not signed by a known key"
    head = Checkpoint(other.name, 9, ROOT)
    both = add_signatures(sign_checkpoint(head, other), OLD.sign_lines(head))
    assert _refused(both, LogKey(OLD.verifier)).what == "checkpoint is of another log"
    assert open_counted(both, [LogKey(OLD.verifier), LogKey(other.verifier)]).checkpoint == head
    with pytest.raises(VerificationError, match="not signed by its log"):
        open_counted(_signed(9, OLD, by=W1), [], [WitnessKey(W1[0].verifier)])


def test_a_witness_counts_once_however_many_keys_it_has() -> None:
    logs = [LogKey(OLD.verifier)]
    listed = [WitnessKey(one.verifier) for one in (*W1, *W2)]
    assert open_counted(_signed(9, OLD, by=W1), logs, listed).witnesses == ("witness.example/w1",)
    assert set(open_counted(_signed(9, OLD, by=(*W1, *W2)), logs, listed).witnesses) == {W1[0].name, W2[0].name}
    assert open_counted(_signed(9, OLD), logs, listed).witnesses == ()


def test_a_witness_owes_every_type_that_is_listed_of_it() -> None:
    logs, listed = [LogKey(OLD.verifier)], [WitnessKey(one.verifier) for one in W1]
    for one in W1:
        assert open_counted(_signed(9, OLD, by=(one,)), logs, listed).witnesses == ()
        assert open_counted(_signed(9, OLD, by=(one,)), logs, [WitnessKey(one.verifier)]).witnesses == (one.name,)
    late = [WitnessKey(W1[0].verifier), WitnessKey(W1[1].verifier, from_s=TIME_S + 1)]
    assert open_counted(_signed(9, OLD, by=W1[:1]), logs, late).witnesses == (W1[0].name,)
    assert open_counted(_signed(9, OLD, by=W1[:1], time_s=TIME_S + 1), logs, late).witnesses == ()


def test_a_witness_key_counts_for_its_time_only() -> None:
    logs = [LogKey(OLD.verifier)]
    newer = Cosigner(W1[0].name, b"\x07" * 32)
    listed = [WitnessKey(W1[0].verifier, until_s=TIME_S), WitnessKey(newer.verifier, from_s=TIME_S - 10)]
    for time_s, by, counted in (
        (TIME_S, W1[:1], 1),
        (TIME_S + 1, W1[:1], 0),
        (TIME_S - 11, (newer,), 0),
        (TIME_S - 10, (newer,), 1),
        (TIME_S, (W1[0], newer), 1),
        (TIME_S + 1, (W1[0], newer), 1),
    ):
        found = open_counted(_signed(9, OLD, by=by, time_s=time_s), logs, listed).witnesses
        assert len(found) == counted, (time_s, by)


def test_lists_that_make_no_sense_are_refused() -> None:
    with pytest.raises(MalformedError, match="ends before it begins"):
        LogKey(OLD.verifier, 5, 4)
    with pytest.raises(MalformedError, match="ends before it begins"):
        WitnessKey(W1[0].verifier, 5, 4)
    with pytest.raises(MalformedError, match="not a log's"):
        LogKey(W1[0].verifier)
    with pytest.raises(MalformedError, match="not a witness's"):
        WitnessKey(OLD.verifier)
    with pytest.raises(MalformedError, match="a log's and a witness's"):
        open_counted(_signed(9, OLD, PQ), [LogKey(PQ.verifier)], [WitnessKey(PQ.verifier)])


def test_every_line_that_is_taken_away_or_cut_is_missed() -> None:
    logs = [LogKey(OLD.verifier), LogKey(PQ.verifier)]
    listed = [WitnessKey(one.verifier) for one in W1]
    data = _signed(9, OLD, PQ, by=W1)
    text, _, block = data.partition(b"\n\n")
    lines = block.splitlines(keepends=True)
    assert len(open_counted(data, logs, listed).witnesses) == 1
    for at in range(len(lines)):
        short = text + b"\n\n" + b"".join(lines[:at] + lines[at + 1 :])
        if at < 2:
            with pytest.raises(VerificationError):
                open_counted(short, logs, listed)
        else:
            assert open_counted(short, logs, listed).witnesses == ()
    for at in range(0, len(data) - 1, 211):
        try:
            found = open_counted(data[:at], logs, listed)
        except ProvenanceError:
            continue
        assert found.witnesses == ()
