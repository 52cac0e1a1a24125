"""Gathers a whole cluster on one machine: the embedded engine, and the supervisor of `relay dev`."""
