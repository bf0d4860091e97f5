"""Scripted sessions at the command line: real processes, as a user starts them."""
