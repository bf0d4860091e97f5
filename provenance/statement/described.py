"""Licence, origin and elements of the Data Provenance Standards, out of a description that there is already: a Hugging
Face card or a Croissant description.

Invariants: what has no place of its own in a statement is left out, and so is what is too long for it or ill-formed
there; a licence counts only if it is one that SPDX knows by that name; nothing is concluded from prose but the first
paragraph, which describes.

Sources: Hugging Face Hub, card metadata and its licence identifiers; Croissant 1.1; the Croissant RAI vocabulary 1.0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final

from provenance.encoding import JsonValue, parse_foreign_json
from provenance.encoding.card import MAX_CARD_BYTES, is_card, read_card
from provenance.errors import MalformedError
from provenance.statement.credentials import check_no_secret
from provenance.statement.frame import check_uri
from provenance.statement.license import check_license
from provenance.statement.standards import Method, Standards
from provenance.statement.text import MAX_TITLE_CHARS, check_note

HUB_LICENCES: Final = {
    "apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause", "bsd-3-clause-clear": "BSD-3-Clause-Clear", "c-uda": "C-UDA-1.0", "isc": "ISC",
    "cc0-1.0": "CC0-1.0", "cc-by-2.0": "CC-BY-2.0", "cc-by-2.5": "CC-BY-2.5", "cc-by-3.0": "CC-BY-3.0",
    "cc-by-4.0": "CC-BY-4.0", "cc-by-sa-3.0": "CC-BY-SA-3.0", "cc-by-sa-4.0": "CC-BY-SA-4.0",
    "cc-by-nc-2.0": "CC-BY-NC-2.0", "cc-by-nc-3.0": "CC-BY-NC-3.0", "cc-by-nc-4.0": "CC-BY-NC-4.0",
    "cc-by-nd-4.0": "CC-BY-ND-4.0", "cc-by-nc-nd-3.0": "CC-BY-NC-ND-3.0", "cc-by-nc-nd-4.0": "CC-BY-NC-ND-4.0",
    "cc-by-nc-sa-2.0": "CC-BY-NC-SA-2.0", "cc-by-nc-sa-3.0": "CC-BY-NC-SA-3.0", "cc-by-nc-sa-4.0": "CC-BY-NC-SA-4.0",
    "cdla-sharing-1.0": "CDLA-Sharing-1.0", "cdla-permissive-1.0": "CDLA-Permissive-1.0",
    "cdla-permissive-2.0": "CDLA-Permissive-2.0", "wtfpl": "WTFPL", "ecl-2.0": "ECL-2.0", "epl-1.0": "EPL-1.0",
    "epl-2.0": "EPL-2.0", "eupl-1.1": "EUPL-1.1", "eupl-1.2": "EUPL-1.2", "agpl-3.0": "AGPL-3.0-only",
    "gfdl": "GFDL-1.3-or-later", "gpl-2.0": "GPL-2.0-only", "gpl-3.0": "GPL-3.0-only", "lgpl-2.1": "LGPL-2.1-only",
    "lgpl-3.0": "LGPL-3.0-only", "afl-3.0": "AFL-3.0", "artistic-2.0": "Artistic-2.0", "bsl-1.0": "BSL-1.0",
    "lppl-1.3c": "LPPL-1.3c", "ms-pl": "MS-PL", "mpl-2.0": "MPL-2.0", "odc-by": "ODC-By-1.0", "odbl": "ODbL-1.0",
    "ofl-1.1": "OFL-1.1", "osl-3.0": "OSL-3.0", "postgresql": "PostgreSQL", "ncsa": "NCSA", "unlicense": "Unlicense",
    "zlib": "Zlib", "pddl": "PDDL-1.0",
}  # fmt: skip
"""The Hub's identifiers that are one licence of SPDX; others (`other`, `openrail`, `llama3`) name none of its."""
_SPDX_ADDRESS: Final = re.compile(r"https?://(?:www\.)?spdx\.org/licenses/([A-Za-z0-9.+-]+?)(?:\.html|\.json)?/?")
_METHODS: Final = {
    "crowdsourced": Method.USER_GENERATED, "machine-generated": Method.MACHINE_GENERATED,
    "found": None, "expert-generated": Method.PRIMARY,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Described:
    """What a description says that a statement has a place for."""

    license: str | None = None
    origin: str | None = None
    standards: Standards = field(default_factory=Standards)


def read_described(data: bytes) -> Described:
    """What a card or a Croissant description says. `MalformedError` if it is neither."""
    if is_card(data):
        card = read_card(data)
        return _of_card(card.metadata if isinstance(card.metadata, dict) else {}, card.text)
    if data.lstrip().startswith(b"{"):
        value = parse_foreign_json(data, what="description", max_bytes=MAX_CARD_BYTES)
        if isinstance(value, dict) and {"distribution", "conformsTo"} & set(value):
            return _of_croissant(value)
    expected = "a Hugging Face card (front matter between lines of ---), or a Croissant description (JSON)"
    raise MalformedError("not a description of a dataset or model", expected=expected)


def _of_card(card: dict[str, JsonValue], text: str) -> Described:
    stated = _texts(card.get("license"))
    licence = HUB_LICENCES.get(stated[0].lower()) if len(stated) == 1 else None
    creators = _texts(card.get("language_creators"))
    return Described(
        licence,
        None,
        Standards(
            title=_short(card.get("pretty_name")) or _short(card.get("model_name")),
            description=_paragraph(text),
            method=_METHODS.get(creators[0]) if len(creators) == 1 else None,
        ),
    )


def _of_croissant(value: dict[str, JsonValue]) -> Described:
    span = _texts(value.get("rai:dataCollectionTimeframe"))
    standards = Standards(
        title=_short(value.get("name")),
        issuer=_short(_name_of(value.get("publisher"))) or _short(_name_of(value.get("creator"))),
        description=_note(value.get("description")),
        source=_short(value.get("rai:dataCollection")),
        intended_use=_note(value.get("rai:dataUseCases")),
        method=_method(value.get("rai:dataCollectionType")),
    )
    days = tuple(day[:10] for day in span)
    if len(days) == 2:
        standards = _with_span(standards, days[0], days[1])
    stated = _texts(value.get("license"))
    return Described(_licence(stated[0]) if len(stated) == 1 else None, _origin(value.get("url")), standards)


def _with_span(standards: Standards, first: str, last: str) -> Standards:
    try:
        return replace(standards, date_range=(first, last))
    except MalformedError:
        return standards


def _licence(text: str) -> str | None:
    """The identifier in an address of SPDX, or an expression; None for anything else."""
    match = _SPDX_ADDRESS.fullmatch(text)
    found = match[1] if match is not None else HUB_LICENCES.get(text.lower(), text)
    try:
        check_license(found)
    except MalformedError:
        return None
    return None if "/" in found else found


def _origin(value: JsonValue) -> str | None:
    if not isinstance(value, str) or value.startswith("urn:provenance-ledger:"):
        return None
    try:
        check_uri(value, "url")
        check_no_secret(value, "url")
    except MalformedError:
        return None
    return value


def _texts(value: JsonValue) -> list[str]:
    given = value if isinstance(value, list) else [value]
    return [one for one in given if isinstance(one, str) and one.strip()]


def _short(value: JsonValue) -> str | None:
    text = value.strip() if isinstance(value, str) else ""
    return text if 0 < len(text) <= MAX_TITLE_CHARS and text.isprintable() else None


def _note(value: JsonValue) -> str | None:
    """A text of the length a note may have; a longer one is left out, not cut in the middle of what it says."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    try:
        check_note(text or None)
    except MalformedError:
        return None
    return text or None


def _paragraph(text: str) -> str | None:
    """The first paragraph that is prose: no heading, table, list, image, link of its own or markup."""
    for block in re.split(r"\n\s*\n", text):
        line = block.strip()
        if line and line[0].isalnum() and "<" not in line and not re.match(r"[0-9]+\.\s", line):
            return _note(line)
    return None


def _name_of(value: JsonValue) -> JsonValue:
    """The name of the first, if that is said to be an organisation and nothing else: no person is named."""
    one = value[0] if isinstance(value, list) and value else value
    if not isinstance(one, dict):
        return None
    stated = one.get("@type")
    kinds = [str(kind) for kind in (stated if isinstance(stated, list) else [stated])]
    return one.get("name") if {re.split(r"[/#:]", kind)[-1] for kind in kinds} == {"Organization"} else None


def _method(value: JsonValue) -> Method | None:
    found = [method for method in Method if str(method) in _texts(value)]
    return found[0] if len(found) == 1 else None
