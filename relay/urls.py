"""Checks the URLs among a node's settings, never showing what may hold a password."""

from __future__ import annotations

from urllib.parse import urlsplit

SHOWN_OPTIONS = frozenset(
    {"host", "port", "ssl", "sslmode", "db", "protocol"}
)  # of a URL's query; others may be secret
HIDDEN = "***"
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


def masked(url: str) -> str:
    """A URL for people's eyes: all that stands before an @, and options that we do not know, may be a password."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return HIDDEN
    place, question, query = rest.partition("?")
    if "@" in query and "@" not in place:
        place, question, query = rest, "", ""  # a password with a question mark in it
    before, at, host = place.rpartition("@")
    user = before.partition(":")[0] if before.count(":") == 1 and "/" not in before else ""
    options = [option if option.partition("=")[0] in SHOWN_OPTIONS else _hidden(option) for option in query.split("&")]
    return f"{scheme}://{f'{user}:{HIDDEN}@' if at else ''}{host}{question}{'&'.join(options)}"


def _hidden(option: str) -> str:
    name, equals, _ = option.partition("=")
    return f"{name}={HIDDEN}" if equals else HIDDEN if option else ""
