"""Checks the URLs among a node's settings, never showing what may hold a password."""

from __future__ import annotations

from urllib.parse import urlsplit

LOCAL = frozenset({"", "localhost", "127.0.0.1", "[::1]"})


def with_scheme(value: str, schemes: tuple[str, ...]) -> str:
    """The URL; raises `ValueError` unless it begins with one of these schemes."""
    # The value may hold a password, so only what stands before "://" is ever shown.
    scheme, separator, _rest = value.partition("://")
    if not separator or scheme not in schemes:
        shown = f"{scheme}://" if separator else "a value without ://"
        raise ValueError(f"expected one of {', '.join(f'{known}://' for known in schemes)}, found {shown}")
    return value


def origin(value: str) -> str:
    """Scheme, host and port; raises `ValueError` for a URL that is more or less than that."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected http://HOST[:PORT] or https://HOST[:PORT], found {value!r}")
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise ValueError(f"expected scheme, host and port only, found {value!r}")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def is_local(redis_url: str) -> bool:
    """Whether a Redis is certainly on this host."""
    scheme, _, rest = redis_url.partition("://")
    hosts = rest.partition("/")[0].rpartition("@")[2].split(",")
    return scheme == "unix" or all(_without_port(host) in LOCAL for host in hosts)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()
