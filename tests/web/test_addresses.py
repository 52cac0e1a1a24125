"""Shows whose address counts behind proxies."""

from __future__ import annotations

import pytest

from relay.web.addresses import Addresses

PROXIES = ("10.0.0.0/8", "fd00::/8")


def scope(peer: str | None, *forwarded: str) -> dict[str, object]:
    """A request as the server hands it on."""
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in forwarded]
    return {"type": "http", "headers": headers, "client": (peer, 1234) if peer is not None else None}


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.7", (), "192.0.2.7"),
        ("192.0.2.7", ("198.51.100.1",), "192.0.2.7"),  # a stranger's header is not believed
        ("10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("10.0.0.1", ("203.0.113.9, 198.51.100.1",), "198.51.100.1"),  # the first is what the client made up
        ("10.0.0.1", ("198.51.100.1, 10.0.0.2",), "198.51.100.1"),
        ("10.0.0.1", ("203.0.113.9", "198.51.100.1, 10.0.0.2"), "198.51.100.1"),
        ("10.0.0.1", ("10.0.0.3, 10.0.0.2",), "10.0.0.3"),
        ("10.0.0.1", ("nonsense",), "10.0.0.1"),
        ("10.0.0.1", ("198.51.100.1, nonsense",), "10.0.0.1"),
        ("10.0.0.1", ("",), "10.0.0.1"),
        ("::ffff:10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("2001:db8:1:2:3::4", (), "2001:db8:1:2::/64"),
        ("fd00::1", ("2001:db8:1:2:3::4",), "2001:db8:1:2::/64"),
        ("fe80::1%eth0", (), "fe80::/64"),
        (None, (), "local"),
        ("testclient", (), "local"),
    ],
)
def test_an_address_is_believed_as_far_as_proxies_are_trusted(
    peer: str | None, forwarded: tuple[str, ...], address: str
) -> None:
    assert Addresses(PROXIES).client(scope(peer, *forwarded)) == address


def test_without_proxies_only_the_peer_counts() -> None:
    assert Addresses(()).client(scope("10.0.0.1", "198.51.100.1")) == "10.0.0.1"
