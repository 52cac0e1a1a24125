"""Reads a node's HTTP answer: data, or the error that it names; and says which failures another node may heal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from relay import errors
from relay.errors import RelayError

IDEMPOTENT = frozenset({"GET", "HEAD", "DELETE", "PUT"})  # asking a second node does no harm
ANSWER_SECONDS = 35.0  # the machine's 30 seconds, and the way there and back
CONNECT_SECONDS = 3.0  # for one node, before the next one is tried
PROBLEM_TYPE = "application/problem+json"  # how a node answers, and a proxy's login page or firewall does not
_PROBLEM_FIELDS = frozenset({"type", "title", "status", "detail", "instance"})
_BY_STATUS: dict[int, type[RelayError]] = {413: errors.TooBig, 429: errors.LimitReached}  # whoever says so is right


def read(status: int, content: bytes, media_type: str | None) -> Any:
    """The JSON of a good answer, None when it has no body; raises what a bad one says."""
    if status == 204 or (status < 300 and not content):
        return None
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if status < 300 and body is not None:
        return body
    raise problem(status, body, ours=is_problem(media_type))


def is_problem(media_type: str | None) -> bool:
    """Whether a `Content-Type` is that of our problem documents."""
    return (media_type or "").partition(";")[0].strip().lower() == PROBLEM_TYPE


def problem(status: int, body: Any, *, ours: bool) -> RelayError:
    """The error in a problem document. Anything else came from what stands before the relay and says nothing about our
    credential: it may be mended tomorrow, so whoever can wait tries again."""
    if ours and isinstance(body, dict) and "code" in body:
        told = {name: value for name, value in body.items() if name not in _PROBLEM_FIELDS}
        told.setdefault("message", body.get("detail") or body.get("title") or body["code"])
        return errors.from_body(told)
    if status in _BY_STATUS:
        return _BY_STATUS[status](f"the answer was {status}")
    return errors.Unavailable(f"what answered is not a relay, or is in trouble: status {status}")


def target(path: str, query: Mapping[str, object] | None) -> str:
    """A path with its query; parameters that are None are left out, true and false are written in lower case."""
    given = {name: value for name, value in (query or {}).items() if value is not None}
    if not given:
        return path
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}
    return f"{path}?{urlencode(texts, quote_via=quote)}"


def elsewhere(method: str, status: int) -> bool:
    """Whether another node may be asked the same after this status: this one drains, or has no Redis."""
    return status in (502, 503, 504) and method in IDEMPOTENT
