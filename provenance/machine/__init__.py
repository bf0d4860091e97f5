"""This computer: where caches lie, and which of several ways to hash is the fastest here."""
