"""What every publisher promises (`provenance.publishers.base`), run on each kind."""

from __future__ import annotations

from contextlib import closing

import pytest

from provenance.errors import ConflictError
from provenance.log import EntriesPath, TilePath
from provenance.publishers import open_publisher
from tests.conformance.publishers.conftest import Place

FULL, PARTIAL, BUNDLE = TilePath(0, 1_234_067), TilePath(1, 0, 3), EntriesPath(7, 2)


def test_nothing_is_there_at_first(place: Place) -> None:
    with closing(open_publisher(place.address)) as publisher:
        assert publisher.published() is None
        assert publisher.read(FULL) is None


def test_what_is_put_is_there_under_the_path_of_its_url(place: Place) -> None:
    with closing(open_publisher(place.address)) as publisher:
        assert publisher.put(FULL, b"a" * 8_192)
        assert publisher.put(PARTIAL, b"b" * 96)
        assert publisher.put(BUNDLE, b"\x00\x01c\x00\x00")
        publisher.checkpoint(b"note\n")
        assert publisher.published() == b"note\n"
        assert publisher.read(BUNDLE) == b"\x00\x01c\x00\x00"
    assert place.files() == {
        "tile/0/x001/x234/067": b"a" * 8_192,
        "tile/1/000.p/3": b"b" * 96,
        "tile/entries/007.p/2": b"\x00\x01c\x00\x00",
        "checkpoint": b"note\n",
    }


def test_a_file_is_never_rewritten(place: Place) -> None:
    with closing(open_publisher(place.address)) as publisher:
        publisher.put(FULL, b"a" * 8_192)
        before = place.versions()
        assert not publisher.put(FULL, b"a" * 8_192)
        assert place.versions() == before
        for other in (b"b" * 8_192, b"a" * 8_191, b""):
            with pytest.raises(ConflictError, match="another file"):
                publisher.put(FULL, other)
        assert place.versions() == before


def test_the_checkpoint_is_replaced(place: Place) -> None:
    with closing(open_publisher(place.address)) as publisher:
        publisher.checkpoint(b"one\n")
        publisher.checkpoint(b"another\n")
    with closing(open_publisher(place.address)) as publisher:
        assert publisher.published() == b"another\n"
    assert place.files() == {"checkpoint": b"another\n"}


def test_the_head_of_the_map_is_replaced(place: Place) -> None:
    with closing(open_publisher(place.address)) as publisher:
        assert publisher.head() is None
        publisher.checkpoint(b"note\n")
        publisher.put_head(b"one\n")
        publisher.put_head(b"another\n")
        assert publisher.head() == b"another\n"
    with closing(open_publisher(place.address)) as publisher:
        assert publisher.head() == b"another\n"
    assert place.files() == {"checkpoint": b"note\n", "map/head": b"another\n"}
