"""Calls REST from an event loop, on any of several nodes, for programs that make many calls; one connection pool."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random, SystemRandom
from typing import Any

import httpx2

from relay import VERSION
from relay.client import answers
from relay.errors import Misconfigured, Unavailable


class Api:
    """A caller of REST as one credential; use `api(...)` to get one."""

    def __init__(self, client: httpx2.AsyncClient, urls: Sequence[str], random: Random | None = None) -> None:
        self._client = client
        self._urls = list(urls)
        self._random = random or SystemRandom()

    async def request(
        self, method: str, path: str, query: Mapping[str, object] | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        """The decoded answer of the first node that gives one. A call that changes something goes to a second node only
        if the first one cannot have seen it. Raises what the relay says, or `Unavailable`."""
        failures: list[str] = []
        order = list(self._urls)
        self._random.shuffle(order)
        target = answers.target(path, query)
        for index, url in enumerate(order):
            try:
                answer = await self._client.request(method, url + target, json=body)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failures.append(f"{url}: {str(error).lower() or 'no answer in time'}")
                continue
            except httpx2.UnsupportedProtocol:
                raise Misconfigured(f"{url!r} is not the address of a relay") from None
            except httpx2.TransportError as error:
                failures.append(f"{url}: {str(error).lower() or type(error).__name__}")
                if method not in answers.IDEMPOTENT:
                    break
                continue
            if answers.elsewhere(method, answer.status_code) and index + 1 < len(order):
                continue
            return answers.read(answer.status_code, answer.content, answer.headers.get("content-type"))
        raise Unavailable("no node of the relay can be reached: " + "; ".join(failures or ["no address is known"]))

    async def get(self, path: str, **query: object) -> Any:
        """The decoded answer to a GET."""
        return await self.request("GET", path, query)

    async def machines(self, **query: object) -> list[dict[str, Any]]:
        """Every machine that the credential may see, all pages of it."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = await self.get("/api/machines", cursor=cursor, **query)
            found += page["machines"]
            cursor = page.get("next")
            if not cursor:
                return found

    async def register(self, **fields: Any) -> dict[str, Any]:
        """Register a machine; the answer has `machine`, `machineToken` and `heartbeatSeconds`."""
        answer = await self.request("POST", "/api/machines", body={k: v for k, v in fields.items() if v is not None})
        assert isinstance(answer, dict)
        return answer

    async def resolve(self, query: str, workspace: str | None = None) -> dict[str, Any]:
        """The one machine that a query means, by the resolver's rules."""
        answer = await self.get("/api/resolve", q=query, workspace=workspace)
        assert isinstance(answer, dict)
        machine = answer["machine"]
        assert isinstance(machine, dict)
        return machine


@asynccontextmanager
async def api(
    urls: Sequence[str], token: str | None, *, tls: ssl.SSLContext | None = None, random: Random | None = None
) -> AsyncIterator[Api]:
    """A caller for as long as this lasts."""
    headers = {"User-Agent": f"relay-client/{VERSION}"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    timeout = httpx2.Timeout(answers.ANSWER_SECONDS, connect=answers.CONNECT_SECONDS)
    async with httpx2.AsyncClient(
        headers=headers, timeout=timeout, verify=True if tls is None else tls, follow_redirects=False
    ) as client:
        yield Api(client, urls, random)
