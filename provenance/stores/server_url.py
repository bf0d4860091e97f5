"""URLs of database servers, read here so that none of them can carry a secret.

Invariants: a URL that was taken holds no password, so that it may be shown, logged and written to a settings file; what
was refused is in no message.

    postgresql://provenance@db.example/ledger?sslmode=verify-full
    postgresql:///ledger?host=/run/postgresql
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from provenance.errors import MalformedError
from provenance.limits import MAX_URI_CHARS, check_size

SCHEMES: Final = ("postgresql", "postgres")
_PARAMETERS: Final = frozenset(
    {
        *("host", "hostaddr", "port", "dbname", "user", "service", "passfile", "connect_timeout", "application_name"),
        *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "sslsni", "ssl_min_protocol_version"),
        *("gssencmode", "krbsrvname", "channel_binding", "require_auth", "requirepeer", "target_session_attrs"),
    }
)
"""What a URL may say besides; none is a secret, and `options` could turn durability off."""
_AUTHORITY: Final = re.compile(r"(?:(?P<user>[^:@/]*)@)?(?P<hosts>(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:@/]*)(?::[0-9]{0,5})?)")
_FORM: Final = "postgresql://user@host/database"


def check_server_url(url: str) -> str:
    """`url`, if it is a PostgreSQL URL without a password; `MalformedError` never says what it was."""
    check_size("database URL", len(url), MAX_URI_CHARS, "characters")
    if not url.isprintable() or " " in url:
        raise _refused()
    try:
        parts = urlsplit(url)
        fields = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query), max_num_fields=50)
    except ValueError:
        raise _refused() from None
    if parts.scheme not in SCHEMES or not url.startswith(f"{parts.scheme}://"):
        raise _refused()
    names = {name for name, _ in fields}
    userinfo, _, _ = parts.netloc.rpartition("@")
    if ":" in userinfo or names & {"password", "sslpassword"}:
        raise MalformedError(
            "a database URL holds a password",
            expected=_FORM,
            hint="leave it out: it is taken from PGPASSWORD, from ~/.pgpass or from a service file",
        )
    if not _AUTHORITY.fullmatch(parts.netloc) or parts.fragment or "@" in parts.path or parts.path.count("/") > 1:
        raise _refused()
    if unknown := names - _PARAMETERS:
        known = ", ".join(sorted(_PARAMETERS))
        raise MalformedError("a database URL has an unknown parameter", expected=known, got=f"{len(unknown)} others")
    if "\0" in unquote(url):
        raise _refused()
    return url


def _refused() -> MalformedError:
    return MalformedError(
        "not a database URL",
        expected=_FORM,
        hint="percent-encode what is no letter or digit; never put a password there",
    )
