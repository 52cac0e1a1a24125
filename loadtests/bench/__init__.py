"""Measures what a node costs per frame, connection, handshake, beat and sweep, in CPU-seconds of the servers."""
