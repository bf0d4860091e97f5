"""`provenance keys`: signing keys held here, and keys that are trusted here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.arguments import (
    KeyNameArgument,
    NamespaceOption,
    NoTrustOption,
    OutputOption,
    PassphraseFileOption,
)
from provenance.cli.completion import complete_algorithm, complete_key_reason, complete_trusted_key
from provenance.cli.exits import DONE
from provenance.cli.files import STDOUT, check_output, read_file, write_file
from provenance.cli.invocation import Invocation
from provenance.cli.passphrase import new_passphrase, passphrase_for, unlock
from provenance.cli.verbs.key_events import tell
from provenance.errors import MalformedError, NotFoundError
from provenance.limits import MAX_KEY_BYTES

if TYPE_CHECKING:
    from provenance.encoding import JsonValue
    from provenance.ledger.keyring import Keyring
    from provenance.policy import TrustedSource
    from provenance.signature import PublicKey
    from provenance.signers import StoredKey

_ENCRYPTED_MARKS = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED")


@dataclass(frozen=True, slots=True)
class ListedKey:
    """One key: held here, trusted here, or both."""

    name: str
    key: PublicKey
    stored: StoredKey | None
    source: TrustedSource | None

    @property
    def trust(self) -> str:
        if self.source is None:
            return "not trusted"
        if not self.source.revoked:
            return "trusted"
        return "revoked" if self.source.since is None else f"revoked since {self.source.since}"

    @property
    def trust_text(self) -> str:
        """The trust, and the name it is trusted under if that is another."""
        if self.source is None or self.source.name == self.name:
            return self.trust
        return f"{self.trust} as {self.source.name}"

    @property
    def private(self) -> str:
        if self.stored is None:
            return "not here"
        return "encrypted" if self.stored.encrypted else "not encrypted"

    @property
    def namespaces(self) -> tuple[str, ...]:
        return self.source.namespaces if self.source else ()

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "name": self.name,
            "algorithm": self.key.algorithm,
            "keyid": self.key.keyid,
            "trust": self.trust,
            "trustedAs": self.source.name if self.source is not None else None,
            "namespaces": list(self.namespaces),
            "private": self.private,
            "pem": self.key.pem,
            **({"mlDsa44": {"keyid": beside.keyid, "pem": beside.pem}} if (beside := self.key.ml_dsa) else {}),
        }


def new(
    run: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The key's name: a-z 0-9 . _ -")],
    algorithm: Annotated[
        str,
        typer.Option(
            "--algorithm",
            metavar="NAME",
            help="ecdsa-p256 (also makes OMS bundles) or ed25519.",
            autocompletion=complete_algorithm,
        ),
    ] = "ecdsa-p256",
    post_quantum: Annotated[
        bool,
        typer.Option(
            "--post-quantum", help="Make a pair: an ML-DSA-44 key signs statements, too. It cannot be added later."
        ),
    ] = False,
    encrypt: Annotated[bool, typer.Option("--encrypt", help="Ask for a passphrase to encrypt the key with.")] = False,
    passphrase_file: PassphraseFileOption = None,
    no_trust: NoTrustOption = False,
    namespaces: NamespaceOption = None,
) -> int:
    """Make a signing key. It is trusted in this ledger unless that is refused.

    It is encrypted if there is a passphrase: from --passphrase-file, PROVENANCE_PASSPHRASE, or typed with --encrypt.
    """
    with run.ledger() as ledger:
        passphrase = new_passphrase(passphrase_file, ask=encrypt)
        key = ledger.keyring.new(
            name,
            algorithm=algorithm,
            passphrase=passphrase,
            trust=not no_trust,
            namespaces=tuple(namespaces or ()),
            post_quantum=post_quantum,
        )
        listed, file = find_key(ledger.keyring, key.keyid), ledger.layout.keys / f"{name}.pem"
    _describe(run, listed)
    run.screen.pairs(
        [
            ("file", f"{file}: keep a copy, nobody can make it again"),
            ("for others", f"provenance keys show {name} -o {name}.pub"),
            ("next", "provenance register PATH --name NS/NAME --version V"),
        ]
    )
    run.document(listed.to_json())
    return DONE


def list_keys(run: Invocation) -> int:
    """List the keys held here and the keys trusted here."""
    with run.ledger() as ledger:
        listed = _listed(ledger.keyring)
    if listed:
        rows = [
            (
                key.name,
                ", ".join(key.key.algorithms),
                key.key.keyid[:16],
                key.trust_text,
                key.private,
                ", ".join(key.namespaces) or "any",
            )
            for key in listed
        ]
        run.screen.table(("name", "algorithm", "key id", "trust", "private key", "namespaces"), rows)
    else:
        run.screen.line("no keys yet: make one with `provenance keys new NAME`")
    run.document({"keys": [key.to_json() for key in listed]})
    return DONE


def show(
    run: Invocation,
    name: KeyNameArgument,
    pem: Annotated[bool, typer.Option("--pem", help="Print the public key alone, as PEM; of a pair, both.")] = False,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the public key there, as PEM. - is stdout."),
    ] = None,
) -> int:
    """Show a key: its id, its trust, and its public half as PEM for others to trust."""
    if output is not None:
        check_output(output, as_json=run.as_json)
    with run.ledger() as ledger:
        listed = find_key(ledger.keyring, name)
    if output is not None:
        write_file(output, listed.key.text.encode("ascii"))
    alone = pem or output == STDOUT
    if not alone:
        _describe(run, listed)
    if output is None:
        run.stream(listed.key.text)
    elif not alone:
        run.screen.pairs([("public key", output)])
    run.document(listed.to_json())
    return DONE


def import_key(
    run: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name to keep it under.")],
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A private key as PEM: PKCS#8 or SEC 1; or a pair's two.")
    ],
    passphrase_file: PassphraseFileOption = None,
    no_trust: NoTrustOption = False,
    namespaces: NamespaceOption = None,
) -> int:
    """Take over a private key made elsewhere; an encrypted one stays encrypted."""
    with run.ledger() as ledger:
        pem = read_file(file, "private key", max_bytes=MAX_KEY_BYTES)
        encrypted = passphrase_file is not None or any(mark in pem for mark in _ENCRYPTED_MARKS)
        passphrase = unlock(file, passphrase_file) if encrypted else None
        own = tuple(namespaces or ())
        key = ledger.keyring.import_private(name, pem, passphrase, trust=not no_trust, namespaces=own)
        return _show(run, find_key(ledger.keyring, key.keyid))


def trust(
    run: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call its owner here.")],
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A public key as PEM: P-256 or Ed25519; or a pair's two.")
    ],
    namespaces: NamespaceOption = None,
) -> int:
    """Trust somebody's public key in this ledger."""
    with run.ledger() as ledger:
        pem = read_file(file, "public key", max_bytes=MAX_KEY_BYTES)
        source = ledger.keyring.trust_pem(name, pem, namespaces=tuple(namespaces or ()))
        return _show(run, find_key(ledger.keyring, source.key.keyid))


def revoke(
    run: Invocation,
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A trusted key's name or key id.", autocompletion=complete_trusted_key),
    ],
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="From when on, RFC 3339 in UTC. Default: it never was good."),
    ] = None,
    log: Annotated[
        bool, typer.Option("--log", help="Say so in the log, too, signed with the key itself: it must be held here.")
    ] = False,
    reason: Annotated[
        str | None,
        typer.Option(
            "--reason",
            metavar="WORD",
            help="compromised, superseded or retired. With --log and not said: compromised.",
            autocompletion=complete_key_reason,
        ),
    ] = None,
    passphrase_file: PassphraseFileOption = None,
) -> int:
    """Trust a key no more. What it signed fails verification from now on, but for what a final block proves to be older
    than --since. With --log, whoever trusts the key and is given this log's evidence is told."""
    from provenance.ledger.key_events import revoke_key
    from provenance.statement.frame import parse_choice
    from provenance.statement.key_event import KeyReason

    word = None if reason is None else parse_choice(KeyReason, reason, "reason")
    with run.ledger() as ledger:
        if log:
            said = revoke_key(
                ledger,
                name,
                word or KeyReason.COMPROMISED,
                since,
                passphrase_for(ledger.keyring, name, passphrase_file),
            )
            return tell(run, name, said)
        source = ledger.keyring.revoke(name, since, word)
        return _show(run, find_key(ledger.keyring, source.key.keyid))


def export(run: Invocation, output: OutputOption) -> int:
    """Write this ledger's trust roots for an auditor: `verify --bundle FILE --trust THIS`."""
    from provenance.policy import encode_trust

    check_output(output, as_json=run.as_json)
    with run.ledger() as ledger:
        roots = ledger.trust_roots(with_blocks=True)
    logs = tuple(dict.fromkeys(key.partition("+")[0] for key in roots.logs))
    write_file(output, encode_trust(roots))
    if output != STDOUT:
        run.screen.pairs(
            [
                ("trust roots", output),
                ("sources", ", ".join(f"{s.name}{' (revoked)' if s.revoked else ''}" for s in roots.sources) or "none"),
                ("logs", ", ".join(logs)),
                ("anchors", ", ".join(f"chain {a.chain_id} {a.contract}" for a in roots.anchors) or "none"),
                ("blocks", str(len(roots.blocks))),
            ]
        )
    run.document(
        {
            "file": output,
            "sources": len(roots.sources),
            "logs": len(logs),
            "anchors": len(roots.anchors),
            "blocks": len(roots.blocks),
        }
    )
    return DONE


def _listed(keyring: Keyring) -> list[ListedKey]:
    roots, stored = keyring.trust(), keyring.list()
    own = [ListedKey(key.name, key.public, key, roots.source(key.public.keyid)) for key in stored]
    held = {key.public.keyid for key in stored}
    others = [
        ListedKey(source.name, source.key, None, source) for source in roots.sources if source.key.keyid not in held
    ]
    return sorted([*own, *others], key=lambda listed: (listed.name, listed.key.keyid))


def find_key(keyring: Keyring, name: str) -> ListedKey:
    """The key of this name or id; of several, the one held here."""
    from provenance.ledger.keyring import matching_keyids

    listed = _listed(keyring)
    named = [key for key in listed if name == key.name or (key.source is not None and name == key.source.name)]
    keyids = matching_keyids(name, [key.key.keyid for key in listed])
    found = named or [key for key in listed if key.key.keyid in keyids]
    found = [key for key in found if key.stored is not None] or found
    if not found:
        raise NotFoundError("no such key", got=name, hint="`provenance keys list` shows them")
    if len({key.key.keyid for key in found}) > 1:
        got = ", ".join(key.key.keyid for key in found)
        raise MalformedError("several keys have this name", expected="a key id", got=got)
    return found[0]


def _show(run: Invocation, listed: ListedKey) -> int:
    _describe(run, listed)
    run.stream(listed.key.text)
    run.document(listed.to_json())
    return DONE


def _describe(run: Invocation, listed: ListedKey) -> None:
    run.screen.pairs(
        [
            ("key", listed.name),
            ("algorithm", " and ".join(listed.key.algorithms)),
            ("key id", listed.key.keyid),
            ("ml-dsa-44 id", beside.keyid if (beside := listed.key.ml_dsa) is not None else None),
            ("trust", listed.trust_text),
            ("namespaces", ", ".join(listed.namespaces) or "any"),
            ("private key", listed.private),
        ]
    )
