"""Collects what a support bundle is made of: each part by itself, so that what does not answer costs only its own."""

from __future__ import annotations

import asyncio
import platform
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any
from urllib.parse import unquote, urlsplit

from relay import VERSION
from relay.errors import RelayError

METRICS_SECONDS = 3.0
METRICS_BYTES = 4_000_000  # far above what a node serves
PACKAGES = ("starlette", "uvicorn", "uvloop", "redis", "hiredis", "sqlalchemy", "asyncpg", "aiosqlite", "msgspec")
# Of INFO, what tells how a server does; nothing of where it keeps what, or of whom it knows.
REDIS_FIELDS = {
    "server": ("redis_version", "valkey_version", "redis_mode", "uptime_in_seconds", "process_supervised"),
    "clients": ("connected_clients", "blocked_clients", "maxclients", "pubsub_clients"),
    "memory": (
        "used_memory_human", "used_memory_peak_human", "maxmemory_human", "maxmemory_policy",
        "mem_fragmentation_ratio",
    ),
    "stats": (
        "instantaneous_ops_per_sec", "rejected_connections", "evicted_keys", "expired_keys", "sync_full",
        "client_output_buffer_limit_disconnections", "total_error_replies",
    ),
    "replication": ("role", "connected_slaves", "master_link_status", "master_failover_state"),
    "persistence": ("loading", "rdb_last_bgsave_status", "aof_enabled", "aof_last_write_status"),
}  # fmt: skip


def versions() -> dict[str, Any]:
    """Of everything that runs here."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            packages[name] = "not installed"
    return {"relay": VERSION, "python": sys.version, "platform": platform.platform(), "packages": packages}


async def parts_of_cluster(settings: Any, metrics: Sequence[str]) -> dict[str, Any]:
    """What Redis, the registry and the nodes say; a part that does not answer says why."""
    asked = {
        "check.json": _checked(settings),
        "redis.json": _redis(settings),
        "registry.json": _registry(settings),
        "nodes.json": _nodes(settings),
    }
    found = dict(zip(asked, await asyncio.gather(*map(_said, asked.values())), strict=True))
    urls = list(metrics)
    if not urls and settings.metrics_port and isinstance(found["nodes.json"], list):
        hosts = {urlsplit(each["url"]).hostname for each in found["nodes.json"]}
        urls = [f"http://{host}:{settings.metrics_port}/metrics" for host in sorted(filter(None, hosts))]
    texts = await asyncio.gather(*(asyncio.to_thread(_fetched, url) for url in urls))
    return found | {f"metrics/{number}.txt": text for number, text in enumerate(texts, 1)}


def known_secrets(environ: Mapping[str, str]) -> list[str]:
    """Values that must be in no bundle: secrets themselves, and the passwords of URLs."""
    from relay.environ import is_secret, variable_of
    from relay.settings import Settings
    from relay.variables import content_of

    found: list[str] = []
    for name in filter(is_secret, Settings.model_fields):
        variable = variable_of(name)
        value = environ.get(variable, "")
        path = environ.get(f"{variable}_FILE")
        if path:
            try:
                value = content_of(f"{variable}_FILE", path)
            except RelayError:
                continue
        found += value.split(",") if name == "secret" else _passwords(value)
    return [word.strip() for word in [*found, environ.get("RELAY_TOKEN", "")] if word.strip()]


def _passwords(url: str) -> list[str]:
    before = url.partition("://")[2].rpartition("@")[0]
    password = before.partition(":")[2]
    return [password, unquote(password)]


async def _said(part: Any) -> Any:
    try:
        return await part
    except RelayError as error:
        return {"error": error.message}
    except Exception as error:  # a bundle is for when things are not as they should be
        return {"error": f"{type(error).__name__}: {error}"}


async def _checked(settings: Any) -> Any:
    from relay.cli.config_check import look

    return [finding._asdict() for finding in await look(settings)]


async def _redis(settings: Any) -> Any:
    from relay.store import Keys, open_memory
    from relay.store.inspection import Inspection

    memory = open_memory(settings.redis_url)
    try:
        found = []
        for server in await Inspection(memory, Keys(settings.redis_prefix)).servers():
            said = {}
            for section, fields in REDIS_FIELDS.items():
                info = await server.info(section)
                said[section] = {field: info[field] for field in fields if field in info}
            found.append(said | {"settings": await server.settings(), "clockAheadMs": await server.ahead_ms()})
        return found
    finally:
        await memory.aclose()


async def _registry(settings: Any) -> Any:
    from relay.registry import Registry, version

    said = await version(settings.database_url)
    registry = await Registry.open(settings.database_url)
    try:
        chosen = await registry.rhythms.latest()
        return {
            "version": said,
            "rows": await registry.census.rows(),
            "changes": await registry.changes.latest(),
            "times": {"revision": chosen.revision, "chosen": chosen.values},
        }
    finally:
        await registry.close()


async def _nodes(settings: Any) -> Any:
    import msgspec

    from relay.store.operator import open_operator

    async with open_operator(settings.redis_url, settings.redis_prefix) as operator:
        return [msgspec.to_builtins(lease) for lease in await operator.nodes()]


def _fetched(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=METRICS_SECONDS) as answer:  # noqa: S310 - the operator names it
            return str(answer.read(METRICS_BYTES).decode(errors="replace"))
    except (OSError, ValueError) as error:
        return f"{url} does not answer: {error}\n"
