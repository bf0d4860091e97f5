"""Engines by name. `open_engine` loads an implementation when it is asked for.

Third parties add theirs by entry points of the group `provenance.engines`: name = the engine's name, value = a callable
without arguments that returns an `Engine`.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from provenance.engines.base import Engine
from provenance.errors import SourceError

__all__ = ["ENTRY_POINT_GROUP", "Engine", "engine_names", "open_engine"]

ENTRY_POINT_GROUP = "provenance.engines"


def engine_names() -> tuple[str, ...]:
    """The engines that are installed here, besides this machine itself, sorted."""
    return tuple(sorted(point.name for point in entry_points(group=ENTRY_POINT_GROUP)))


def open_engine(name: str) -> Engine:
    """The engine of this name. `SourceError` if it is unknown, does not load or cannot be reached."""
    found = entry_points(group=ENTRY_POINT_GROUP, name=name)
    if not found:
        hint = f"install a package with an entry point {name!r} in the group {ENTRY_POINT_GROUP!r}"
        raise SourceError(
            "engine is unknown", expected=" | ".join(("local", *engine_names())), got=ascii(name), hint=hint
        )
    plug_in = next(iter(found))
    try:
        make = plug_in.load()
    except Exception as error:
        raise SourceError("engine does not load", got=type(error).__name__, where=plug_in.value) from error
    engine: Engine = make()
    return engine
