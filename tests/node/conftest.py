"""Hands a real Valkey to each test of a node that asks for one."""

from __future__ import annotations

from tests.support.valkey import _valkey, keys, redis, valkey

__all__ = ["_valkey", "keys", "redis", "valkey"]
