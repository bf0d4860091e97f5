"""Servers that behave as those outside do, and misbehave on purpose."""
