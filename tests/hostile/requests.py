"""Sends HTTP as bytes, with nothing between a test and the wire that would mend it."""

from __future__ import annotations

import json
import socket
from typing import NamedTuple
from urllib.parse import urlsplit

WAIT_SECONDS = 15.0


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def code(self) -> str | None:
        """The problem's code, if it is a problem."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return None
        return found.get("code") if isinstance(found, dict) else None


def send(url: str, request: bytes) -> Answer:
    """The first answer to these bytes, whatever they are; the server must answer or hang up."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=WAIT_SECONDS) as connection:
        connection.sendall(request)
        answer = connection.makefile("rb")
        first = answer.readline()
        assert first.startswith(b"HTTP/1.1 "), first
        headers: list[tuple[str, str]] = []
        while (line := answer.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers.append((name.lower(), value.strip()))
        length = int(dict(headers).get("content-length", 0))
        return Answer(int(first.split()[1]), headers, answer.read(length))


def request(url: str, target: str, *lines: str, method: str = "GET", body: bytes | None = None) -> bytes:
    """A request to a node as a program would write it, with these header lines, none of them checked."""
    host = urlsplit(url).netloc
    named = [] if any(line.lower().startswith("host:") for line in lines) else [f"Host: {host}"]
    if body is not None and not any(line.lower().startswith(("content-length:", "transfer-")) for line in lines):
        named += [f"Content-Length: {len(body)}"]
    head = "\r\n".join([f"{method} {target} HTTP/1.1", *named, *lines, "", ""])
    return head.encode("latin-1") + (body or b"")


def sign_in(url: str, secret: str) -> str:
    """The cookie of a browser that followed a sign-in link."""
    body = json.dumps({"secret": secret}).encode()
    lines = (f"Origin: {url}", "Content-Type: application/json", "Connection: close")
    answer = send(url, request(url, "/api/sign-in", *lines, method="POST", body=body))
    return dict(answer.headers)["set-cookie"].split(";")[0].strip()
