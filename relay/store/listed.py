"""Reads a Redis URL that lists several servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from relay.errors import Misconfigured
from relay.store.connection import addresses
from relay.store.servers import Address

PORT = 6379  # of a server whose address does not say


class Listed(NamedTuple):
    """What such a URL says of all of its servers, and their addresses in its order."""

    scheme: str  # that of each server
    login: str  # `USER:PASSWORD@`, or nothing
    addresses: tuple[Address, ...]
    query: str  # with its question mark, or nothing

    def url(self, address: Address) -> str:
        """The URL of one server."""
        host = f"[{address.host}]" if ":" in address.host else address.host
        return f"{self.scheme}://{self.login}{host}:{address.port}{self.query}"


def read(url: str, schemes: Mapping[str, str], what: str) -> Listed:
    """The servers of `what` that a URL with one of these schemes lists; `schemes` leads to that of each server. Raises
    `Misconfigured`."""
    scheme, _, rest = url.partition("://")
    rest, mark, query = rest.partition("?")
    netloc, _, database = rest.partition("/")
    login, at, hosts = netloc.rpartition("@")
    if database.strip("/") not in ("", "0"):
        raise Misconfigured(f"RELAY_REDIS_URL: {what} has no database but 0")
    found = tuple(Address(*each) for each in addresses(hosts, PORT, f"a server of {what}"))
    return Listed(schemes[scheme], login + at, found, mark + query)
