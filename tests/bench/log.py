"""What the log costs: appends beside a bare INSERT loop, submitters, proofs, opening, bytes, and the map.

    .venv/bin/python -m tests.bench.log [--quick] [--only SECTION]... [--json FILE]

Sections: appends, submitters, proofs, map, simulation (tiles alone), pymerkle. Each append is durable
(`synchronous=FULL`) and integrated: entries, tiles and a signed checkpoint in one transaction. The bare loop puts the
same bytes into one table, as many a transaction, with the same settings; the two take turns, round by round.
`--quick`: a log of 100,000 instead of 1,000,000 entries, fewer rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from typing import Any

from provenance.ledger import Ledger
from provenance.ledger.growth import Growth
from provenance.ledger.map_keeper import MapKeeper
from provenance.log import CheckpointSigner, LogKey, NoteSigner, TileReader, integrate
from provenance.log.algorithm import ML_DSA_44
from provenance.log.cosignature import Cosigner
from provenance.log.keys import LogSigner
from provenance.log.map import KeyKind, MapAnswer, MapKey, encode_answer, sign_head, verify_answer
from provenance.log.tile import EdgeNodes
from provenance.machine.calibration import hash_tier
from provenance.merkle import prove_consistency, prove_inclusion
from provenance.signature import encode_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE
from provenance.statement.events import Event, encode_event
from provenance.statement.usage import Usage
from provenance.stores import Store, open_store
from provenance.stores.log_map import LogMap

SIGNER = NoteSigner("bench.example/log", b"\x01" * 32)
BOTH = LogSigner((SIGNER, Cosigner(SIGNER.name, b"\x02" * 32, ML_DSA_44)))
SECTIONS = ("appends", "submitters", "proofs", "map", "simulation", "pymerkle")
GOALS = {1: 0.25, 100: 0.6, 1_000: 1.3}
Results = dict[str, Any]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", choices=SECTIONS)
    parser.add_argument("--json", metavar="FILE")
    asked = parser.parse_args()
    results: Results = {}
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as place:
        folder = Path(place)
        results["fsync_ms"] = round(1_000 * fsync_s(folder), 3)
        print(f"fsync of 4 KiB in this folder: {results['fsync_ms']} ms (median)")
        for section in asked.only or SECTIONS:
            print(f"\n{section}")
            work = folder / section
            work.mkdir()
            results[section] = globals()[section](work, quick=asked.quick)
    if asked.json:
        Path(asked.json).write_text(json.dumps(results, indent=1) + "\n")


def fsync_s(folder: Path) -> float:
    """Median seconds of a write of 4 KiB and its fsync."""
    taken = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(100):
            started = time.perf_counter()
            file.write(bytes(4_096))
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - started)
    return median(taken)


def entries_of(size: int, count: int, seed: int = 1) -> list[bytes]:
    """Entries of any bytes."""
    chance = random.Random(seed)
    return [chance.randbytes(size) for _ in range(count)]


def append(store: Store, entries: Sequence[bytes], batch: int, signer: CheckpointSigner = SIGNER) -> float:
    """Seconds to append and integrate the entries, `batch` a transaction."""
    nodes = EdgeNodes(hash_tier())
    started = time.perf_counter()
    for at in range(0, len(entries), batch):
        with store.transaction() as tx:
            growth = Growth(tx, signer, nodes)
            growth.add(*entries[at : at + batch])
            growth.finish()
    return time.perf_counter() - started


def bare(connection: sqlite3.Connection, entries: Sequence[bytes], batch: int) -> float:
    """Seconds to insert the same bytes into one table."""
    started = time.perf_counter()
    for at in range(0, len(entries), batch):
        connection.execute("BEGIN IMMEDIATE")
        for entry in entries[at : at + batch]:
            connection.execute("INSERT INTO entries (data) VALUES (?)", (entry,))
        connection.execute("COMMIT")
    return time.perf_counter() - started


def appends(folder: Path, *, quick: bool) -> list[Results]:
    """Appends a second by batch, beside the bare loop."""
    found = []
    rounds = 3 if quick else 7
    print("bytes  batch  ours/s  bare/s  ratio  goal  ratio with ML-DSA-44 too")
    for size in (250, 1_024):
        for batch, count in ((1, 100), (10, 1_000), (100, 5_000), (1_000, 30_000)):
            with (
                open_store(folder / f"{size}-{batch}.db", create=True) as store,
                open_store(folder / f"{size}-{batch}.both", create=True) as other,
                closing(sqlite3.connect(folder / f"{size}-{batch}.bare", isolation_level=None)) as connection,
            ):
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("CREATE TABLE entries (idx INTEGER PRIMARY KEY, data BLOB NOT NULL)")
                taken = []
                for number in range(rounds):
                    entries = entries_of(size, count, number)
                    ours = append(store, entries, batch)
                    taken.append((ours, bare(connection, entries, batch), append(other, entries, batch, BOTH)))
            ratio, both = (median(one[1] / one[at] for one in taken) for at in (0, 2))
            row = {
                "bytes": size,
                "batch": batch,
                "ours": round(count / median(one[0] for one in taken)),
                "bare": round(count / median(one[1] for one in taken)),
                "ratio": round(ratio, 2),
                "ratio_both": round(both, 2),
                "goal": GOALS.get(batch),
            }
            print(
                f"{size:5} {batch:6} {row['ours']:7,} {row['bare']:7,} {ratio:6.2f}  {row['goal'] or '':4}  {both:.2f}",
                flush=True,
            )
            found.append(row)
    return found


def submitters(folder: Path, *, quick: bool) -> Results:
    """32 threads that submit events, each until its inclusion proof is there: alone, and with the map kept up aside."""
    count = 2_000 if quick else 6_000
    found = {}
    for name in ("alone", "beside_the_map"):
        (folder / name).mkdir()
        row = found[name] = _submitted(folder / name, count, keeps_map=name != "alone")
        print(f"32 submitters, {name}: {row['a_second']}/s, median {row['median_ms']} ms, p99 {row['p99_ms']} ms")
    return found


def _submitted(folder: Path, count: int, *, keeps_map: bool) -> Results:
    (folder / "data").write_text("x")
    with Ledger.init(folder / "ledger") as ledger, ExitStack() as stack:
        ledger.keyring.new("k", algorithm="ed25519")
        for number in range(50):
            (folder / "data").write_text(str(number))
            ledger.register(folder / "data", f"t/a{number}", "1", anchor=False)
        pins, signer = [ledger.pin(f"t/a{number}") for number in range(50)], ledger.keyring.signer("k")
        envelopes = [
            encode_envelope(sign_envelope(encode_event(event), PAYLOAD_TYPE, signer))
            for event in (
                Event(pins[number % 50], Usage(f"x{number}"), "2026-01-01T00:00:00Z") for number in range(count)
            )
        ]
        if keeps_map:
            stack.enter_context(closing(MapKeeper(ledger, tell=print)))

        def submit(envelope: bytes) -> float:
            started = time.perf_counter()
            receipt = ledger.submit(envelope)
            assert receipt.proof
            return time.perf_counter() - started

        started = time.perf_counter()
        with ThreadPoolExecutor(32) as pool:
            taken = sorted(pool.map(submit, envelopes))
        seconds = time.perf_counter() - started
        behind = ledger.log.size() - ledger.map.state().size
    return {
        "a_second": round(count / seconds),
        "median_ms": round(1_000 * median(taken), 1),
        "p99_ms": round(1_000 * taken[round(0.99 * count)], 1),
        "map_behind": behind,
    }


def proofs(folder: Path, *, quick: bool) -> Results:
    """Proofs, opening and bytes at growing sizes; the cost of an entry as the log grows."""
    found: Results = {"sizes": []}
    path = folder / "ledger.db"
    size = 0
    for target in (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000):
        with open_store(path, create=True) as store:
            while size < target:
                count = min(50_000, target - size)
                seconds = append(store, entries_of(250, count, size), 1_000)
                size += count
            last_us = 1e6 * seconds / count
            row = {"size": size, "entry_us": round(last_us, 1), **_warm(store, size)}
        row["bytes_an_entry"] = round(path.stat().st_size / size)
        row["open_ms"], row["fresh_ms"] = _fresh(path, size)
        print(
            f"{size:9,} entries: {row['entry_us']} us to append one (batches of 1,000), "
            f"inclusion {row['inclusion_ms']} ms, consistency {row['consistency_ms']} ms warm; "
            f"open {row['open_ms']} ms, and open with a proof "
            f"{row['fresh_ms']} ms in a fresh process; {row['bytes_an_entry']} bytes an entry of 250",
            flush=True,
        )
        found["sizes"].append(row)
    return found


def _warm(store: Store, size: int) -> Results:
    chance = random.Random(7)

    def timed(work: Callable[[TileReader, int], object]) -> float:
        taken = []
        for _ in range(200):
            place = chance.randrange(1, size)
            started = time.perf_counter()
            with store.snapshot() as snapshot:
                work(TileReader(lambda level, index: snapshot.tile(level, index) or b"", size), place)
            taken.append(time.perf_counter() - started)
        return round(1_000 * median(taken), 3)

    return {
        "inclusion_ms": timed(lambda reader, place: prove_inclusion(place, size, reader.read)),
        "consistency_ms": timed(lambda reader, place: prove_consistency(place, size, reader.read)),
    }


_FRESH = """
import sys, time
started = time.perf_counter()
from provenance.log import TileReader, verify_proof
from provenance.merkle import prove_inclusion
from provenance.stores import open_store
from provenance.stores.sqlite import SqliteStore
loaded = time.perf_counter()
with open_store(sys.argv[1]) as store:
    size = store.checkpoint().size
    opened = time.perf_counter()
    reader = TileReader(lambda level, index: store.tile(level, index) or b"", size)
    prove_inclusion(int(sys.argv[2]), size, reader.read)
    print(1000 * (opened - loaded), 1000 * (time.perf_counter() - loaded))
"""


def _fresh(path: Path, size: int) -> tuple[float, float]:
    """Median ms to open, and to open and prove, in a fresh process, its imports apart."""
    chance, taken = random.Random(8), []
    for _ in range(7):
        command = [sys.executable, "-c", _FRESH, str(path), str(chance.randrange(size))]
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        taken.append([float(word) for word in told.stdout.split()])
    opened, proven = (median(column) for column in zip(*taken, strict=True))
    return round(opened, 2), round(proven, 2)


def map(folder: Path, *, quick: bool) -> Results:  # the section's name
    """Keys added a second, and answers, at growing sizes; three keys an entry, one of them its signer's."""
    chance, found, size = random.Random(3), Results(sizes=[]), 0
    kept = LogMap(folder / "map.db")
    signers = [MapKey(KeyKind.SIGNER, f"{number:064x}") for number in range(20)]

    def keys(count: int) -> Iterator[list[bytes]]:
        for _ in range(count):
            yield [chance.choice(signers).digest, chance.randbytes(32), chance.randbytes(32)]

    for target in (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000):
        while size < target:
            count = min(4_096, target - size)
            entries = list(keys(count))
            started = time.perf_counter()
            kept.add(size, entries, bytes(32))
            seconds, size = time.perf_counter() - started, size + count
        started = time.perf_counter()
        kept.add(size, [[chance.randbytes(32)] * 1], bytes(32))
        one_s, size = time.perf_counter() - started, size + 1
        state = kept.state()
        head = sign_head(SIGNER, state.size, bytes(32), state.root)
        taken, answer = [], None
        for number in range(200):
            asked = MapKey(KeyKind.NAME, f"no/such{number}")
            started = time.perf_counter()
            one = kept.find(asked.digest)
            answer = MapAnswer(asked, one.bucket, one.hashes, bytes(32), head, one.entries)
            verify_answer(answer, [LogKey(SIGNER.verifier)])
            taken.append(time.perf_counter() - started)
        assert answer is not None
        row = {
            "size": size,
            "entries_a_second": round(count / seconds),
            "one_ms": round(1_000 * one_s, 1),
            "answer_ms": round(1_000 * median(taken), 2),
            "answer_bytes": len(encode_answer(answer)),
            "bytes_an_entry": round((folder / "map.db").stat().st_size / size),
        }
        print(
            f"{size:9,} entries: {row['entries_a_second']:,} entries/s in batches of 4,096, "
            f"one alone {row['one_ms']} ms; an answer, found and verified, {row['answer_ms']} ms, "
            f"{row['answer_bytes']:,} bytes; "
            f"{row['bytes_an_entry']} bytes an entry",
            flush=True,
        )
        found["sizes"].append(row)
    kept.close()
    return found


def simulation(folder: Path, *, quick: bool) -> Results:
    """Tiles of leaf hashes alone, to 10,000,000 (1,000,000), and the most memory that it took on the way."""
    total, batch, size, found = 1_000_000 if quick else 10_000_000, 10_000, 0, Results(memory_mb=[])
    started = time.perf_counter()
    with open_store(folder / "tiles.db", create=True) as store:
        while size < total:
            leaves = os.urandom(32 * batch)
            with store.transaction() as tx:
                grown = integrate(
                    lambda level, index, tx=tx: tx.tile(level, index) or b"",  # type: ignore[misc]
                    size,
                    [leaves[at : at + 32] for at in range(0, len(leaves), 32)],
                )
                tx.put_tiles(grown.tiles)
            size = grown.size
            if size % (total // 10) == 0:
                found["memory_mb"].append(round(_peak_kb() / 1_024, 1))
        row = _warm(store, size)
    found |= {"leaves_a_second": round(size / (time.perf_counter() - started)), "size": size, **row}
    print(
        f"{size:,} leaves at {found['leaves_a_second']:,}/s; peak memory after each tenth, MB: {found['memory_mb']}; "
        f"inclusion {row['inclusion_ms']} ms"
    )
    return found


def _peak_kb() -> int:
    """The most memory this process ever had, kB."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def pymerkle(folder: Path, *, quick: bool) -> Results:
    """pymerkle's SQLite tree: entries in bulk and one by one, and a proof in a fresh process."""
    from pymerkle import SqliteTree

    count = 20_000 if quick else 200_000
    path, entries = folder / "pymerkle.db", entries_of(250, count)
    tree = SqliteTree(str(path), algorithm="sha256")
    started = time.perf_counter()
    tree.append_entries(entries, chunksize=1_000)
    bulk = count / (time.perf_counter() - started)
    singles = entries_of(250, 300, 2)
    started = time.perf_counter()
    for entry in singles:
        tree.append_entry(entry)
    single = len(singles) / (time.perf_counter() - started)
    code = (
        "import sys, time; from pymerkle import SqliteTree; started = time.perf_counter(); "
        "tree = SqliteTree(sys.argv[1], algorithm='sha256'); tree.prove_inclusion(5); "
        "print(1000 * (time.perf_counter() - started))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, timeout=120
    )
    found = {
        "bulk": round(bulk),
        "single": round(single),
        "fresh_ms": round(float(told.stdout), 1),
        "size": count + 300,
    }
    print(f"{found['bulk']:,}/s in bulk, {found['single']:,}/s one by one, a fresh proof {found['fresh_ms']} ms")
    return found


if __name__ == "__main__":
    main()
