"""Names what is right by itself and wrong together in the settings of a program."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol
from urllib.parse import urlsplit

from relay.urls import is_local


class Given(Protocol):
    """What of the settings can be right by itself and wrong together."""

    database_url: str
    redis_url: str
    sqlite_with_remote_redis: bool
    port: int
    metrics_port: int
    workers: int
    public_url: str
    advertise_url: str
    allowed_origins: tuple[str, ...]
    allowed_hosts: tuple[str, ...]

    @property
    def secure(self) -> bool:
        """Whether people reach the cluster over TLS."""


def contradictions(settings: Given, uses: Collection[str] | None = None) -> list[str]:
    """A sentence for each: which two disagree, what would come of it, and what to do. Only of settings that the program
    uses, which are all if nothing is said of them."""

    def used(*names: str) -> bool:
        return uses is None or set(names) <= set(uses)

    wrong = []
    one_host = settings.database_url.startswith("sqlite") and not settings.sqlite_with_remote_redis
    if one_host and used("database_url", "redis_url") and not is_local(settings.redis_url):
        wrong.append(
            "RELAY_DATABASE_URL is SQLite, which serves one host, while RELAY_REDIS_URL names another host; "
            "use PostgreSQL, or set RELAY_SQLITE_WITH_REMOTE_REDIS=true if all nodes run on this one"
        )
    metrics_ports = range(settings.metrics_port, settings.metrics_port + settings.workers)
    if used("port", "metrics_port") and settings.port and settings.port in metrics_ports:
        wrong.append(f"RELAY_PORT and RELAY_METRICS_PORT both take port {settings.port}; metrics need one of their own")
    if used("public_url", "allowed_origins") and settings.public_url not in settings.allowed_origins:
        wrong.append(
            f"RELAY_ALLOWED_ORIGINS lacks RELAY_PUBLIC_URL, {settings.public_url}: its page could open no socket"
        )
    if used("public_url", "allowed_hosts") and urlsplit(settings.public_url).netloc not in settings.allowed_hosts:
        wrong.append(
            f"RELAY_ALLOWED_HOSTS lacks the host of RELAY_PUBLIC_URL, {settings.public_url}: it would be refused"
        )
    leaves_tls = settings.secure and not settings.advertise_url.startswith("https://")
    if used("public_url", "advertise_url") and leaves_tls:
        wrong.append(
            "RELAY_PUBLIC_URL is https:// and RELAY_ADVERTISE_URL is not: pages and agents never leave TLS; "
            "behind a balancer leave RELAY_ADVERTISE_URL unset"
        )
    return wrong
