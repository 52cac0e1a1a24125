"""Writes the OpenAPI document from the table of calls that the router serves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

import relay
from relay.errors import RelayError
from relay.web.auth import COOKIE
from relay.web.bodies import JSON
from relay.web.call import Call
from relay.web.problems import PROBLEM_TYPE, title

REFERENCE = "#/components/schemas/{name}"
ID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
ANSWERS = {200: "Done", 201: "Made", 304: "Nothing changed since the ETag that you sent", 503: "Not now"}
ABOUT = (
    "Reach any machine of your team by name. Times are ISO 8601 UTC with milliseconds. Unknown, foreign and invisible "
    "ids give the same 404. A body is at most 64 KiB, and a field that is not listed here is an error. Errors are "
    "problem documents (RFC 9457) with a stable `code`; `/api/asyncapi.json` describes the sockets."
)
PROBLEM = {
    "type": "object",
    "description": "What went wrong (RFC 9457); `code` is stable, sentences are not. Some codes carry more fields.",
    "required": ["type", "title", "status", "detail", "code", "message"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "message": {"type": "string", "description": "the same as `detail`, as sockets and CLI call it"},
        "candidates": {"type": "array", "items": {"type": "object"}, "description": "with `ambiguous`: at most ten"},
        "limit": {"type": "string", "description": "with `limit-reached` and `too-big`: which"},
        "retryAfterSeconds": {"type": "integer"},
        "intervalSeconds": {"type": "number"},
    },
}


def openapi(calls: Sequence[Call], url: str) -> dict[str, Any]:
    """The document of these calls, served at `url`."""
    kinds = [kind for call in calls for kind in (call.answer, call.body) if kind is not None]
    _schemas, components = msgspec.json.schema_components(dict.fromkeys(kinds), ref_template=REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for call in calls:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Relay", "version": relay.VERSION, "description": ABOUT, "license": {"name": "MIT"}},
        "servers": [{"url": url}],
        "paths": paths,
        "components": {
            "schemas": {**_sentences(components), "Problem": PROBLEM},
            "responses": {error.code: _refusal([error]) for error in _all_errors(calls)},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "rly_pat_, rly_cli_ or rly_team_ token"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "a browser's sign-in"},
            },
        },
    }


def _operation(call: Call) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": call.name,
        "tags": [call.path.split("/")[2 if call.path.startswith("/api/") else 1]],
        "summary": call.does,
        "parameters": [*_path_parameters(call), *_query_parameters(call)],
        "responses": _responses(call),
        "security": [] if call.asker == "anybody" else [{"bearer": []}, {"cookie": []}],
    }
    if 304 in call.statuses:
        about = {"name": "If-None-Match", "in": "header", "description": "the ETag that you have"}
        operation["parameters"].append({**about, "schema": {"type": "string"}})
    if call.body is not None:
        schema = {"$ref": REFERENCE.format(name=call.body.__name__)}
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    return operation


def _path_parameters(call: Call) -> list[dict[str, Any]]:
    schema = {"type": "string", "pattern": ID}
    return [
        {"name": name, "in": "path", "required": True, "schema": schema} for name in re.findall(r"{(\w+)}", call.path)
    ]


def _query_parameters(call: Call) -> list[dict[str, Any]]:
    if call.query is None:
        return []
    (_schema,), components = msgspec.json.schema_components([call.query], ref_template=REFERENCE)
    described = components[call.query.__name__]
    required = described.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _plain(schema)}
        for name, schema in described["properties"].items()
    ]


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema without null, which a query string cannot say: one leaves the parameter out."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    return dict(kinds[0]) if len(kinds) == 1 else {key: value for key, value in schema.items() if value is not None}


def _responses(call: Call) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status in call.statuses:
        response: dict[str, Any] = {"description": ANSWERS[status]}
        if call.answer is not None and status != 304:
            response["content"] = {JSON: {"schema": {"$ref": REFERENCE.format(name=call.answer.__name__)}}}
        if 304 in call.statuses:
            response["headers"] = {"ETag": {"schema": {"type": "string"}, "description": "weak; for If-None-Match"}}
        responses[str(status)] = response
    by_status: dict[int, list[type[RelayError]]] = {}
    for error in call.all_errors():
        by_status.setdefault(error.status, []).append(error)
    for status, found in sorted(by_status.items()):
        refusal = _refusal(found)
        if status in call.statuses:  # /readyz says 503 in its own shape
            refusal["content"] |= responses[str(status)]["content"]
        responses[str(status)] = refusal
    return responses


def _refusal(found: Sequence[type[RelayError]]) -> dict[str, Any]:
    words = "; ".join(f"`{error.code}`: {title(error)}" for error in found)
    codes = {"properties": {"code": {"enum": [error.code for error in found]}}}
    schema = {"allOf": [{"$ref": REFERENCE.format(name="Problem")}, codes]}
    return {"description": words, "content": {PROBLEM_TYPE: {"schema": schema}}}


def _all_errors(calls: Iterable[Call]) -> list[type[RelayError]]:
    found = {error.code: error for call in calls for error in call.all_errors()}
    return [found[code] for code in sorted(found)]


def _sentences(components: dict[str, Any]) -> dict[str, Any]:
    """Schemas by name, each with its class's docstring on one line."""
    for schema in components.values():
        if "description" in schema:
            schema["description"] = " ".join(schema["description"].split())
    return components
