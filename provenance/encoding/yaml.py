"""YAML of others, without what can stand for more than it is.

Invariants: the safe part of YAML alone; no alias, which can stand for a text of any size; whoever reads says how much
it may be.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, Final

from provenance.encoding.json import parse_json
from provenance.errors import MalformedError
from provenance.limits import check_size

_BASE_60: Final = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$")
"""What YAML 1.1 takes for a number, in a time that grows with the square of its length."""


def parse_yaml(data: bytes, *, what: str, max_bytes: int) -> Any:
    """The value of one YAML (or JSON) text. `MalformedError` says what is wrong, `LimitError` if it is too large."""
    check_size(what, len(data), max_bytes)
    if data.lstrip()[:1] == b"{":  # JSON is YAML, and a hundred times faster read as what it is
        with suppress(MalformedError):
            return parse_json(data, what=what, max_bytes=max_bytes)
    import yaml

    try:
        text = data.decode("utf-8")
        loader = yaml.SafeLoader(text)
        try:
            for token in yaml.scan(text):
                if isinstance(token, yaml.AliasToken):
                    raise MalformedError(f"{what} has an alias", expected="YAML without & and *, or JSON")
                if isinstance(token, yaml.ScalarToken) and token.plain and _BASE_60.match(token.value):
                    raise MalformedError(f"{what} has a number of base 60", expected="it in quotes, as text")
            node = loader.get_single_node()
            if node is None:
                return None
            _check_keys(node, what)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except UnicodeDecodeError as error:
        raise MalformedError(f"{what} is not UTF-8", expected="YAML or JSON") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark is not None else None
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise MalformedError(f"{what} is not YAML: {problem}", expected="YAML or JSON", where=where) from error


def _check_keys(node: Any, what: str) -> None:
    """Raise for a mapping that has a key twice: of two that say different things, neither is meant."""
    import yaml

    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, yaml.MappingNode):
            keys = [(key.tag, key.value) for key, _ in one.value if isinstance(key, yaml.ScalarNode)]
            if len(set(keys)) != len(keys):
                where = f"line {one.start_mark.line + 1}"
                raise MalformedError(f"{what} has a key twice", got=max(keys, key=keys.count)[1], where=where)
            waiting += [part for pair in one.value for part in pair]
        elif isinstance(one, yaml.SequenceNode):
            waiting += one.value
