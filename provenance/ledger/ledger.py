"""The ledger: what users of the library, the command line and the server call.

Invariants: it joins stages to plug-ins and owns the order of steps; every method is safe to repeat; a receipt that was
returned stays true; nothing here formats for people.

    from provenance import Ledger
    with Ledger.init("demo") as ledger:
        ledger.keyring.new("museum")
        receipt = ledger.register("data/titanic", "titanic/passengers", "1", license="CC0-1.0")
        report = ledger.verify("data/titanic")
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from provenance.chains import Chain, open_chain
from provenance.encoding import Digest, JsonValue
from provenance.errors import (
    ConflictError,
    MalformedError,
    NotFoundError,
    PolicyError,
    ProvenanceError,
    SourceError,
    StoreError,
    VerificationError,
)
from provenance.fingerprint import FileEntry, Fingerprint, fingerprint_files
from provenance.ledger.anchoring import Anchorer, Deployment
from provenance.ledger.audit import Auditor, FsckProgress
from provenance.ledger.audit_logs import is_trusted, logs_about
from provenance.ledger.blocks import KnownBlocks
from provenance.ledger.contents import Contents
from provenance.ledger.decision_folders import examine_decisions
from provenance.ledger.fingerprinting import Wanted, find_fingerprint, open_records
from provenance.ledger.fsck_report import FsckReport
from provenance.ledger.gathering import receipt_of
from provenance.ledger.impact import Impact, find_impact, find_impact_of_key
from provenance.ledger.keyring import Keyring
from provenance.ledger.layout import (
    FOLDER,
    Config,
    Layout,
    discover,
    exists,
    ledger_folder,
    read_config,
    sync_folder,
    writable,
    write_config,
)
from provenance.ledger.lineage import Lineage, find_lineage
from provenance.ledger.lock import anchoring_lock
from provenance.ledger.log_keys import OwnLogKey
from provenance.ledger.log_view import LogView
from provenance.ledger.proofs import Proofs
from provenance.ledger.publication import (
    BatchSubmission,
    DatasetSubmission,
    EventSubmission,
    KeySubmission,
    Publication,
    Published,
    PublishedEvent,
    SaidSinceError,
    catch_up_index,
    events_about,
    prove_entry,
    with_parents,
)
from provenance.ledger.receipts import AnchorOutcome, Receipt
from provenance.ledger.reference import pinned_name, resolve
from provenance.ledger.registration import Clock, Description, check_description, pin_parents, sign_dataset
from provenance.ledger.rollback import check_shown, remember_shown
from provenance.ledger.saying import Said, find_said
from provenance.ledger.sequencer import Sequencer
from provenance.ledger.verification import Verification, file_report
from provenance.log import NoteSignature, renew_signatures
from provenance.log.fault import LogFaultError
from provenance.policy import Level, TrustedAnchor, TrustedSource, TrustRoots, encode_trust
from provenance.policy.policy import Policy
from provenance.signature import Envelope, encode_envelope, parse_envelope, sign_envelope, verify_whole
from provenance.sources import ProgressCallback, Reading, open_source
from provenance.statement import (
    PAYLOAD_TYPE,
    BlockReference,
    DatasetName,
    Pin,
    PinnedName,
    parse_kind,
    parse_reference,
    parse_sensitivity,
    parse_statement,
)
from provenance.statement.events import EVENT_TYPES, Body, Event, encode_event, parse_event
from provenance.statement.frame import open_frame
from provenance.statement.key_event import KEY_TYPE, KeyAction, KeyEvent, read_key_event, since_of
from provenance.statement.revocation import Revocation
from provenance.statement.standards import Standards
from provenance.statement.usage import Usage
from provenance.stores import (
    BlobStore,
    CheckpointRow,
    DatasetRow,
    EventRow,
    LocationRow,
    OutboxRow,
    Store,
    open_store,
)
from provenance.stores.log_map import LogMap
from provenance.verify import ContentFinding, Evidence, Report, encode_bundle, verify_bundle
from provenance.verify.audit import Audit, audit_evidence
from provenance.verify.gate import Decision, decide, refused, verdict
from provenance.verify.input_proof import InputProof, prove_input
from provenance.verify.key_checks import may_end

if TYPE_CHECKING:
    from provenance.ledger.decisions import Decisions
    from provenance.ledger.replaying import Replayed
    from provenance.ledger.running import RunRecorder
    from provenance.signers.ethereum import EthereumKey
    from provenance.tables import Table

Location = str | PathLike[str]
_MAX_ENDS: Final = 8
"""Revocations of one key, each from an earlier time on, besides the one that knows no time."""
_MAX_AHEAD: Final = timedelta(minutes=5)
_MAX_SOUND: Final = 10_000
"""Datasets of which it is remembered that nothing failed."""
_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class Ledger:
    """One ledger on this machine. Threads may share it; close it, or use it as a context manager."""

    def __init__(self, layout: Layout, config: Config, store: Store) -> None:
        self.layout, self.config, self._store = layout, config, store
        self.keyring = Keyring(layout)
        self.blobs = BlobStore(layout.blobs, create=writable(layout.directory))
        self.log = LogView(store)
        self.sequencer = Sequencer(store, self.blobs, self.keyring.note_signer)
        self._map: LogMap | None = None
        self._map_guard = threading.Lock()
        self._sound: dict[Digest, tuple[int, Digest]] = {}
        self._chain_guard = threading.RLock()
        self._blocks = KnownBlocks(store, self.chain, self._chain_guard)

    @classmethod
    def init(
        cls,
        path: Location = ".",
        *,
        origin: str | None = None,
        chain: str = "embedded:",
        post_quantum: bool = True,
        database: str | None = None,
    ) -> Ledger:
        """Make `path/.provenance` and open it; what a run that was cut off left behind is finished.

        `post_quantum`: the log signs with an ML-DSA-44 key beside its Ed25519 key. `database` is a PostgreSQL URL
        without a password, for a log that replicas share; None keeps it in the folder.

        `ConflictError` if there is a ledger already, in the folder or in the database, or if a run that was cut off had
        begun one of another origin.
        """
        folder = Path(path)
        layout = Layout((folder if folder.name == FOLDER else folder / FOLDER).absolute())
        if exists(layout.config):
            raise ConflictError("there is a ledger already", where=layout.directory, hint="use it, or choose a folder")
        config = Config(origin if origin is not None else f"provenance.local/{secrets.token_hex(8)}", chain, database)
        try:
            layout.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            (layout.directory / "trees").mkdir(exist_ok=True, mode=0o700)
            sync_folder(layout.directory.parent)
        except OSError as error:
            raise SourceError("cannot make the ledger's folder", got=error.strerror, where=layout.directory) from error
        store = open_store(database or layout.database, create=True)
        try:
            ledger = cls(layout, _begun(layout, config, store, origin, post_quantum=post_quantum), store)
            _settle(layout, ledger.config)
            return ledger
        except BaseException:
            store.close()
            raise

    @classmethod
    def open(cls, path: Location | None = None, *, check_shown: bool = True) -> Ledger:
        """Open the ledger at `path`, or the one that `PROVENANCE_LEDGER` or the current directory leads to.

        `LogFaultError` if its log went back behind a checkpoint that others have, or forked from it; without
        `check_shown` it is opened all the same, to look at it.

        One in a folder that cannot be written is opened for reading: it verifies, and what writes is a `StoreError`.
        """
        folder = ledger_folder(Path(path)) if path is not None else discover()
        layout = Layout(folder)
        config, may_write = read_config(layout.config), writable(layout.directory)
        store = open_store(config.database or layout.database, read_only=not may_write)
        try:
            ledger = cls(layout, config, store)
            if check_shown:
                ledger.check_shown()
            with store.snapshot() as snapshot:
                lags = snapshot.index_size() < snapshot.size()
            if lags and may_write:
                with store.transaction() as tx:
                    catch_up_index(tx, ledger.blobs)
        except BaseException:
            store.close()
            raise
        return ledger

    def check_shown(self) -> None:
        """Raise `LogFaultError`, which holds both checkpoints, if the log is not an extension of what it showed."""
        check_shown(self.layout.directory, self.log)

    def remember_shown(self, note: bytes) -> None:
        """Remember that others have this checkpoint of the log."""
        remember_shown(self.layout.directory, note)

    def rebuild_index(self) -> None:
        """Derive everything in the index again, from the log and the manifests kept here."""
        with self._store.transaction() as tx:
            tx.clear_index()
            catch_up_index(tx, self.blobs)

    def close(self) -> None:
        """Release the database."""
        with self._map_guard:
            if self._map is not None:
                self._map.close()
                self._map = None
        self._store.close()

    @property
    def map(self) -> LogMap:
        """The log's map, as far as it was kept up (`ledger.mapping`)."""
        from provenance.ledger.mapping import FILE as MAP_FILE

        with self._map_guard:
            if self._map is None:
                self._map = LogMap(self.layout.directory / MAP_FILE)
            return self._map

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- registering -------------------------------------------------------------------------------------------

    def register(
        self,
        path: Location,
        name: str,
        version: str,
        *,
        parents: Sequence[str] = (),
        license: str | None = None,
        origin: str | None = None,
        sensitivity: str = "internal",
        kind: str = "dataset",
        standards: Standards | None = None,
        key: str | None = None,
        passphrase: bytes | None = None,
        anchor: bool = True,
        wanted: Wanted | None = None,
        progress: ProgressCallback | None = None,
    ) -> Receipt:
        """Fingerprint, sign, log and (unless `anchor` is False) anchor a dataset; a receipt.

        `wanted` says how to hash, and whether its records too; their trees are kept in this ledger. Once the
        statement is in the log a failing chain does not fail the registration: `anchor_problem` says what happened.
        """
        description = Description(
            name=PinnedName(DatasetName.parse(name), version),
            parents=parents,
            license=license,
            origin=origin,
            sensitivity=parse_sensitivity(sensitivity),
            kind=parse_kind(kind),
            standards=standards or Standards(),
        )
        signer = self.keyring.signer(key, passphrase)
        trusted = self._check_signer(signer.public.keyid, description.name.dataset.namespace)
        check_description(self._store, description, _now())
        found = find_fingerprint(path, self._here(wanted or Wanted()), progress)
        clock = Clock(_now(), self.newest_block())
        item, notes = sign_dataset(
            self._store, self.blobs, found.fingerprint, description, signer, clock, blobs_besides=found.blobs
        )
        notes = (*found.notes, *notes)
        notes = notes if trusted else (*notes, "this ledger does not trust the key that signed it")
        item = replace(item, location=LocationRow(0, found.location, int(time.time())))
        receipt = self._receipt(self.sequencer.submit(DatasetSubmission(item)), notes)
        return self._anchored(receipt) if anchor else receipt

    def _here(self, wanted: Wanted) -> Wanted:
        """The same, with this ledger left out of the dataset and the records' trees kept in it."""
        reading = replace(wanted.reading, leave_out=self.layout.directory)
        return replace(wanted, reading=reading, trees=self.layout.trees if wanted.records else None)

    def submit(self, envelope: bytes) -> Receipt:
        """Log an envelope that a trusted source signed elsewhere, on a dataset, an event or its key; its receipt.

        A revocation that a key signed of itself takes the key out of this ledger's trust, too.

        `PolicyError` if the key is not trusted here (for that namespace), `VerificationError` if the signature fails,
        `MalformedError` if it is neither, `ConflictError` if a dataset's name and version are taken, `NotFoundError` if
        what it was made from, or is about, is not here.
        """
        parsed = parse_envelope(envelope)
        if parsed.payload_type != PAYLOAD_TYPE:
            raise MalformedError("envelope holds something else", expected=PAYLOAD_TYPE, got=parsed.payload_type)
        keyid = parsed.signatures[0].keyid
        frame = open_frame(parsed.payload)
        if frame.predicate_type == KEY_TYPE:
            return self._submit_key_event(parsed, read_key_event(frame, strict=True), envelope)
        if frame.predicate_type in EVENT_TYPES:
            event = parse_event(parsed.payload, strict=True)
            _check_made(event.created)
            verify_whole(parsed, self._trusted(keyid, event.about.name.dataset.namespace).key)
            published = self.sequencer.submit(EventSubmission(envelope))
            return self._said_receipt(str(event.about.name), event.about.digest, envelope, published)
        statement = with_parents(parse_statement(parsed.payload, strict=True), self.blobs)
        if not statement.names_parents:
            what = "its list of inputs is not here"
            raise NotFoundError(what, got=f"{statement.materials}", hint="register it where the list was made")
        source = self._trusted(keyid, statement.name.dataset.namespace)
        verify_whole(parsed, source.key)
        registered = self.sequencer.submit(DatasetSubmission(Publication(envelope, statement, keyid)))
        return self._receipt(registered, ())

    def _submit_key_event(self, parsed: Envelope, event: KeyEvent, envelope: bytes) -> Receipt:
        trust, signer = self.keyring.trust(), parsed.signatures[0].keyid
        listed, speaker = trust.source(event.key.keyid.hex), trust.source(signer)
        if listed is None or speaker is None or speaker.name != listed.name:
            hint = "its owner's public key goes in with `provenance keys trust NAME FILE`"
            raise PolicyError("key is not trusted here", expected="a key of the same name", got=signer, hint=hint)
        verify_whole(parsed, speaker.key)
        is_end = event.action is KeyAction.REVOKED
        if not is_end and signer != listed.key.keyid:
            raise PolicyError("only the key itself says so", expected=listed.key.keyid, got=signer)
        if speaker.revoked and not (is_end and signer == listed.key.keyid):
            raise PolicyError("key is revoked here", expected="a key in force", got=signer)
        if not may_end(listed, speaker):
            expected = f"a key for {' | '.join(listed.namespaces) or 'any namespace'}"
            raise PolicyError("key speaks for less than the one that it would end", expected=expected, got=signer)
        if is_end:
            self._check_end(event)
            self.keyring.revoke(listed.key.keyid, since_of(event), event.reason)
        published = self.sequencer.submit(KeySubmission(envelope))
        return self._said_receipt("key", event.key.keyid, envelope, published)

    def _check_end(self, event: KeyEvent) -> None:
        """Raise `ConflictError` for a revocation that says no more than one that is logged already, `PolicyError` for
        one from a time that is yet to come."""
        _check_made(event.created)
        ends = [
            known
            for _, envelope in self.entries_about(event.key.keyid)
            if (known := read_key_event(open_frame(parse_envelope(envelope).payload))).action is KeyAction.REVOKED
        ]
        told = any(one.since is None or (event.since is not None and event.since >= one.since) for one in ends)
        # One without a time is always taken: whoever has the key, too, must not be able to use up the room for it.
        is_full = event.since is not None and len(ends) >= _MAX_ENDS
        if event not in ends and (told or is_full):
            raise ConflictError("key is revoked in the log already", got=event.key.keyid)

    def entries_about(
        self, about: Digest, *, after: int | None = None, limit: int | None = None
    ) -> tuple[tuple[int, bytes], ...]:
        """Index and envelope of every entry about a key, by its id, in log order, above entry `after`."""
        said = islice(events_about(self._store, about, after=after), limit)
        rows = [self._store.entry(row.entry_index) for row in said]
        return tuple((row.index, row.envelope) for row in rows if row is not None)

    def append_batch(self, envelope: bytes) -> int:
        """Log what was signed of a batch of lineage events or access records; its entry's index."""
        return self.sequencer.submit(BatchSubmission(envelope))

    def _trusted(self, keyid: str, namespace: str) -> TrustedSource:
        source = self._check_signer(keyid, namespace)
        if source is None:
            hint = "its owner's public key goes in with `provenance keys trust NAME FILE`"
            expected = f"a trusted key for {namespace}"
            raise PolicyError("key is not trusted here", expected=expected, got=keyid, hint=hint)
        return source

    def _said_receipt(self, name: str, digest: Digest, envelope: bytes, published: PublishedEvent) -> Receipt:
        return Receipt(
            name=name,
            digest=digest.hex,
            index=published.row.entry_index,
            envelope=Digest.of(envelope).hex,
            signer=published.row.keyid,
            created=published.created,
            proof=self.log.inclusion(published.row.entry_index),
        )

    def state(self, reference: str, body: Body, *, key: str | None = None, passphrase: bytes | None = None) -> EventRow:
        """Sign and log something about a registered artefact; its place in the log.

        `NotFoundError` if there is no such artefact, `PolicyError` if the key is revoked here or not for its namespace.
        """
        about = pin_parents(self._store, [reference])[0]
        signer = self.keyring.signer(key, passphrase)
        self._check_signer(signer.public.keyid, about.name.dataset.namespace)
        created = _now()
        for is_last in (False, False, True):
            event = Event(about, body, created, self.newest_block())
            envelope = encode_envelope(sign_envelope(encode_event(event), PAYLOAD_TYPE, signer))
            try:
                return self.sequencer.submit(EventSubmission(envelope)).row
            except SaidSinceError as error:  # somebody with the same key was faster, or has a clock that is ahead
                if is_last:
                    raise
                created = max(_now(), error.said_at)
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def run(
        self,
        step: str,
        *,
        inputs: Sequence[Location | tuple[Location, str]] = (),
        folder: Location = ".",
        code: Sequence[str] = (),
        parameters: Mapping[str, JsonValue] | None = None,
        purpose: str | None = None,
        accept_unverified: bool = False,
        key: str | None = None,
        passphrase: bytes | None = None,
    ) -> Iterator[RunRecorder]:
        """Record a run: inputs are verified first; what `output` names is registered at the end, with how it was made.

        An input is a place in `folder`, or a place and what should be there. If the block raises, nothing is recorded.
        With `purpose`, what each input was used for is logged too. `accept_unverified` takes inputs that do not reach
        the level that is required of them, if no check fails.
        """
        from provenance.ledger.running import RunRecorder

        recorder = RunRecorder(
            self,
            step,
            folder=folder,
            code=code,
            parameters=parameters,
            purpose=purpose,
            accept_unverified=accept_unverified,
            key=key,
            passphrase=passphrase,
        )
        for one in inputs:
            place, reference = one if isinstance(one, tuple) else (one, None)
            recorder.input(place, reference)
        yield recorder
        recorder.finish()

    def step(
        self,
        name: str | None = None,
        *,
        inputs: Sequence[Location | tuple[Location, str]] = (),
        outputs: Mapping[str, str],
        folder: Location = ".",
        code: Sequence[str] | None = None,
        accept_unverified: bool = False,
        key: str | None = None,
        passphrase: bytes | None = None,
    ) -> Callable[[Callable[_Given, _Result]], Callable[_Given, _Result]]:
        """A decorator: each call of the function is a run, as by `run`, that makes what `outputs` says of its paths.

        `outputs` are pinned names (`ns/name@version`). The step is called as the function, its arguments that are plain
        values are recorded as parameters, and its code is its own file, if that lies in `folder`.
        """
        from provenance.ledger.steps import as_step

        return as_step(
            self,
            name,
            inputs=inputs,
            outputs=outputs,
            folder=folder,
            code=code,
            accept_unverified=accept_unverified,
            key=key,
            passphrase=passphrase,
        )

    def replay(
        self,
        reference: str,
        *,
        data: Mapping[str, Location] | None = None,
        sample: int | None = None,
        seed: Digest | None = None,
        key: str | None = None,
        passphrase: bytes | None = None,
        timeout_s: float = 3_600.0,
    ) -> Replayed:
        """Make an artefact again, in a clean folder by the command that is said to have made it, and state the outcome.

        The command runs with the rights of this process: only runs that a trusted key signed are followed. With
        `sample`, so many records are drawn by a seed (a new one, if none is given) from the table by whose rows the run
        works, and what comes of them must be among the artefact's.
        """
        from provenance.ledger.replaying import replay

        return replay(
            self, reference, data=data, sample=sample, seed=seed, key=key, passphrase=passphrase, timeout_s=timeout_s
        )

    def decisions(
        self,
        model: str,
        place: Location | None = None,
        *,
        required: Level | None = None,
        key: str | None = None,
        passphrase: bytes | None = None,
        batch_decisions: int = 50_000,
        batch_seconds: float = 60.0,
    ) -> Decisions:
        """What records a model's decisions, after its bytes (at `place`, or where it was registered from) verified.

        `VerificationError` if a check fails or the level is not reached that its sensitivity asks for (or `required`,
        instead of that), before any of its code ran.
        """
        from provenance.ledger.decisions import Decisions

        return Decisions(
            self,
            model,
            place,
            required=required,
            key=key,
            passphrase=passphrase,
            batch_decisions=batch_decisions,
            batch_seconds=batch_seconds,
        )

    def check_sound(self, reference: str) -> None:
        """Raise `VerificationError` if a check of a dataset's record or lineage fails, by what is here: no bytes are
        read, and no chain is asked but where only a block could spare what failed. What was found is kept until
        something is logged or trust changes."""
        pin = self.pin(reference)
        state = (self.log.size(), Digest.of(encode_trust(self.keyring.trust())))
        if self._sound.get(pin.envelope) == state:
            return
        report = self.verify_reference(str(pin.name), ask_chain=False)
        if report.could_be_spared:
            report = self.verify_reference(str(pin.name))
        if not report.sound:
            first = report.failures[0]
            raise VerificationError(f"{pin.name} failed: {first.id}: {first.note}", where=first.subject)
        if len(self._sound) >= _MAX_SOUND:
            self._sound.clear()
        self._sound[pin.envelope] = state

    def pin(self, reference: str) -> Pin:
        """The pin of a registered artefact."""
        return pin_parents(self._store, [reference])[0]

    def impact(self, reference: str) -> Impact:
        """What was made from an artefact, nearest first, each with its parent on a shortest way; a whole way gives
        `path_to` of the answer.

        If it is revoked from some time on, what final anchors of this ledger prove to be older is marked as spared.
        """
        row, since = resolve(self._store, reference), None
        if any(said.type == Revocation.TYPE for said in events_about(self._store, self.pin(reference).envelope)):
            report = self._report(row, {}, ask_chain=False)
            since = report.revoked.get(report.target)
        with self._store.snapshot() as snapshot:
            return find_impact(snapshot, row, since)

    def impact_of_key(self, name: str) -> Impact:
        """What a key signed, by the name it is trusted as or its key id (8 digits or more of it), and what was made
        from that. `NotFoundError` if no such key is listed."""
        keyid = self.keyring.listed(name).key.keyid
        listed = self.keyring.trust().source(keyid)
        since = listed.since if listed is not None else None
        with self._store.snapshot() as snapshot:
            return find_impact_of_key(snapshot, keyid, name, since)

    def said_about(self, reference: str, *, after: int | None = None, limit: int | None = None) -> list[Said]:
        """What was said about an artefact, in log order, above entry `after`. What it is worth, `verify` says."""
        return find_said(self._store, self.pin(reference).envelope, after=after, limit=limit)

    def _check_signer(self, keyid: str, namespace: str) -> TrustedSource | None:
        """The listing of a key; `PolicyError` if it is revoked or not for this namespace; None if it is not listed."""
        source = self.keyring.trust().source(keyid)
        if source is not None and source.revoked:
            raise PolicyError("key is revoked here", expected=f"a trusted key for {namespace}", got=keyid)
        if source is not None and source.namespaces and namespace not in source.namespaces:
            expected = " | ".join(source.namespaces)
            raise PolicyError("key is not trusted for this namespace", expected=expected, got=namespace)
        return source

    def receipt(self, reference: str) -> Receipt:
        """The receipt of something registered earlier, with a proof against the log as it is now."""
        return self._receipt(Published(resolve(self._store, reference), created=False), ())

    def _receipt(self, published: Published, notes: tuple[str, ...]) -> Receipt:
        row = published.row
        with self._store.snapshot() as snapshot:
            entry, checkpoint = snapshot.entry(row.entry_index), snapshot.checkpoint()
            if entry is None or checkpoint is None:
                raise NotFoundError("log entry is missing", where=f"entry {row.entry_index}")
            proof = prove_entry(snapshot, row.entry_index, checkpoint)
        document = parse_statement(parse_envelope(entry.envelope).payload).fingerprint
        return Receipt(
            name=pinned_name(row),
            digest=row.digest.hex,
            index=row.entry_index,
            envelope=Digest.of(entry.envelope).hex,
            signer=row.keyid,
            created=published.created,
            proof=proof,
            files=document.file_count,
            total_bytes=document.total_bytes,
            notes=notes,
        )

    def _anchored(self, receipt: Receipt) -> Receipt:
        try:
            return replace(receipt, anchor=self.anchor())
        except ProvenanceError as error:
            return replace(receipt, anchor_problem=str(error))

    # ---- anchoring ---------------------------------------------------------------------------------------------

    def add_cosignatures(self, row: CheckpointRow, signatures: Sequence[NoteSignature]) -> None:
        """Add verified lines to a checkpoint where it is still the latest, and where it is kept for an anchor."""
        with self._store.transaction() as tx:
            latest, kept = tx.checkpoint(), tx.checkpoint_at(row.size)
            if latest is not None and (latest.size, latest.root) == (row.size, row.root):
                tx.set_checkpoint(
                    replace(latest, note=renew_signatures(latest.note, signatures)), expected_size=latest.size
                )
            if kept is not None and kept.root == row.root:
                tx.keep_checkpoint(replace(kept, note=renew_signatures(kept.note, signatures)))
        self.remember_shown(renew_signatures(row.note, signatures))

    def anchor(self) -> AnchorOutcome:
        """Anchor everything logged so far in one transaction; nothing is sent if that is done already.

        Where the log has witnesses, they cosign first: `WitnessError` if fewer do than the trust roots ask for, and
        nothing is sent.
        """
        from provenance.ledger.mapping import NEAR_ENTRIES, keep_heads, wanted_checkpoint
        from provenance.ledger.witnessing import collect_for, require_quorum

        found = collect_for(self)
        if found is None and self.log.size():
            wanted_checkpoint(self)
        with self._anchorer() as anchorer:
            outcome = anchorer.anchor(lambda row: require_quorum(self, row, found))
        kept = self._store.checkpoint_at(outcome.size)
        if kept is not None:
            self.remember_shown(kept.note)
            with suppress(StoreError):  # a map that cannot be written is told of by `fsck`
                keep_heads(self, max_entries=NEAR_ENTRIES)
        return outcome

    def add_log_key(self) -> OwnLogKey:
        """Have the log sign with an ML-DSA-44 key, too, from the next checkpoint on. `ConflictError` if it does."""
        with self._store.transaction() as tx:  # nothing is appended meanwhile
            return self.keyring.log_keys.add_ml_dsa(tx.size())

    def rotate_log_keys(self) -> tuple[OwnLogKey, ...]:
        """Have new keys of the log sign beside the old ones from the next checkpoint on, until those are retired.

        `ConflictError` while the old keys of the last rotation still sign.
        """
        with self._store.transaction() as tx:
            return self.keyring.log_keys.rotate(tx.size())

    def retire_log_key(self, name: str) -> OwnLogKey:
        """Have a key of the log, by key id or verifier key, sign nothing from now on. What it signed holds.

        `NotFoundError` if none such is in force, `ConflictError` if it is the last of its type.
        """
        with self._store.transaction() as tx:
            return self.keyring.log_keys.retire(name, tx.size())

    def deploy(self) -> Deployment:
        """Deploy the anchor contract on this ledger's chain, unless this account has done so."""
        with self._anchorer() as anchorer:
            return anchorer.deploy()

    @contextmanager
    def chain(self) -> Iterator[Chain]:
        """This ledger's chain, open; one user at a time in this process."""
        with self._chain_guard:
            chain = open_chain(self.config.chain, ledger_dir=self.layout.directory, funded=(self.account().address,))
            try:
                yield chain
            finally:
                chain.close()

    def account(self) -> EthereumKey:
        """The account that pays for anchors."""
        from provenance.signers.ethereum import EthereumKey

        return EthereumKey.load(self.keyring.chain_key_path)

    @contextmanager
    def _anchorer(self) -> Iterator[Anchorer]:
        with self._chain_guard, anchoring_lock(self.layout.directory / "anchor.lock"), self.chain() as chain:
            yield Anchorer(self._store, chain, self.account(), self.config.origin)

    def contract(self) -> TrustedAnchor | None:
        """The contract, chain and publisher this ledger anchors with; None before the first anchor."""
        row = self._store.outbox_latest_anchor()
        if row is None or row.contract is None:
            return None
        receipt = receipt_of(row)
        development = receipt is not None and receipt.development
        return TrustedAnchor(row.chain_id, row.contract.lower(), row.publisher.lower(), development)

    def anchors(self, *, after_id: int = 0, limit: int = 100) -> list[OutboxRow]:
        """Mined anchors by growing id."""
        return self._store.anchors(after_id=after_id, limit=limit)

    def pending(self) -> list[OutboxRow]:
        """Transactions that are signed but not final."""
        return self._store.outbox_pending()

    def newest_block(self) -> BlockReference | None:
        """The block of the newest anchor that is mined; None if there is none."""
        row = self._store.outbox_latest_anchor()
        # One whose block was replaced is signed again and still keeps the receipt of that block.
        receipt = receipt_of(row) if row is not None and row.state in ("mined", "final") else None
        if receipt is None:
            return None
        return BlockReference(receipt.chain_id, receipt.block_number, receipt.block_hash)

    # ---- verifying ---------------------------------------------------------------------------------------------

    def trust_roots(self, *, with_blocks: bool = False) -> TrustRoots:
        """What this ledger trusts: `trust.json`, its own log and its own anchor.

        `with_blocks` adds the blocks of its anchors, for an auditor who has no chain to ask.
        """
        trust = self.keyring.trust()
        contract = self.contract()
        anchors = (*trust.anchors, *((contract,) if contract and contract not in trust.anchors else ()))
        blocks = trust.blocks
        if with_blocks:
            blocks = tuple(dict.fromkeys((*blocks, *self._blocks.own())))
        return replace(trust.with_log_keys(self.keyring.log_keys.spans()), anchors=anchors, blocks=blocks)

    def verify(
        self,
        target: Location,
        *,
        expected: str | None = None,
        data: Mapping[str, Location] | None = None,
        deep: bool = False,
        records: bool = False,
        partial: bool = False,
        ask_chain: bool = True,
        progress: ProgressCallback | None = None,
    ) -> Report:
        """The report on a path or a reference.

        A path is fingerprinted and matched to what was registered (`expected` names it, if that is not what its bytes
        or its place say). A reference's bytes are checked where `data` says they are, or where they were registered
        from if they are still there. `data` maps references to places, for ancestors too. `deep` checks the bytes of
        every ancestor that is still where it was registered from; `records` hashes records again too, not only files.
        With `partial`, some of the files are enough: those that are there must be the dataset's, and the report says no
        more than that.
        """
        found: dict[str, ContentFinding] = {}
        contents = self._contents(records=records, is_part=partial, progress=progress)
        for reference, place in (data or {}).items():
            row = resolve(self._store, reference)
            found[pinned_name(row)] = contents.at(row, Path(place) if isinstance(place, PathLike) else place)
        if isinstance(target, str) and self._is_reference(target):
            row = resolve(self._store, target)
            wanted = [row] if pinned_name(row) not in found else []
        else:
            place = Path(target) if isinstance(target, PathLike) else target
            if expected is not None:
                row = resolve(self._store, expected)
                finding = contents.at(row, place)
            else:
                row, finding = contents.matched(place, self._verification())
            found[pinned_name(row)], wanted = finding, []
        if deep:
            ancestors = (self._store.dataset_at(index) for index in self._store.ancestors(row.entry_index))
            wanted += [ancestor for ancestor in ancestors if ancestor and pinned_name(ancestor) not in found]
        for missing in wanted:
            if (there := contents.where_registered(missing)) is not None:
                found[pinned_name(missing)] = there
        return self._report(row, found, ask_chain=ask_chain)

    def verify_digest(self, digest: Digest, *, ask_chain: bool = True) -> Report:
        """The report on a dataset whose digest somebody computed, or on the dataset that holds a file with it."""
        rows = self._store.datasets_by_digest(digest) or self._store.datasets_by_root(digest.raw)
        if rows:
            row = rows[-1]
            contents = {pinned_name(row): ContentFinding(row.digest, "the caller, who computed the digest")}
            return self._report(row, contents, ask_chain=ask_chain)
        matches = self._store.datasets_by_file(digest)
        if not matches:
            raise NotFoundError("nothing registered here has this digest", got=digest)
        row = matches[-1].dataset
        report = self._report(row, {}, ask_chain=ask_chain)
        return file_report(report, digest, [m.path for m in matches if m.dataset == row])

    def verify_reference(self, reference: str, *, ask_chain: bool = True) -> Report:
        """The report on what the log says of a dataset; no place on this machine is looked at."""
        return self._report(resolve(self._store, reference), {}, ask_chain=ask_chain)

    def verify_file(self, file: FileEntry, *, ask_chain: bool = True) -> Report:
        """The report on the dataset that is this one file, name and all, or on one that holds its content."""
        rows = self._store.datasets_by_digest(fingerprint_files([file]).digest)
        if not rows:
            return self.verify_digest(file.digest, ask_chain=ask_chain)
        contents = {pinned_name(rows[-1]): ContentFinding(rows[-1].digest, "the file that was sent")}
        return self._report(rows[-1], contents, ask_chain=ask_chain)

    def verify_bundle(self, data: bytes, *, trust: TrustRoots | None = None) -> Report:
        """The report on an offline bundle, under this ledger's trust roots unless others are given."""
        return verify_bundle(data, trust if trust is not None else self.trust_roots(with_blocks=True))

    def bundle(self, reference: str, *, with_manifests: bool = True, complete: bool = False) -> bytes:
        """The offline bundle of a dataset and all its ancestors; with `complete`, it shows that nothing that was said
        of them, or of the keys that signed, was left out."""
        from provenance.ledger.mapping import complete_evidence

        row = resolve(self._store, reference)
        gathered = partial(self._verification().evidence, row, with_manifests=with_manifests, with_all=complete)
        return encode_bundle(complete_evidence(self, gathered) if complete else gathered())

    def oms_bundle(self, reference: str) -> bytes:
        """The OMS bundle made with a dataset, for other people's tools. `NotFoundError` if there is none."""
        row = resolve(self._store, reference)
        if row.oms is None or not self.blobs.has(row.oms):
            raise NotFoundError("there is no OMS bundle", got=pinned_name(row), hint="register it with a P-256 key")
        return self.blobs.get(row.oms, max_bytes=1 << 30)

    def proofs(self, reference: str) -> Proofs:
        """What makes proofs about a dataset's files and records."""
        statement = self._contents().statement(resolve(self._store, reference))
        return Proofs(statement, self.blobs, self.layout.trees)

    def prove_input(self, reference: str, parent: str) -> InputProof:
        """The proof that an artefact's statement names `parent` as an input. `NotFoundError` if it does not."""
        row, wanted = resolve(self._store, reference), self.pin(parent)
        entry = self._store.entry(row.entry_index)
        if entry is None:
            raise NotFoundError("log entry is missing", where=f"entry {row.entry_index}")
        statement = with_parents(parse_statement(parse_envelope(entry.envelope).payload), self.blobs)
        if not statement.names_parents:
            raise NotFoundError("the list of its inputs is not here", got=statement.name, hint="see `log fsck`")
        return prove_input(entry.envelope, statement, wanted.name)

    def table(self, reference: str, place: Location | None = None) -> Table:
        """The rows of a dataset, read at `place` or where it was registered from. `SourceError` if they are not there.

        What is read is not verified here: `proofs` compares it with the dataset's trees.
        """
        proofs = self.proofs(reference)
        path = fspath(place) if place is not None else self.place_of(reference)
        return open_records(Path(path).resolve(), proofs.files(), proofs.schema)

    def was_registered_from(self, place: Location) -> bool:
        """Whether something was registered from exactly this place on this machine."""
        return bool(self._store.locations_at(str(Path(place).resolve()), limit=1))

    def place_of(self, reference: str) -> str:
        """Where a dataset was registered from and still is something. `SourceError` if there is no such place."""
        places = [one.path for one in self._store.locations(resolve(self._store, reference).entry_index)]
        for path in places:
            if exists(path) or "://" in path:
                return path
        hint = "say where they are: --data PATH"
        raise SourceError("the dataset's bytes are not there", got=", ".join(places) or "no place", hint=hint)

    def lineage(
        self,
        reference: str,
        *,
        direction: str = "both",
        depth: int | None = None,
        as_of: str | None = None,
        ask_chain: bool = False,
    ) -> Lineage:
        """Ancestors, judged, and descendants: `direction` is up, down or both, `depth` how many steps are shown.

        `as_of` (RFC 3339 in UTC): by what the last anchor with a block of then or before holds; `NotFoundError` if that
        is nothing, or not this artefact.
        """
        return find_lineage(
            self._store,
            self._verification(),
            reference,
            lambda evidence: self._blocks.of(evidence) if ask_chain else [],
            direction=direction,
            depth=depth,
            as_of=as_of,
        )

    def gate(
        self,
        target: Location,
        policy: Policy,
        *,
        read: bool = True,
        digest: Digest | None = None,
        ask_chain: bool = True,
        log: bool = False,
        key: str | None = None,
        passphrase: bytes | None = None,
    ) -> Decision:
        """What a policy decides about a path or reference now. What nothing is known of is denied.

        With `read`, a reference's bytes are read where it was registered from; else only its record is looked at, and
        the `digest` that the caller computed of them. With `log`, the decision is signed and logged as a SLSA
        verification summary, allowed or denied; on what is not registered there is nothing to sign.
        """
        if log:
            self.keyring.signer(key, passphrase)  # before the work: it cannot be signed without
        try:
            trust = policy.trust and policy.trust.with_revoked(self.trust_roots())
            audit, evidence = self.audited(target, read=read, digest=digest, ask_chain=ask_chain, trust=trust)
        except NotFoundError as error:
            return refused(str(target), policy, error.what)
        now = datetime.now(UTC)
        decision = decide(policy, audit, now)
        if not log:
            return decision
        row = self.state(audit.report.target, verdict(decision, audit, evidence, now), key=key, passphrase=passphrase)
        return replace(decision, entry=row.entry_index)

    def audit(
        self, target: Location, *, read: bool = True, digest: Digest | None = None, ask_chain: bool = True
    ) -> tuple[Audit, bytes]:
        """The audit as `audited` gives it, and the offline bundle that it is of."""
        audit, evidence = self.audited(target, read=read, digest=digest, ask_chain=ask_chain)
        return audit, encode_bundle(evidence)

    def audited(
        self,
        target: Location,
        *,
        read: bool = True,
        digest: Digest | None = None,
        ask_chain: bool = True,
        trust: TrustRoots | None = None,
    ) -> tuple[Audit, Evidence]:
        """Everything that went into an artefact and what is known of it, and the evidence.

        A path is fingerprinted and matched as by `verify`. A reference's bytes are read where it was registered from,
        if they are still there, unless `read` is False; `digest` is what the caller computed of them. `trust` stands
        in the place of what this ledger trusts.
        """
        contents: dict[str, ContentFinding] = {}
        if isinstance(target, str) and self._is_reference(target):
            row = resolve(self._store, target)
            if digest is not None:
                contents[pinned_name(row)] = ContentFinding(digest, "the caller, who computed the digest")
            elif read and (there := self._contents().where_registered(row)) is not None:
                contents[pinned_name(row)] = there
        else:
            row, finding = self._contents().matched(
                Path(target) if isinstance(target, PathLike) else target, self._verification()
            )
            contents[pinned_name(row)] = finding
        roots = trust if trust is not None else self.trust_roots()
        verification = Verification(self._store, self.blobs, roots)
        evidence = self._verification().evidence(row)  # with keys of all that are known here, whether trusted or not
        blocks = self._blocks.of(evidence) if ask_chain else []
        report = verification.report(row, contents, blocks, evidence)
        uses = [
            said.index
            for said in self.said_about(pinned_name(row))
            if isinstance(said.event.body, Usage) and is_trusted(roots, said.row.keyid)
        ]
        with self._store.snapshot() as snapshot:
            logs = logs_about(snapshot, self.blobs, row, roots)
        return audit_evidence(evidence, report, roots, blocks=blocks, uses=uses, logs=logs), evidence

    def export(self, reference: str, form: str, *, ask_chain: bool = True) -> bytes:
        """An artefact and its lineage in a format of `provenance.verify.exports.FORMATS`."""
        from provenance.verify.exports import export

        audit, evidence = self.audited(reference, ask_chain=ask_chain)
        return export(audit, evidence, form)

    def _is_reference(self, text: str) -> bool:
        if text.startswith((".", "/", "file:")) or exists(text):
            return False
        try:
            parse_reference(text)
        except MalformedError:
            return False
        return True  # whether or not it names anything: the error about the reference is the better one

    def _contents(
        self, *, records: bool = False, is_part: bool = False, progress: ProgressCallback | None = None
    ) -> Contents:
        folder = self.layout.directory
        return Contents(self._store, self.blobs, folder, records=records, is_part=is_part, progress=progress)

    def _verification(self) -> Verification:
        return Verification(self._store, self.blobs, self.trust_roots())

    def _report(self, row: DatasetRow, contents: Mapping[str, ContentFinding], *, ask_chain: bool) -> Report:
        verification = self._verification()
        files_matter = any(finding.fingerprint is not None for finding in contents.values())
        evidence = verification.evidence(row, with_manifests=files_matter)
        blocks = self._blocks.of(evidence) if ask_chain else []
        return verification.report(row, contents, blocks, evidence)

    # ---- looking -----------------------------------------------------------------------------------------------

    def dataset(self, reference: str) -> DatasetRow:
        """The row a reference names."""
        return resolve(self._store, reference)

    def datasets(self, *, after: int | None = None, limit: int = 100, namespace: str | None = None) -> list[DatasetRow]:
        """Datasets in log order, those above entry `after`."""
        return self._store.datasets_page(after=after, limit=limit, namespace=namespace)

    def registered_as(self, digest: Digest) -> list[DatasetRow]:
        """The datasets whose digest, file root or record root this is, or one of whose files has it."""
        rows = self._store.datasets_by_digest(digest) or self._store.datasets_by_root(digest.raw)
        return rows or [match.dataset for match in self._store.datasets_by_file(digest)]

    def versions(self, name: str, *, after: int | None = None, limit: int = 100) -> list[DatasetRow]:
        """All versions of `ns/name`, oldest first."""
        parsed = DatasetName.parse(name)
        return self._store.versions(parsed.namespace, parsed.name, after=after, limit=limit)

    def fsck(self, *, independent: bool = False, progress: FsckProgress | None = None) -> FsckReport:
        """Derive everything again from the entries and compare."""
        from provenance.ledger.mapping import check_map

        self.keyring.note_signer()  # keys that are missing or exchanged end it here
        log_keys = self.keyring.log_keys.keys()
        report = Auditor(self._store, self.blobs, self.layout.trees, log_keys, self.keyring.trust()).run(
            independent=independent, progress=progress
        )
        examine_decisions(self, report)
        try:
            self.check_shown()
        except LogFaultError as fault:
            report.find(fault.message)
        for problem in check_map(self):
            report.find(problem)
        return report


def fingerprint(
    path: Location, progress: ProgressCallback | None = None, *, leave_out: Path | None = None
) -> Fingerprint:
    """The fingerprint of a file or folder. Needs no ledger; `leave_out` names one that lies within and is no data."""
    return open_source(path, Reading(leave_out=leave_out)).fingerprint(progress)


def _begun(layout: Layout, config: Config, store: Store, origin: str | None, *, post_quantum: bool) -> Config:
    """Make the keys of a new ledger; its settings, with the origin that the log's key has."""
    keyring = Keyring(layout)
    if not exists(keyring.log_key_path) and (store.size() or store.checkpoint() is not None):
        hint = "for a replica, copy config.toml, trust.json and keys of the first one into a .provenance folder"
        raise ConflictError("the database holds a ledger already", where=store.location, hint=hint)
    keyring.create_own(config.origin, post_quantum=post_quantum)
    begun = replace(config, origin=keyring.note_signer().name)
    if origin is not None and begun.origin != origin:
        hint = "leave --origin out, or remove the folder"
        what = "a run of init that was cut off chose another origin"
        raise ConflictError(what, expected=begun.origin, got=origin, where=layout.directory, hint=hint)
    keyring.write_trust(keyring.trust())
    return begun


def _settle(layout: Layout, config: Config) -> None:
    """Write the settings, last: a ledger without them is not one yet."""
    try:
        write_config(layout.config, config)
    except ProvenanceError:  # whether they would last is not known: so that it can be run again, they are not there
        with suppress(OSError):
            layout.config.unlink(missing_ok=True)
        raise


def _check_made(created: str) -> None:
    """Raise `PolicyError` for what says that it was made in a time that is yet to come: nothing could be newer."""
    if created > (datetime.now(UTC) + _MAX_AHEAD).strftime("%Y-%m-%dT%H:%M:%SZ"):
        raise PolicyError(
            "it says that it was made in a time that is yet to come", expected="now or before", got=created
        )


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
