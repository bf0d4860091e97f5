"""YAML of others, without what can stand for more than it is.

Invariants: the safe part of YAML alone; no alias, which can stand for a text of any size; whoever reads says how much
it may be.
"""

from __future__ import annotations

from typing import Any

from provenance.errors import MalformedError
from provenance.limits import check_size


def parse_yaml(data: bytes, *, what: str, max_bytes: int) -> Any:
    """The value of one YAML (or JSON) text. `MalformedError` says what is wrong, `LimitError` if it is too large."""
    import yaml

    check_size(what, len(data), max_bytes)
    try:
        text = data.decode("utf-8")
        loader = yaml.SafeLoader(text)
        try:
            if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
                raise MalformedError(f"{what} has an alias", expected="YAML without & and *, or JSON")
            return loader.get_single_data()
        finally:
            loader.dispose()
    except UnicodeDecodeError as error:
        raise MalformedError(f"{what} is not UTF-8", expected="YAML or JSON") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark is not None else None
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise MalformedError(f"{what} is not YAML: {problem}", expected="YAML or JSON", where=where) from error
