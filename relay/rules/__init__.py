"""Decides: pure functions and plain data, with time as an argument and nothing to await."""
