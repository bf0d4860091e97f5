"""Where a log's public files are read: behind HTTP, or in a directory. `base` is what each kind promises."""

from provenance.logs.base import LogFiles, open_log

__all__ = ["LogFiles", "open_log"]
