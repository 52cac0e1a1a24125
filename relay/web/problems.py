"""Maps errors to RFC 9457 problem documents, in one place for every route and guard."""

from __future__ import annotations

import traceback

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from relay import errors
from relay.errors import RelayError

PROBLEM_TYPE = "application/problem+json"
RETRY_SECONDS = 5  # told with 429 and 503: a beat's half, so that a crowd does not come back in step with itself

_HTTP_ERRORS: dict[int, type[RelayError]] = {
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    413: errors.TooBig,
}


def title(kind: type[RelayError]) -> str:
    """The first sentence of what an error class says about itself; the same in answers and in the OpenAPI document."""
    return " ".join((kind.__doc__ or kind.code).split()).split("; ")[0].split(". ")[0].rstrip(".")


def problem(error: RelayError, headers: dict[str, str] | None = None) -> Response:
    """The answer that tells a caller about an error: stable code, sentence, and its extra fields."""
    body = {
        "type": f"/api/openapi.json#/components/responses/{error.code}",
        "title": title(type(error)),
        "status": error.status,
        "detail": error.message,
        **error.body(),
    }
    sent = {"cache-control": "no-store", **(headers or {})}
    if error.status in (429, 503):
        sent.setdefault("retry-after", str(error.extra.get("retryAfterSeconds", RETRY_SECONDS)))
    if error.status == 401:
        sent.setdefault("www-authenticate", "Bearer")
    return Response(msgspec.json.encode(body), error.status, sent, PROBLEM_TYPE)


def internal(request: Request, error: BaseException) -> Response:
    """The answer to something that we did wrong: logged in full here, and shown with no detail.

    The traceback is logged as text, because loggers that render frames themselves print local variables, and those
    hold secrets.
    """
    text = "".join(traceback.format_exception(error))
    structlog.get_logger().error("a request failed", method=request.method, path=request.url.path, traceback=text)
    return problem(RelayError("internal error"))


async def on_relay_error(request: Request, error: Exception) -> Response:
    """Shows what the world did; what we did wrong is only logged."""
    assert isinstance(error, RelayError)
    if error.status == 500:
        return internal(request, error)
    return problem(error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Shows what the router itself refuses: unknown paths, and methods that a path does not have."""
    assert isinstance(error, HTTPException)
    kind = _HTTP_ERRORS.get(error.status_code, errors.Invalid)
    return problem(kind(_SENTENCES.get(kind, error.detail)), dict(error.headers or {}))


async def on_unexpected(request: Request, error: Exception) -> Response:
    """Shows "internal error" for everything that no class of ours names."""
    return internal(request, error)


_SENTENCES = {
    errors.NotFound: "there is nothing here",
    errors.MethodNotAllowed: "this path does not take this method",
}
