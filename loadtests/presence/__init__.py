"""Plays the heartbeats of a very large fleet through the code that nodes and sweepers run."""
