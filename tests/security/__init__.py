"""Tests what an attacker would try, one file a subject."""
