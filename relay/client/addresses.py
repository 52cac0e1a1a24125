"""Decides which of the addresses that a cluster tells may be dialed with our credential."""

from __future__ import annotations

from collections.abc import Iterable

from relay.client.profile import canonical_url
from relay.errors import Misconfigured


def usable(told: Iterable[str], given: str) -> list[str]:
    """The addresses among `told` that are sound, each once, in order. Whoever was `given` an https address never goes
    on without TLS: a node with a wrong RELAY_ADVERTISE_URL must not make us send a token in the clear."""
    found = dict.fromkeys(filter(None, map(_sound, told)))
    return [address for address in found if address.startswith("https:") or not given.startswith("https:")]


def _sound(text: str) -> str | None:
    try:
        return canonical_url(text) if "://" in text else None
    except Misconfigured:
        return None
