"""Checks what operators do to a cluster beside running it: backups, moves, secrets, settings, cleaning."""
