"""Cuts long lists into pages by cursor, and answers 304 to those who have the list already."""

from __future__ import annotations

import asyncio
import base64
import binascii
import zlib
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from relay.errors import Invalid
from relay.web.bodies import JSON


def write_cursor(position: Sequence[str]) -> str:
    """Where a page ended, as an opaque text."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def read_cursor(text: str, parts: int) -> tuple[str, ...]:
    """The position that `write_cursor` wrote; raises `Invalid` for anything else."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        found = msgspec.json.decode(raw, type=tuple[str, ...])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise Invalid("this is not a cursor of ours") from None
    if len(found) != parts:
        raise Invalid("this is not a cursor of this list")
    return found


def weak_tag(tag: str, request: Request) -> str:
    """The weak ETag of one way to ask for a list whose content has `tag`."""
    return f'W/"{tag}-{zlib.crc32(request.url.query.encode()):08x}"'


def unchanged(request: Request, tag: str) -> Response | None:
    """A 304 for a caller who has the list with this tag, else None."""
    have = [word.strip() for line in request.headers.getlist("if-none-match") for word in line.split(",")]
    if "*" in have or any(word.removeprefix("W/") == tag.removeprefix("W/") for word in have):
        return Response(status_code=304, headers={"etag": tag, "cache-control": "no-cache"})
    return None


class _InTexts(Response):
    """An answer whose texts are sent one by one, so that nobody else on the loop waits for all. Starlette's own way
    listens for hang-ups meanwhile, in a task group of a library whose import holds a node's first list for 26 ms."""

    def __init__(self, texts: Sequence[bytes], headers: dict[str, str]) -> None:
        super().__init__(headers=headers | {"content-length": str(sum(map(len, texts)))}, media_type=JSON)
        self._texts = texts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for text in self._texts:
            await send({"type": "http.response.body", "body": text, "more_body": True})
            await asyncio.sleep(0)  # a server whose buffer is not full takes them all in one go
        await send({"type": "http.response.body", "body": b""})


def write_list(name: str, items: Sequence[bytes], rest: Struct, tag: str) -> Response:
    """An answer with items under `name`, given as the inside of a JSON list in several texts, beside the fields of
    `rest`."""
    texts = [b'{"' + name.encode() + b'":[', *items, b"]," + msgspec.json.encode(rest)[1:]]
    headers = {"etag": tag, "cache-control": "no-cache"}
    if len(items) <= 1:
        return Response(b"".join(texts), headers=headers, media_type=JSON)
    return _InTexts(texts, headers)
