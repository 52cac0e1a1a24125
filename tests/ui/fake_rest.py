"""Plays the REST calls that the page makes."""

from __future__ import annotations

import uuid
from typing import Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from relay.rules.machine import Machine
from tests.ui.fake_machines import JANE, NOW

COOKIE = "relay_session"


class Known(Protocol):
    """What the relay behind these calls knows."""

    workspaces: list[dict[str, str]]
    machines: dict[str, Machine]
    nodes: dict[str, str]
    links: set[str]
    tickets: set[str]
    calls: list[tuple[str, str, Any]]

    def add(self, *machines: Machine) -> None:
        """Add or change machines."""

    def remove(self, each: Machine) -> None:
        """Revoke a machine."""


async def answer(relay: Known, request: Request) -> Response:
    """The answer to any call under /api/."""
    path, body = request.path_params["path"], await _json(request)
    if path != "me":
        relay.calls.append((request.method, path, body))
    signed_in = COOKIE in request.cookies
    match [request.method, *path.split("/")]:
        case ["POST", "sign-in"] | ["POST", "invitations", "accept"]:
            if body["secret"] not in relay.links:
                return _problem(410, "expired", "this link was used or is too old")
            relay.links.discard(body["secret"])
            response = JSONResponse({"user": {"id": JANE, "name": "Jane"}, "workspaces": relay.workspaces})
            response.set_cookie(COOKIE, "yes", httponly=True, samesite="strict")
            return response
        case _ if not signed_in:
            return _problem(401, "bad-token", "sign in first")
        case ["GET", "me"]:
            nodes = list(relay.nodes.values())
            return JSONResponse({"user": {"id": JANE, "name": "Jane"}, "workspaces": relay.workspaces, "nodes": nodes})
        case ["POST", "tickets"]:
            ticket = f"rly_tick_{uuid.uuid4().hex}"
            relay.tickets.add(ticket)
            return JSONResponse({"ticket": ticket, "expiresAt": NOW}, 201)
        case ["POST", "sign-out"]:
            response = JSONResponse({"ended": JANE})
            response.delete_cookie(COOKIE)
            return response
        case ["POST", "device", "approve"]:
            return JSONResponse({"approved": not body["deny"], "client": "relay on build-box"})
        case ["DELETE", "machines", id]:
            relay.remove(relay.machines[id])
            # As nodes of before `refusedEverywhere` answer, beside which others serve the page during a roll.
            return JSONResponse({"id": id, "revokedAt": NOW, "closedConnections": 1, "unconfirmedNodes": []})
        case ["PATCH", "machines", id, *rest]:
            change = {"visibility": body["visibility"]} if rest else {"name": body["name"]}
            if change.get("name") == "taken":
                return _problem(409, "name-taken", "another machine has this name")
            relay.add(msgspec.structs.replace(relay.machines[id], **change))
            return JSONResponse(msgspec.to_builtins(relay.machines[id]))
        case ["GET", "workspaces", _, "members"]:
            return JSONResponse({"members": [_member("Jane", JANE, "owner"), _member("Ravi", _id(5), "member")]})
        case ["GET", "workspaces", _, "keys"]:
            return JSONResponse({"keys": [_key("build machines")]})
        case ["POST", "workspaces", _, "keys"]:
            return JSONResponse(_key(body["name"]) | {"token": "rly_team_example"}, 201)
        case ["POST", "workspaces", _, "invitations"]:
            return JSONResponse({"url": "http://127.0.0.1/#invite=rly_link_other", "expiresAt": NOW}, 201)
        case _:
            return JSONResponse({})


async def _json(request: Request) -> Any:
    raw = await request.body()
    return msgspec.json.decode(raw) if raw else None


def _problem(status: int, code: str, detail: str) -> Response:
    return JSONResponse({"code": code, "detail": detail, "status": status}, status)


def _id(number: int) -> str:
    return str(uuid.UUID(int=number, version=4))


def _member(name: str, id: str, role: str) -> dict[str, Any]:
    return {"user": {"id": id, "name": name}, "role": role, "joinedAt": NOW}


def _key(name: str) -> dict[str, Any]:
    return {"id": _id(9), "name": name, "createdAt": NOW, "createdBy": "Jane", "expiresAt": None}
