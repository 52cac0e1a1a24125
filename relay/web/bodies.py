"""Reads request bodies and queries strictly, and writes answers."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from relay.errors import Invalid, TooBig, UnsupportedMedia
from relay.rules import limits

JSON = "application/json"
Title = Annotated[str, Meta(min_length=1, max_length=limits.TITLE_CHARACTERS)]
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class Body(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """The base of all request bodies: camelCase, and a field that nobody knows is an error."""


class Query(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """The base of all queries; values are text and become what the field says."""


class Answer(Struct, rename="camel", kw_only=True):
    """The base of all answers: camelCase."""


async def read_body(request: Request, kind: type[Struct]) -> Any:
    """The body as `kind`; raises `UnsupportedMedia`, `TooBig` or `Invalid` with the first thing that does not fit."""
    declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared != JSON:
        raise UnsupportedMedia(f"send the body as {JSON}")
    raw = await _read(request)
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(_sentence(error)) from None


def read_query(request: Request, kind: type[Struct]) -> Any:
    """The query string as `kind`; raises `Invalid` for unknown, repeated or wrong parameters."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in found:
            raise Invalid("a query parameter is given twice")
        found[name] = value
    try:
        return msgspec.convert(found, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(_sentence(error)) from None


def answer(body: Struct, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer that no cache keeps."""
    return Response(msgspec.json.encode(body), status, {"cache-control": "no-store", **(headers or {})}, JSON)


def printable(text: str) -> str:
    """Text that people will read, trimmed; raises `Invalid` for what databases refuse and terminals obey."""
    trimmed = text.strip()
    if not trimmed or not trimmed.isprintable():
        raise Invalid("names and labels are not empty and have printable characters only")
    return trimmed


async def _read(request: Request) -> bytes:
    sentence = f"a body has at most {limits.BODY_BYTES} bytes"
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limits.BODY_BYTES:
        raise TooBig(sentence, limit="BODY_BYTES")
    parts = bytearray()
    async for chunk in request.stream():
        parts += chunk
        if len(parts) > limits.BODY_BYTES:
            raise TooBig(sentence, limit="BODY_BYTES")
    return bytes(parts)


def _sentence(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "the body is not UTF-8"
    return str(error)
