"""Decides which of the addresses that a cluster tells may be dialed with our credential."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from relay.client.profile import canonical_url
from relay.errors import Misconfigured

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def usable(told: Iterable[str], given: str) -> list[str]:
    """The addresses among `told` that are sound, each once, in order. Whoever was `given` an https address never goes
    on without TLS: a node with a wrong RELAY_ADVERTISE_URL must not make us send a token in the clear."""
    found = dict.fromkeys(filter(None, map(_sound, told)))
    return [address for address in found if address.startswith("https:") or not given.startswith("https:")]


def in_the_clear(address: str) -> bool:
    """Whether what is said there can be read on the way: without TLS, and not on this very computer."""
    return address.startswith("http:") and urlsplit(address).hostname not in LOOPBACK


def _sound(text: str) -> str | None:
    try:
        return canonical_url(text) if "://" in text else None
    except Misconfigured:
        return None
