"""Where a log's public files are put for anyone to serve: a directory, a bucket. `base` is what each kind promises."""

from provenance.publishers.base import Publisher, open_publisher

__all__ = ["Publisher", "open_publisher"]
