"""Decides whether a request that carries a cookie comes from a page of ours."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from relay.errors import Forbidden

FOREIGN = "this request comes from a page of another origin"


def check_listed(headers: Mapping[str, str], allowed: Collection[str]) -> None:
    """Raises `Forbidden` unless `Origin` is exactly one of the allowed; browser sockets with a cookie need this."""
    if headers.get("origin") not in allowed:
        raise Forbidden(FOREIGN)


def check_write(headers: Mapping[str, str], allowed: Collection[str], by_cookie: bool) -> None:
    """Raises `Forbidden` for a write from a foreign page; with a cookie it must prove to be from one of ours.

    Without a cookie a missing proof is a program's request; a foreign page is refused even then, because signing
    somebody in as somebody else is an attack too.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None:
        check_listed(headers, allowed)
    elif site is not None:
        if site != "same-origin":
            raise Forbidden(FOREIGN)
    elif by_cookie:
        raise Forbidden("a request with a cookie needs an Origin header")
