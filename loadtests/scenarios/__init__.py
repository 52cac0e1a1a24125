"""Describes what can be done to a relay under load, one scenario a file."""
