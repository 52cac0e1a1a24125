"""Serves: the program on a machine, with its sessions, their newest output, and their history on its own disk."""
