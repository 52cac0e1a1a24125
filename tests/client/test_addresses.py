"""Shows which addresses a client believes when a cluster names them."""

from __future__ import annotations

import pytest

from relay.client.addresses import in_the_clear, usable


def test_a_client_that_was_given_https_never_goes_on_without_it() -> None:
    told = ["http://10.0.0.1:8000", "https://two.relay.test", "https://three.relay.test/"]
    assert usable(told, "https://relay.test") == ["https://two.relay.test", "https://three.relay.test"]


def test_where_there_is_no_tls_both_kinds_are_dialed() -> None:
    assert usable(["http://b:1", "https://c"], "http://a:1") == ["http://b:1", "https://c"]


@pytest.mark.parametrize(
    ("address", "readable"),
    [("http://relay.test", True), ("http://10.0.0.1:8000", True), ("https://relay.test", False),
     ("http://127.0.0.1:8000", False), ("http://localhost:8000", False), ("http://[::1]:8000", False)],
)  # fmt: skip
def test_an_address_without_tls_is_safe_on_this_computer_alone(address: str, readable: bool) -> None:
    assert in_the_clear(address) is readable


def test_what_is_no_address_is_passed_over_and_each_counts_once() -> None:
    told = ["file:///etc/passwd", "", "b", "http://", "http://u:p@b", "http://b/x", "http://b:99999", "http://b",
            "http://B/"]  # fmt: skip
    assert usable(told, "http://a") == ["http://b"]
