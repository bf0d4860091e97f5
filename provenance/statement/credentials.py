"""What in a text seems to open something: passwords, tokens and keys, which must never be signed or logged.

Invariants: one detector for every statement and import; it takes time proportional to the text; it says what kind of
secret it met and never shows one. It looks at names (`--hub_token=x`, `PGPASSWORD=x`, `?clientSecret=x`,
`"password": "x"`, `Authorization: ..`), at users in addresses (`//user:pw@host`), and at words whose form is known
(`ghp_..`, `AKIA..`, JWT, PEM). A name is read by its words, however they are joined: `api_key`, `api-key` and `apiKey`
are one. What points to a secret is none (`--password-file=path`), nor is a switch (`--use-token`) or a variable
(`$TOKEN`). A short option says nothing by itself: it is judged by the program before it, where that is a known one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from provenance.errors import MalformedError

WITHHELD: Final = "(withheld)"
MAX_NAME_CHARS: Final = 128
"""Of a longer name only the end is read: what it is, is said last."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_MAY_BE_SECRET = re.compile(r"pass|pw|secret|token|cred|key|auth|sig|jwt|cookie|bearer|sas", re.IGNORECASE)


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ALWAYS: Final = _set("password passwd passphrase passcode pwd jwt apikey secretkey accesskey privatekey")
_AT_THE_END: Final = _set(
    "secret secrets token auth authorization pass pw cookie bearer credential credentials sas passwords passphrases"
    " apikeys"
)
_JOINED: Final = tuple(
    _set(
        "password passwd passphrase secret apikey accesskey accesskeyid secretkey privatekey accountkey sharedkey"
        " masterkey accesstoken authtoken idtoken refreshtoken sessiontoken securitytoken apitoken hftoken ghtoken"
        " hubtoken githubtoken bottoken credentials sshpass storepass keypass secretid"
    )
)
_KEYS: Final = _set(
    "api access secret private account shared storage master signing encryption auth subscription consumer app"
    " application admin deploy session hmac"
)
"""Whose key opens something; the keys of tables and files are many others."""
_IN_QUERIES: Final = _set("sig signature")
_POINTERS: Final = _set(
    "file files path paths dir folder name names env var variable url uri endpoint type kind column columns col field"
    " fields length len count limit size max min policy ttl expiry expires expiration timeout age format mode index idx"
    " position prompt hint required enabled manager provider store backend ref reference arn helper label labels dim"
    " budget ids pattern regex algorithm alg version command cmd stdin embedding embeddings fd rate strength"
)
"""What a name ends in that says where a secret is, or something of it, and holds none."""
_SUFFIXES: Final = _set(
    "value text string plain raw hex base64 b64 prod production dev staging test live main primary secondary default"
    " github gitlab hf huggingface hub aws azure gcp google openai anthropic slack npm pypi wandb db admin user"
)
"""What may come after a secret's name without changing what it is."""
_OF_TEXTS: Final = _set(
    "pad eos bos unk cls sep mask special stop end start begin image audio next per max min num n first last single"
    " prev previous target source class prefix suffix word video"
)
"""Whose token is a piece of a text."""
_PASSES: Final = _set("first second third one two multi single n num max min by com")
_SWITCHES: Final = _set("use no with without has is allow skip require add show ask prompt")
_NO_SECRET = re.compile(r"(?:true|false|none|null|yes|no|on|off|\*+|<[A-Za-z _-]*>)", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:[A-Z_][A-Z0-9_]*|\{[A-Z_][A-Z0-9_]*\})")
_NUMBER = re.compile(r"[0-9]{1,6}")
_FILE = re.compile(r"\S+\.(?:json|toml|ini|ya?ml|pem|key|cfg)")

# Possessive and begun at a word's start: each character is looked at a bounded number of times.
_NAMED = re.compile(r"(?<![A-Za-z0-9_.\-])([A-Za-z0-9_.\-]++)([\"'\\\])]{0,4}\s{0,8})(=|:)")
_VALUE = re.compile(
    r"(\s{0,8})([\"'\\]{0,2})(?:(?:bearer|basic|token)\s{1,8})?(\$\{[A-Z_][A-Z0-9_]{0,99}\}|[^\s\"'&;#,)}\]]{1,256})",
    re.IGNORECASE,
)
_USER_OF = re.compile(r"(?P<scheme>(?<![A-Za-z0-9+.\-])[A-Za-z0-9+.\-]++)?:[/\\]{2}(?P<user>[^/\\?#\s]*)@")
_BEARER = re.compile(
    r"(?<![A-Za-z])bearer\s{1,8}(?=[A-Za-z0-9._~+/=\-]{0,64}[0-9]|[A-Za-z._~+/=\-]{16})", re.IGNORECASE
)
_ESCAPED = re.compile(r"%([2-7][0-9A-Fa-f])")
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----")
_FORMS = re.compile(
    r"(?<![A-Za-z0-9_\-])(?:"
    r"gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_\-]{16,}|hf_[A-Za-z0-9]{16,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])|xox[abeoprs]-[A-Za-z0-9\-]{10,}|xapp-[A-Za-z0-9\-]{10,}"
    r"|sk-[A-Za-z0-9]{20,}|sk-(?:proj|ant|svcacct|admin|or|live|test)-[A-Za-z0-9_\-]{16,}"
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|AIza[A-Za-z0-9_\-]{35}|ya29\.[A-Za-z0-9_\-]{20,}"
    r"|pypi-AgE[A-Za-z0-9_\-]{20,}|npm_[A-Za-z0-9]{30,}|dop_v1_[0-9a-f]{32,}"
    r"|eyJ[A-Za-z0-9_\-]{8,}+\.[A-Za-z0-9_\-]{8,}+\.[A-Za-z0-9_\-]*)"
)
"""GitHub, GitLab, Hugging Face, AWS, Slack, OpenAI and its like, Stripe, Google, PyPI, npm, DigitalOcean; JWT."""
_PLAIN_USERS: Final = frozenset({"abfs", "abfss", "wasb", "wasbs"})
"""Schemes that write a container of Azure where others write a user."""
_LOGGED_IN: Final = frozenset({"http", "https", "ftp", "ftps", "ws", "wss"})
"""Schemes whose user alone may be a token."""

_USER_OPTIONS: Final = frozenset({"-u", "--user", "--proxy-user", "-a", "--auth"})
_USER_AND_PASSWORD = re.compile(r"(?![0-9]+:[0-9]+$)[^\s:/]+:(?!//)\S+")
_ATTACHED: Final = dict.fromkeys(
    _set("mysql mysqldump mysqladmin mysqlimport mysqlshow mariadb mariadb-dump mycli 7z 7za 7zz rar unrar"), "p"
)
"""Programs whose option takes a password without a space."""
_EITHER: Final = {
    **dict.fromkeys(_set("sshpass mongo mongosh mongodump mongorestore mongoexport mongoimport beeline twine"), "p"),
    **dict.fromkeys(_set("ldapsearch ldapadd ldapmodify"), "w"),
    **dict.fromkeys(_set("sqlcmd bcp zip unzip"), "P"),
    "redis-cli": "a",
    "login": "p",  # of docker, podman, helm, az and the like: elsewhere -p is a port
}
"""Programs whose option takes one with or without."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """Where a text seems to hold a secret, and what kind of one: the secret itself is not in here."""

    kind: str
    start: int


def is_secret_name(name: str, *, in_query: bool = False) -> bool:
    """Whether an option, variable, header or parameter of this name holds what opens something."""
    if not _MAY_BE_SECRET.search(name[-MAX_NAME_CHARS:]):
        return False
    words = [word.lower() for word in _WORDS.findall(name[-MAX_NAME_CHARS:])]
    while len(words) > 1 and (words[-1].isdecimal() or words[-1] in _SUFFIXES):
        words.pop()
    if not words or words[-1] in _POINTERS:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last == "token":
        return before not in _OF_TEXTS
    if last == "pass":
        return before not in _PASSES
    if last in _AT_THE_END or (in_query and last in _IN_QUERIES) or not _ALWAYS.isdisjoint(words):
        return True
    return any(key == "key" and whose in _KEYS for whose, key in pairwise(words)) or "".join(words).endswith(_JOINED)


def find_secret(text: str) -> Suspect | None:
    """The first thing in a text that seems to be a secret; None if nothing does."""
    found = _find(text)
    if found is None and "%" in text:
        plain = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
        hidden = _find(plain) if plain != text else None
        return None if hidden is None else Suspect(hidden.kind, text.index("%"))
    return found


def find_secret_word(words: Sequence[str]) -> Suspect | None:
    """The same of a command: an option's value may be the next word. `start` is then 0."""
    found = find_secret(" ".join(words))
    if found is not None:
        return found
    for line in (words, *(_pieces(word) for word in words if re.search(r"\s", word))):
        if any(_options(line)):
            return Suspect("an option's value", 0)
    return None


def holds_no_secret(name: str, value: object) -> bool:
    """Whether what is given under this name is none, whatever the name says: a switch, or a variable's name."""
    if value is None or isinstance(value, bool):
        return True
    text = str(value)
    last = (_WORDS.findall(name[-MAX_NAME_CHARS:]) or [""])[-1].lower()
    if not text or _NO_SECRET.fullmatch(text) or _VARIABLE.fullmatch(text):
        return True
    if last == "pass":
        return bool(_NUMBER.fullmatch(text))
    if last == "pwd":
        return text.startswith("/")  # the shell's own PWD
    return last in ("credential", "credentials") and bool(_FILE.fullmatch(text))


def check_no_secret(text: str, what: str) -> None:
    """Raise `MalformedError` if a URI or text seems to hold a secret: what is yet to be signed or logged must not."""
    found = find_secret(text)
    if found is not None:
        expected = "a URI without tokens, signatures or keys"
        raise MalformedError(f"{what} holds a secret", expected=expected, got=found.kind)


def without_secrets(text: str) -> str:
    """A name that may be a URL, without its user and password, without its query if that seems to hold a secret, and
    without whatever else does."""
    text = _FORMS.sub(WITHHELD, _USER_OF.sub(_without_user, text))
    found = find_secret(text)
    if found is None:
        return text
    query = re.search(r"[?#;&]", text)
    if query is not None and query.start() <= found.start:
        return text[: query.start()] or WITHHELD
    return text[: found.start].rstrip(" -\"'{") + WITHHELD


def _without_user(match: re.Match[str]) -> str:
    scheme = match["scheme"] or ""
    if scheme.lower() in _PLAIN_USERS and ":" not in match["user"]:
        return match[0]
    return f"{scheme}://"


def _find(text: str) -> Suspect | None:
    for kind, pattern in (("a token", _FORMS), ("a private key", _PEM), ("an authorization", _BEARER)):
        match = pattern.search(text)
        if match is not None:
            return Suspect(kind, match.start())
    for match in _USER_OF.finditer(text):
        if ":" in match["user"] or (match["scheme"] or "").lower().rpartition("+")[2] in _LOGGED_IN:
            return Suspect("a user in an address", match.start())
    return next(_named(text), None)


def _named(text: str) -> Iterator[Suspect]:
    """What is given under a secret's name."""
    if not _MAY_BE_SECRET.search(text):
        return
    harmless = set[str]()
    for match in _NAMED.finditer(text):
        name, between, sign = match.groups()
        if name in harmless:
            continue
        start = match.start()
        before = text[start - 1] if start else " "
        if not is_secret_name(name, in_query=before in "?&;#"):
            if not is_secret_name(name, in_query=True):
                harmless.add(name)
            continue
        value = _VALUE.match(text, match.end())
        if value is None or (sign == "=" and value[3][0] == "="):
            continue
        is_bare = sign == ":" and not (between or value[1] or value[2])
        # `arn:..:secret:name` and `token:0` are addresses; `password:x` and `X-Api-Key:x` are not.
        if is_bare and (before not in " \t\n\"'{,(" or value[3].startswith("//") or name.lower() == "token"):
            continue
        if sign == "=" and value[1] and not between and name.startswith("-"):
            continue  # an empty value, and the next word
        if not holds_no_secret(name, value[3]):
            yield Suspect("a secret by its name", start)


def _pieces(line: str) -> list[str]:
    return [piece for word in line.split() if (piece := word.strip("\"'`()[]{},;"))]


def _options(words: Sequence[str]) -> Iterator[bool]:
    """Whether each word is an option that takes a secret, and has one."""
    attached, either = "", ""
    for place, word in enumerate(words):
        program = word.replace("\\", "/").rpartition("/")[2].removesuffix(".exe")
        attached, either = attached + _ATTACHED.get(program, ""), either + _EITHER.get(program, "")
        if not word.startswith("-") or len(word) < 2:
            continue
        following = words[place + 1] if place + 1 < len(words) else ""
        name, equals, value = word.partition("=")
        if name in _USER_OPTIONS:
            yield bool(_USER_AND_PASSWORD.fullmatch(value if equals else following))
        if word[1] != "-" and len(word) > 2 and word[1] in attached + either:
            yield True
        if len(word) == 2 and word[1] in either:
            yield bool(following)
        if not equals and len(word) > 2 and following and not following.startswith("-"):
            parts = _WORDS.findall(name)
            is_switch = bool(parts) and parts[0].lower() in _SWITCHES
            yield is_secret_name(name) and not is_switch and not holds_no_secret(name, following)
