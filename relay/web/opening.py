"""Reads at one look the request of a handshake that is written as nearly all of them are."""

from __future__ import annotations

from typing import NamedTuple

from relay.rules.limits import HEADERS_PER_REQUEST, KIB

Headers = list[tuple[bytes, bytes]]

OPENING_BYTES = 1 * KIB  # a longer one is read by the whole parser, piece by piece and within its limits
_VISIBLE = bytes(range(0x20, 0x7F))
_NAME = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # of a header; `-` and letters as a rule
_PATH = _NAME + b"/._~"  # what needs no decoding
_QUERY = _PATH + b"?%&=+"
_FIRST, _LAST = b"GET /", b" HTTP/1.1"
# Whoever sends one of these wants something of HTTP that belongs to the whole parser.
_MORE = frozenset({b"content-length", b"expect", b"http2-settings", b"te", b"trailer", b"transfer-encoding"})


class Opening(NamedTuple):
    """One request that begins a WebSocket, as ASGI wants it, and how long it was."""

    path: bytes
    query: bytes
    headers: Headers
    size: int


def read_opening(data: bytes) -> Opening | None:
    """The request at the beginning of what a connection said first; None for one that is unusual, unfinished, or
    nothing of the kind, which says nothing against it.

    Taken are only requests about which no two readers of RFC 9112 disagree: a GET whose path needs no decoding, each
    header on a line of its own and there once, in visible ASCII, with one space before its value and none behind.
    """
    head, end, _ = data[:OPENING_BYTES].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    first = lines.pop(0)
    target = first[len(_FIRST) - 1 : -len(_LAST)]
    path, _, query = target.partition(b"?")
    headers = [(name.lower(), value) for name, _, value in [line.partition(b": ") for line in lines]]
    by_name = dict(headers)
    if (
        not end
        or not first.startswith(_FIRST)
        or not first.endswith(_LAST)
        or path.translate(None, _PATH)
        or query.translate(None, _QUERY)
        or b"".join(lines).translate(None, _VISIBLE)  # a line break that is half of one, for example
        or b"".join(by_name).translate(None, _NAME)
        or len(by_name) != len(headers)
        or len(headers) > HEADERS_PER_REQUEST
        or not all(by_name)
        or not all(by_name.values())
        or b":  " in head
        or b" \r" in head
        or head.endswith(b" ")
    ):
        return None
    return Opening(path, query, headers, len(head) + len(end)) if _begins_socket(by_name) else None


def _begins_socket(headers: dict[bytes, bytes]) -> bool:
    return (
        headers.get(b"upgrade", b"").lower() == b"websocket"
        and headers.get(b"connection", b"").lower() in (b"upgrade", b"keep-alive, upgrade")
        and _MORE.isdisjoint(headers)
    )
