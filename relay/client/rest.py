"""Makes single REST calls without an event loop and without heavy imports: what makes `relay list` start quickly."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Mapping, Sequence
from random import SystemRandom
from typing import Any
from urllib.parse import SplitResult, urlsplit

from relay import VERSION
from relay.client import answers
from relay.client.addresses import LOOPBACK
from relay.errors import Misconfigured, Unavailable

_PROXY_VARIABLES = frozenset({"http_proxy", "https_proxy", "all_proxy"})


class Rest:
    """A caller of REST on any of several nodes, tried in random order; one connection per call. `traceparent` names
    what the calls are steps of, as W3C Trace Context has it."""

    def __init__(
        self, urls: Sequence[str], token: str | None, *, seconds: float = answers.ANSWER_SECONDS, traceparent: str = ""
    ) -> None:
        self._urls = list(urls)
        self._traceparent = traceparent
        self._token = token
        self._seconds = seconds

    def get(self, path: str, **query: object) -> Any:
        """The decoded answer; raises what the relay says, or `Unavailable`."""
        return self.request("GET", path, query)

    def request(
        self, method: str, path: str, query: Mapping[str, object] | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        """The decoded answer of the first node that gives one. A call that changes something goes to a second node only
        if the first one cannot have seen it. Raises what the relay says, or `Unavailable`."""
        target = answers.target(path, query)
        payload = None if body is None else json.dumps(body).encode()
        failures: list[str] = []
        order = list(self._urls)
        SystemRandom().shuffle(order)
        for index, url in enumerate(order):
            connection = None
            sent = False
            try:
                connection, target_here = _open(urlsplit(url), target)
                connection.connect()
                if connection.sock is not None:
                    connection.sock.settimeout(self._seconds)
                sent = True
                connection.request(method, target_here, payload, self._headers(payload))
                answer = connection.getresponse()
                content = answer.read()
            except ssl.SSLCertVerificationError as error:
                raise Misconfigured(f"{url}: the certificate is not valid: {error.verify_message}") from None
            except (OSError, http.client.HTTPException) as error:
                failures.append(f"{url}: {_why(error)}")
                if sent and method not in answers.IDEMPOTENT:
                    break
                continue
            finally:
                if connection is not None:
                    connection.close()
            if answers.elsewhere(method, answer.status) and index + 1 < len(order):
                continue
            return answers.read(answer.status, content, answer.getheader("content-type"))
        raise Unavailable("no node of the relay can be reached: " + "; ".join(failures or ["no address is known"]))

    def _headers(self, payload: bytes | None) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": f"relay-client/{VERSION}"}
        if payload is not None:
            headers["Content-Type"] = "application/json"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if self._traceparent:
            headers["traceparent"] = self._traceparent
        return headers


def _open(url: SplitResult, target: str) -> tuple[http.client.HTTPConnection, str]:
    """A connection that is not connected yet, through the proxy of the environment if one is meant for this host."""
    host, port = url.hostname or "", url.port
    secure = url.scheme == "https"
    proxy = _proxy(url)
    if proxy is None:
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        return kind(host, port, timeout=answers.CONNECT_SECONDS), target
    if secure:
        tunnel = http.client.HTTPSConnection(proxy.hostname or "", proxy.port, timeout=answers.CONNECT_SECONDS)
        tunnel.set_tunnel(host, port)
        return tunnel, target
    relayed = http.client.HTTPConnection(proxy.hostname or "", proxy.port, timeout=answers.CONNECT_SECONDS)
    return relayed, f"{url.scheme}://{url.netloc}{target}"


def _proxy(url: SplitResult) -> SplitResult | None:
    if not any(name.lower() in _PROXY_VARIABLES for name in os.environ):
        return None
    from urllib.request import getproxies, proxy_bypass  # only those behind a proxy pay for this import

    host = url.hostname or ""
    if host in LOOPBACK or proxy_bypass(host):
        return None
    proxies = getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    return urlsplit(found if "://" in found else f"http://{found}") if found else None


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
