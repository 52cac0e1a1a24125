"""Keeps a proxy busy as people and machines do, and notes whatever they would notice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Container, Iterable
from typing import Any

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from relay.errors import Close
from tests.deploy.proxies import Proxy

ASK_SECONDS = 0.1  # between two requests of one who asks
AGAIN_SECONDS = 0.1  # before a browser that was sent away comes back; ours wait longer
ANSWER_SECONDS = 30.0
BROWSERS = 3  # sockets that are held open through each proxy


class Traffic:
    """What goes through one proxy: requests one after the other, and browsers that come back whenever they are sent
    away."""

    def __init__(self, proxy: Proxy, changes: bool) -> None:
        self._proxy = proxy
        self._changes = changes  # whether it also asks for what may not be asked twice
        self.asked = 0
        self.sent_on = 0  # browsers that heard 4200 and came back
        self.troubles: list[str] = []
        self._asks = asyncio.Condition()

    async def has_asked(self, times: int) -> None:
        """Wait until it has asked so many times more, whatever the answers were."""
        goal = self.asked + times
        async with asyncio.timeout(ANSWER_SECONDS), self._asks:
            await self._asks.wait_for(lambda: self.asked >= goal)

    async def asks(self, http: aiohttp.ClientSession) -> None:
        """Ask until cancelled."""
        while True:
            await self._ask(http, "GET", "/api/workspaces")
            if self._changes:
                await self._ask(http, "POST", "/api/tickets")
            await asyncio.sleep(ASK_SECONDS)

    async def _ask(self, http: aiohttp.ClientSession, method: str, path: str) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS), http.request(method, self._proxy.url + path) as answer:
                await answer.read()
            if not answer.ok:
                self.troubles.append(f"{method} {path}: {answer.status}")
        except (aiohttp.ClientError, TimeoutError) as error:
            self.troubles.append(f"{method} {path}: {error!r}")
        async with self._asks:
            self.asked += 1
            self._asks.notify_all()

    async def stays(self, http: aiohttp.ClientSession) -> None:
        """Hold a socket until cancelled; come back when it is closed."""
        while True:
            try:
                await self._visit(http)
            except (aiohttp.ClientError, TimeoutError) as error:
                self.troubles.append(f"socket: {error!r}")
            await asyncio.sleep(AGAIN_SECONDS)

    async def _visit(self, http: aiohttp.ClientSession) -> None:
        url = self._proxy.url + "/ws/browser"
        async with asyncio.timeout(ANSWER_SECONDS):
            opened = await http.ws_connect(url, protocols=["relay.v1"])
        async with opened as socket:
            await socket.send_str(json.dumps({"type": "hello", "client": secrets.token_urlsafe(12), "label": "test"}))
            async for _message in socket:
                pass  # until it is closed
            code = socket.close_code
            if code == Close.DRAINING:
                self.sent_on += 1
            else:
                self.troubles.append(f"socket: closed with {code}")


class Connections(aiohttp.TCPConnector):
    """Connections that end when they are given up. Those with TLS say goodbye first, for which nobody waits who closes
    a session; on a busy machine that is left to the garbage collector of another test."""

    def __init__(self, proxy: Proxy, address: str | None = None) -> None:
        super().__init__(ssl=proxy.tls, local_addr=(address, 0) if address else None)
        self._made: set[asyncio.Transport] = set()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """See the base class."""
        connection = await super().connect(req, traces, timeout)
        if connection.transport is not None:
            self._made.add(connection.transport)
        return connection

    async def gone(self) -> None:
        """End all of them, however they were left."""
        for transport in self._made:
            with contextlib.suppress(AttributeError):  # from Python 3.11.2, for what was closed twice already
                transport.abort()
        await asyncio.sleep(0)  # in which the loop closes them


@contextlib.asynccontextmanager
async def guest(proxy: Proxy, address: str | None = None, **more: Any) -> AsyncIterator[aiohttp.ClientSession]:
    """Somebody with this address, who trusts the proxy's certificate; `more` goes to the library. By asyncio, for
    before Python 3.13 a socket with TLS must not be read by one thread while another writes."""
    connections = Connections(proxy, address)
    try:
        async with aiohttp.ClientSession(connector=connections, **more) as http:
            yield http
    finally:
        await connections.gone()


def visitor(
    proxy: Proxy, token: str = "none", address: str | None = None
) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientSession]:
    """The same with this token."""
    timeout = aiohttp.ClientTimeout(total=None)  # it would end sockets too
    return guest(proxy, address, timeout=timeout, headers={"authorization": f"Bearer {token}"})


@contextlib.asynccontextmanager
async def steady(proxies: Iterable[Proxy], token: str, changes: Container[str]) -> AsyncIterator[dict[str, Traffic]]:
    """Traffic through all of them, by name; those in `changes` are also asked for what may not be asked twice."""
    traffic = {proxy.name: Traffic(proxy, proxy.name in changes) for proxy in proxies}
    async with contextlib.AsyncExitStack() as stack:
        tasks = []
        for proxy in proxies:
            http = await stack.enter_async_context(visitor(proxy, token))
            each = traffic[proxy.name]
            tasks += [asyncio.create_task(each.asks(http))]
            tasks += [asyncio.create_task(each.stays(http)) for _ in range(BROWSERS)]
        try:
            yield traffic
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
