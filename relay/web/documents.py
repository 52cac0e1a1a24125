"""Serves the two documents that describe this server; both are written once, from what it really does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.web.asyncapi import asyncapi
from relay.web.bodies import JSON
from relay.web.call import Call
from relay.web.openapi import openapi

AGE_SECONDS = 300  # a client that polls the document should not; a new release shows within five minutes


class Document:
    """One document, ready as bytes."""

    def __init__(self, content: dict[str, Any]) -> None:
        self._bytes = msgspec.json.encode(content)

    async def show(self, request: Request) -> Response:
        """The document, to anybody: it holds no secret."""
        headers = {"cache-control": f"public, max-age={AGE_SECONDS}", "access-control-allow-origin": "*"}
        return Response(self._bytes, headers=headers, media_type=JSON)


def documents(calls: Sequence[Call], url: str) -> list[Route]:
    """`/api/openapi.json` and `/api/asyncapi.json`."""
    return [
        Route("/api/openapi.json", Document(openapi(calls, url)).show),
        Route("/api/asyncapi.json", Document(asyncapi(url)).show),
    ]
