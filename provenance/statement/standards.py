"""What a source says of a dataset in the terms of the Data Provenance Standards: 22 elements in three groups.

Invariants: an element that the statement says elsewhere (its name, digest, licence, sensitivity, time, origin, parents)
is not said twice; what is not said is absent, and nobody fills it in; places are ISO 3166 codes; no person is named.

Bytes (canonical JSON, in a dataset's predicate): `{"consent":{"basis":"consent","documentation":"https://.."},
"dateRange":{"from":"2024-01-01","to":"2024-12-31"},"intendedUse":"research","issuer":"City Museum","method":
"primary user source","originGeography":["GB"],"personalData":true,"proprietaryData":"no"}`

Source: Data & Trust Alliance, Data Provenance Standards 1.0.0; the bases are those of the GDPR, Article 6(1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from enum import StrEnum
from typing import Final, TypeVar

from provenance.encoding import Fields, JsonValue
from provenance.errors import MalformedError
from provenance.limits import MAX_URI_CHARS, check_size
from provenance.statement.credentials import check_no_secret
from provenance.statement.frame import check_uri, parse_choice
from provenance.statement.text import MAX_NOTE_CHARS, MAX_TITLE_CHARS, MAX_WORD_CHARS, check_note

VERSION: Final = "1.0.0"
MAX_PLACES: Final = 300
_PLACE = re.compile(r"[A-Z]{2}(?:-[A-Z0-9]{1,3})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]*")


class Method(StrEnum):
    """How the data came to be."""

    WEB_SCRAPING = "web scraping or crawling"
    FEEDS = "feeds"
    SYNDICATION = "syndication"
    DATA_MINING = "data mining"
    MACHINE_GENERATED = "machine generated"
    SENSORS = "sensor and IoT output"
    SOCIAL_MEDIA = "social media"
    USER_GENERATED = "user generated content"
    PRIMARY = "primary user source"
    AUGMENTATION = "data augmentation"
    TRANSFER_LEARNING = "transfer learning"
    OTHER = "other"


class Basis(StrEnum):
    """On what ground personal data were collected."""

    CONSENT = "consent"
    CONTRACT = "contract"
    LEGAL_OBLIGATION = "legal obligation"
    VITAL_INTERESTS = "vital interests"
    PUBLIC_TASK = "public task"
    LEGITIMATE_INTERESTS = "legitimate interests"


class Proprietary(StrEnum):
    """Whether the data hold somebody's property: copyright, patent, trademark, trade secret."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Geography:
    """Where something may be done, and where not: ISO 3166-1 or 3166-2 codes."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_places(self.include)
        _check_places(self.exclude)
        if both := set(self.include) & set(self.exclude):
            raise MalformedError("place is both included and excluded", got=min(both))
        if not self.include and not self.exclude:
            raise MalformedError("geography names no place", expected="include or exclude")

    def to_json(self) -> dict[str, JsonValue]:
        """The geography as a JSON object."""
        named = {"include": list(self.include), "exclude": list(self.exclude)}
        return {name: list(places) for name, places in named.items() if places}


@dataclass(frozen=True, slots=True)
class Standards:
    """The elements that a source says of its dataset. Dates are ISO 8601, `date_range` first and last day."""

    title: str | None = None
    issuer: str | None = None
    description: str | None = None
    metadata_location: str | None = None
    source: str | None = None
    origin_geography: tuple[str, ...] = ()
    previous_issue: str | None = None
    date_range: tuple[str, str] | None = None
    method: Method | None = None
    media_type: str | None = None
    consent_documentation: str | None = None
    basis: Basis | None = None
    personal_data: bool | None = None
    privacy_technologies: tuple[str, ...] = ()
    processing_geography: Geography | None = None
    storage_geography: Geography | None = None
    intended_use: str | None = None
    proprietary_data: Proprietary | None = None

    def __post_init__(self) -> None:
        for text in (self.title, self.issuer, self.source, *self.privacy_technologies):
            if text is not None:
                check_size("text", len(text), MAX_TITLE_CHARS, "characters")
                if not text.strip():
                    raise MalformedError("text is empty", expected="text, or no such field")
        for text in (self.description, self.intended_use):
            check_note(text)
        for uri, what in (
            (self.metadata_location, "metadata location"),
            (self.consent_documentation, "consent documentation"),
        ):
            if uri is not None:
                check_uri(uri, what)
                check_no_secret(uri, what)
        check_size("privacy technologies", len(self.privacy_technologies), MAX_PLACES, "texts")
        _check_places(self.origin_geography)
        if self.previous_issue is not None:
            _check_date(self.previous_issue)
        if self.date_range is not None:
            for day in self.date_range:
                _check_date(day)
            if self.date_range[0] > self.date_range[1]:
                raise MalformedError("date range ends before it begins", got=" to ".join(self.date_range))
        if self.media_type is not None and not _MEDIA_TYPE.fullmatch(self.media_type):
            raise MalformedError("not a media type", expected="as text/csv", got=ascii(self.media_type))

    def __bool__(self) -> bool:
        return any(getattr(self, one.name) not in (None, ()) for one in fields(self))

    def filled(self, other: Standards) -> Standards:
        """These elements, and those of another where these say nothing."""
        mine = {one.name: getattr(self, one.name) for one in fields(self)}
        return replace(other, **{name: value for name, value in mine.items() if value not in (None, ())})

    def to_json(self) -> dict[str, JsonValue]:
        """The elements as a JSON object."""
        consent = {"documentation": self.consent_documentation, "basis": _text(self.basis)}
        value: dict[str, JsonValue | None] = {
            "title": self.title,
            "issuer": self.issuer,
            "description": self.description,
            "metadataLocation": self.metadata_location,
            "source": self.source,
            "originGeography": list(self.origin_geography) or None,
            "previousIssue": self.previous_issue,
            "dateRange": {"from": self.date_range[0], "to": self.date_range[1]} if self.date_range else None,
            "method": _text(self.method),
            "mediaType": self.media_type,
            "consent": {name: text for name, text in consent.items() if text is not None} or None,
            "personalData": self.personal_data,
            "privacyTechnologies": list(self.privacy_technologies) or None,
            "processingGeography": self.processing_geography.to_json() if self.processing_geography else None,
            "storageGeography": self.storage_geography.to_json() if self.storage_geography else None,
            "intendedUse": self.intended_use,
            "proprietaryData": _text(self.proprietary_data),
        }
        return {name: one for name, one in value.items() if one is not None}


def parse_standards(value: JsonValue, what: str = "standards") -> Standards:
    """The elements in a JSON object; `MalformedError` for what is unknown or ill-formed."""
    given = Fields(value, what)
    consent = given.object("consent") if given.has("consent") else Fields({}, what)
    given.skip("consent")
    span = given.object("dateRange") if given.has("dateRange") else None
    given.skip("dateRange")
    standards = Standards(
        title=given.optional_string("title", max_chars=MAX_TITLE_CHARS),
        issuer=given.optional_string("issuer", max_chars=MAX_TITLE_CHARS),
        description=given.optional_string("description", max_chars=MAX_NOTE_CHARS),
        metadata_location=given.optional_string("metadataLocation", max_chars=MAX_URI_CHARS),
        source=given.optional_string("source", max_chars=MAX_TITLE_CHARS),
        origin_geography=_texts(given, "originGeography"),
        previous_issue=given.optional_string("previousIssue", max_chars=10),
        date_range=(span.string("from", max_chars=10), span.string("to", max_chars=10)) if span else None,
        method=_choice(Method, given, "method"),
        media_type=given.optional_string("mediaType", max_chars=MAX_TITLE_CHARS),
        consent_documentation=consent.optional_string("documentation", max_chars=MAX_URI_CHARS),
        basis=_choice(Basis, consent, "basis"),
        personal_data=given.boolean("personalData") if given.has("personalData") else None,
        privacy_technologies=_texts(given, "privacyTechnologies"),
        processing_geography=_geography(given, "processingGeography"),
        storage_geography=_geography(given, "storageGeography"),
        intended_use=given.optional_string("intendedUse", max_chars=MAX_NOTE_CHARS),
        proprietary_data=_choice(Proprietary, given, "proprietaryData"),
    )
    given.skip("personalData")
    for part in (given, consent, *((span,) if span else ())):
        part.end()
    return standards


ELEMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "source": (
        "standards version", "title", "unique identifier", "metadata location", "issuer", "description",
    ),
    "provenance": (
        "source metadata", "source", "origin geography", "issue date", "previous issue date", "date range", "method",
        "format",
    ),
    "use": (
        "confidentiality classification", "consent documentation", "privacy-enhancing technologies",
        "processing geography", "storage geography", "licence", "intended use", "proprietary data",
    ),
}  # fmt: skip
"""The 22 elements by group, in the order of the standard."""


def _text(value: StrEnum | None) -> str | None:
    return None if value is None else str(value)


_Choice = TypeVar("_Choice", bound=StrEnum)


def _choice(enum: type[_Choice], given: Fields, name: str) -> _Choice | None:
    text = given.optional_string(name, max_chars=MAX_WORD_CHARS)
    return None if text is None else parse_choice(enum, text, name)


def _texts(given: Fields, name: str) -> tuple[str, ...]:
    if not given.has(name):
        given.skip(name)
        return ()
    texts = []
    for text in given.array(name, max_items=MAX_PLACES):
        if not isinstance(text, str):
            raise MalformedError(f"{name} holds something that is no text", expected="text")
        texts.append(text)
    if not texts:
        raise MalformedError(f"{name} is empty", expected="one at least, or no such field")
    return tuple(texts)


def _geography(given: Fields, name: str) -> Geography | None:
    if not given.has(name):
        given.skip(name)
        return None
    places = given.object(name)
    geography = Geography(_texts(places, "include"), _texts(places, "exclude"))
    places.end()
    return geography


def _check_places(places: tuple[str, ...]) -> None:
    check_size("places", len(places), MAX_PLACES, "places")
    for place in places:
        if not _PLACE.fullmatch(place):
            raise MalformedError("not a place", expected="an ISO 3166 code as DE or US-CA", got=ascii(place))
    if len(set(places)) != len(places):
        raise MalformedError("place is named twice", got=max(places, key=places.count))


def _check_date(text: str) -> None:
    try:
        if _DATE.fullmatch(text):
            date.fromisoformat(text)
            return
    except ValueError:
        pass
    raise MalformedError("not a date", expected="year-month-day as 2024-01-31", got=ascii(text))
