"""Finds a client's address behind the proxies that we trust, for rate limits and logs."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from starlette.datastructures import Headers

V6_SITE_BITS = 64  # one customer's network; limiting single IPv6 addresses limits nobody
LOCAL = "local"  # a unix socket, or a peer without an address


class Addresses:
    """Knows which proxies to believe, and nobody else."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._trusted = tuple(ip_network(network) for network in trusted)

    def client(self, scope: Any) -> str:
        """The address to count against: the peer, or, as far as proxies are trusted, whom they say they speak for."""
        peer = scope.get("client")
        found = _parse(peer[0]) if peer else None
        if found is None:
            return LOCAL
        hops = [word for line in Headers(scope=scope).getlist("x-forwarded-for") for word in line.split(",")]
        while hops and self._believes(found):
            hop = _parse(hops.pop())
            if hop is None:
                break
            found = hop
        return _group(found)

    def _believes(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def _group(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((address, V6_SITE_BITS), strict=False))
