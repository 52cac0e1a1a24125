"""Gives tests of what is watched a real Valkey."""

from __future__ import annotations

from tests.support.valkey import _standing_valkey, keys, standing_redis, standing_valkey

__all__ = ["_standing_valkey", "keys", "standing_redis", "standing_valkey"]
