"""Serves the page: index.html with a strict policy, and hashed assets that browsers may keep for ever."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

DIST = Path(__file__).resolve().parent.parent / "ui" / "dist"
NONCE_BYTES = 16  # 128 bits, what the CSP specification asks for at least
NONCE_MARK = b"{{nonce}}"  # stands in index.html where the nonce of one answer goes
ASSET_AGE_SECONDS = 31_536_000  # one year; a changed asset has another name
MISSING = "The page is not built here, everything else works. Build it with:  python deploy/build_ui.py\n"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class Asset(NamedTuple):
    """One built file, and the same file compressed if the build made one."""

    content: bytes
    media_type: str
    gzip: bytes | None


class Page:
    """The built page of one node; `origins` names the nodes' base URLs that a page may connect to beside its own."""

    def __init__(self, origins: Callable[[], Iterable[str]] = tuple, dist: Path = DIST) -> None:
        self._origins = origins
        self._dist = dist
        self._index: bytes | None = None
        self._assets: dict[str, Asset] = {}
        self._load()

    def routes(self) -> list[BaseRoute]:
        """The routes `/` and `/assets/NAME`."""
        return [Route("/", self.index), Route("/assets/{name}", self.asset)]

    async def index(self, request: Request) -> Response:
        """The page itself, never cached, or one plain sentence when it is not built."""
        if self._index is None:
            self._load()  # somebody may have built it since this node started
        if self._index is None:
            return PlainTextResponse(MISSING, 503, HEADERS)
        nonce = secrets.token_urlsafe(NONCE_BYTES)
        headers = HEADERS | {
            "Cache-Control": "no-cache, no-store",
            "Content-Security-Policy": policy(nonce, self._origins()),
        }
        body = self._index.replace(NONCE_MARK, nonce.encode())
        return Response(body, media_type="text/html; charset=utf-8", headers=headers)

    async def asset(self, request: Request) -> Response:
        """One hashed asset, kept by browsers for a year."""
        found = self._assets.get(request.path_params["name"])
        if found is None:
            return PlainTextResponse("no such asset\n", 404, HEADERS)
        headers = HEADERS | {
            "Cache-Control": f"public, max-age={ASSET_AGE_SECONDS}, immutable",
            "Vary": "Accept-Encoding",
        }
        if found.gzip is not None and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(found.gzip, media_type=found.media_type, headers=headers | {"Content-Encoding": "gzip"})
        return Response(found.content, media_type=found.media_type, headers=headers)

    def _load(self) -> None:
        index = self._dist / "index.html"
        if not index.is_file():
            return
        self._assets = {
            path.name: _read(path)
            for path in sorted((self._dist / "assets").iterdir())
            if path.suffix in TYPES and path.is_file()
        }
        self._index = index.read_bytes()


def policy(nonce: str, origins: Iterable[str]) -> str:
    """The content security policy of one answer. No script may turn text into markup. xterm.js makes style elements, so
    those need the nonce, and writes 24-bit colours as style attributes, which can neither run nor load anything."""
    connect = " ".join(["'self'", *_sources(origins)])
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            f"style-src 'self' 'nonce-{nonce}'",
            "style-src-attr 'unsafe-inline'",
            "img-src 'self' data:",
            "font-src 'self'",
            "manifest-src 'self'",
            f"connect-src {connect}",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "frame-ancestors 'none'",
        ]
    )


def _sources(origins: Iterable[str]) -> list[str]:
    """Each origin for REST and for sockets, in a stable order; what is not a plain http(s) origin is left out."""
    found: dict[str, None] = {}
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme in {"http", "https"} and parts.netloc and not set(parts.netloc) & set(" ;,'\"@"):
            found[f"{parts.scheme}://{parts.netloc}"] = None
            found[f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}"] = None
    return list(found)


def _read(path: Path) -> Asset:
    compressed = path.with_name(path.name + ".gz")
    return Asset(path.read_bytes(), TYPES[path.suffix], compressed.read_bytes() if compressed.is_file() else None)
