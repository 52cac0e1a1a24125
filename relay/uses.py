"""Names which settings each program uses: what the others are told is not its business, nor a reason not to start.

Programs of one cluster often share a file of variables. A sweeper that was refused for an origin, or a backup for a
port, would be kept from its work by what it never reads. A name that nobody reads is refused by all of them.
"""

from __future__ import annotations

from collections.abc import Collection

REGISTRY: Collection[str] = frozenset({"database_url"})
MEMORY: Collection[str] = frozenset({"redis_url", "redis_prefix"})
BOTH: Collection[str] = frozenset({*REGISTRY, *MEMORY, "sqlite_with_remote_redis"})
SWEEPER: Collection[str] = frozenset({*BOTH, "host", "metrics_port", "log_level", "log_format"})
FOUNDER: Collection[str] = frozenset({*REGISTRY, "secret", "host", "port", "public_url"})  # a link begins with the URL
ROTATION: Collection[str] = frozenset({*BOTH, "secret"})

# What stands for an address that a program does not use. It leads nowhere, so that one that uses it is found.
NOWHERE = {"redis_url": "unix:///not-used/redis.sock", "database_url": "sqlite+aiosqlite:////not-used/registry.db"}
