"""Sweeps: the processes that announce what only the passing of time makes true."""
