"""Dials: the Python library that agents, the command line, load tests and tests use to speak to a cluster."""
