"""Reach any machine of a team by name, through any node of a relay cluster."""

VERSION = "0.1.0"
PROTOCOL = "relay.v1"
