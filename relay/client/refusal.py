"""Reads what was answered to a dial instead of a socket: a node's last word, a turn to come back in, or neither."""

from __future__ import annotations

import json
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Response

from relay import errors
from relay.client.answers import is_problem
from relay.errors import RelayError

SHED_MOST_SECONDS = 60.0  # a node asks for 30 at most; what stands before it must not send us away for hours
_FINAL_STATUSES = frozenset({400, 401, 403, 404, 410, 426})  # another node would say the same


def final_word(response: Response) -> RelayError | None:
    """What a node said for good, or None if another node, or the same one later, may say otherwise. Only a node's own
    word counts: an agent ends for it, and a proxy that refuses today may be mended tomorrow."""
    if response.status_code not in _FINAL_STATUSES or not is_problem(_first(response.headers, "Content-Type")):
        return None
    try:
        body = json.loads(response.body or b"")
    except ValueError:
        return None
    if not isinstance(body, dict) or "code" not in body:
        return None
    return errors.from_body({"message": body.get("detail") or body.get("title") or "", **body})


def turn_seconds(response: Response) -> float | None:
    """In how many seconds a node that has too many newcomers takes us, or None if it did not say. A date, which no node
    of ours sends, is not understood: it would be compared with this computer's clock, which may be wrong."""
    after = _first(response.headers, "Retry-After").strip()
    if response.status_code != HTTPStatus.SERVICE_UNAVAILABLE or not (after.isascii() and after.isdigit()):
        return None
    seconds = min(float(after), SHED_MOST_SECONDS)
    return seconds or None  # "at once" is what the ordinary back-off is there to prevent


def _first(headers: Headers, name: str) -> str:
    return next(iter(headers.get_all(name)), "")  # of a header that was sent twice, which `get` would raise for
