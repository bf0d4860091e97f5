"""What a person reads on stdout: lines, labelled values, tables.

Invariants: text from outside is escaped before it is printed (`printable`) and never read as markup; nothing depends on
colour, on more than 80 columns or on UTF-8; a muted screen prints nothing.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import IO, Final

from provenance.errors import printable

LABEL_COLUMNS: Final = 12
_MAX_COLUMNS = 120
_DETAIL_COLUMNS = 13
_NARROW_CHARS = 16
_MIN_COLUMNS = 72
_STYLES: Final = {
    "good": "1;32",
    "bad": "1;31",
    "warn": "33",
    "strong": "1",
    "faint": "2",
}
STATUS_STYLES: Final = {
    "passed": "good",
    "failed": "bad",
    "affected": "bad",
    "not performed": "warn",
    "VERIFIED": "good",
    "FAILED": "bad",
    "INCOMPLETE": "warn",
}
"""Words that are coloured wherever they are all that a table's cell holds."""


class Screen:
    """Prints to stdout, or nowhere if `muted`."""

    def __init__(self, *, muted: bool = False) -> None:
        self.muted = muted

    @property
    def columns(self) -> int:
        """The width to keep to."""
        return columns()

    def line(self, text: str = "", style: str | None = None) -> None:
        """One line, as long as it is: what may be copied is not broken."""
        self.spans((text, style))

    def spans(self, *spans: tuple[str, str | None]) -> None:
        """One line of differently styled (text, style) parts."""
        if not self.muted:
            _put("".join(paint(printable(text), style, sys.stdout) for text, style in spans))

    def prose(self, text: str, *, indent: int = 0, style: str | None = None) -> None:
        """A sentence, broken between words at the width of the terminal."""
        if not self.muted:
            for line in self._wrapped(printable(text), indent):
                _put(" " * indent + paint(line, style, sys.stdout))

    def pairs(self, rows: Iterable[tuple[str, str | None]], *, style: str | None = None) -> None:
        """Labels and values, one below the other; a value of None is left out."""
        if self.muted:
            return
        for label, value in rows:
            if value is None:
                continue
            first, *others = self._wrapped(printable(value), LABEL_COLUMNS + 1)
            _put(f"{label:<{LABEL_COLUMNS}} {paint(first, style, sys.stdout)}")
            for other in others:
                _put(" " * (LABEL_COLUMNS + 1) + paint(other, style, sys.stdout))

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[str]], *, indent: int = 0) -> None:
        """Columns under headers; the last one takes what is left. Words of `STATUS_STYLES` are coloured.

        Nothing at all for no rows.
        """
        if self.muted:
            return
        cells = [[printable(cell) for cell in row] for row in rows]
        if not cells:
            return
        from rich.console import Console
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for number, header in enumerate(headers):
            is_narrow = all(len(row[number]) <= _NARROW_CHARS for row in cells)
            table.add_column(header, overflow="fold", no_wrap=is_narrow and self.columns >= _MIN_COLUMNS)
        for row in cells:
            table.add_row(*(Text(cell, _RICH.get(STATUS_STYLES.get(cell, ""), "")) for cell in row))
        coloured = has_colour(sys.stdout)
        console = Console(
            file=sys.stdout,
            width=self.columns,
            no_color=not coloured,
            force_terminal=coloured,
            highlight=False,
            emoji=False,
            markup=False,
            legacy_windows=False,
        )
        with console.capture() as captured:
            console.print(Padding(table, (0, 0, 0, indent)))
        for line in captured.get().rstrip("\n").split("\n"):
            _put(line.rstrip())

    def _wrapped(self, text: str, indent: int) -> list[str]:
        return _wrap(text, max(self.columns - indent, 20))


_RICH: Final = {"good": "bold green", "bad": "bold red", "warn": "yellow"}
_UNITS: Final = ("kB", "MB", "GB", "TB", "PB")


def _put(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def complain(what: str, details: Iterable[tuple[str, str | None]] = ()) -> None:
    """An `error:` line and, indented below it, its details by their labels, on stderr; None is left out."""
    first, *others = _wrap(printable(what), columns() - len("error: "))
    lines = [f"{paint('error:', 'bad', sys.stderr)} {first}", *(f"       {line}" for line in others)]
    for label, text in details:
        if text is not None:
            first, *others = _wrap(printable(text), columns() - _DETAIL_COLUMNS)
            shown = paint(label, "strong" if label == "hint" else None, sys.stderr)
            lines.append(f"  {shown}{' ' * (_DETAIL_COLUMNS - 2 - len(label))}{first}")
            lines += [" " * _DETAIL_COLUMNS + line for line in others]
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def columns() -> int:
    """The width to keep to: the terminal's, at most 120; 80 where there is none."""
    return min(shutil.get_terminal_size((80, 24)).columns or 80, _MAX_COLUMNS)


def _wrap(text: str, width: int) -> list[str]:
    """Lines broken between words; at least one, and as long as its longest word."""
    if len(text) <= width:
        return [text]
    return textwrap.wrap(text, max(width, 20), break_long_words=False, break_on_hyphens=False) or [""]


def has_colour(stream: IO[str] | None) -> bool:
    """Whether colour goes to `stream`: a terminal that is not `dumb`, without NO_COLOR; or FORCE_COLOR."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str | None, stream: IO[str] | None) -> str:
    """`text` in a style, where `stream` has colour."""
    if style is None or not text or not has_colour(stream):
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def size_text(count: int) -> str:
    """A number of bytes for people: exact up to 9,999, then in powers of 1,000."""
    if count < 10_000:
        return f"{count} bytes"
    power = 1
    while count / 1_000**power >= 999.95 and power < len(_UNITS):
        power += 1
    return f"{count / 1_000**power:.1f} {_UNITS[power - 1]}"


def count_text(count: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
