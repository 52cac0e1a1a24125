"""Tests of what dials: the client library, without and with sockets."""
