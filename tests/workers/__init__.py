"""Checks the sweeper, on a real Valkey and a real registry."""
