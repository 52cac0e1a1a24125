"""Delivers: one process's memory of sockets, and the way of frames and requests between them and other nodes."""
