"""Finds out where a command goes and as whom: RELAY_URL and RELAY_TOKEN, else the current sign-in of this user."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from relay.client.profile import Login, Profile, config_folder, split_urls
from relay.client.rest import Rest
from relay.errors import BadToken, Misconfigured
from relay.rules.quoting import escape

NOT_SIGNED_IN = "you are not signed in: run `relay login`"


class Place(NamedTuple):
    """A cluster's addresses, a credential, and the workspace that is active there."""

    urls: list[str]
    token: str
    workspace: str | None

    def rest(self) -> Rest:
        """REST calls at this place."""
        return Rest(self.urls, self.token, traceparent=traceparent())

    def resolve(self, query: str) -> dict[str, Any]:
        """The machine that a person named, as JSON data; raises what the resolver says. Says on stderr which of two
        machines a name means when another one had it before."""
        answer = self.rest().get("/api/resolve", q=query.rstrip("…"), workspace=self.workspace)
        machine: dict[str, Any] = answer["machine"]
        if answer.get("matchedBy") == "name":
            for other in answer.get("shadows", []):
                note(
                    f"{machine['name']} is {machine['id'][:8]} on {machine['hostname']}; the one that had this name "
                    f"before is {other['id'][:8]} on {other['hostname']}, by id or hostname"
                )
        return machine


def find_place(environ: Mapping[str, str] = os.environ, *, workspace: str | None = None) -> Place:
    """The place of this command; raises `Misconfigured` or `BadToken` with what to do about it."""
    profile = Profile(config_folder(environ))
    token = secret("RELAY_TOKEN", environ)
    given = environ.get("RELAY_URL", "").strip()
    if given:
        urls = split_urls(given)
        login = next((found for found in map(profile.login, urls) if found), None)
    else:
        login = profile.login()
        urls = _addresses(login)
    if not urls:
        raise BadToken(NOT_SIGNED_IN) if not token else Misconfigured("RELAY_TOKEN is set, but not RELAY_URL")
    if not token and login is None:
        raise BadToken(f"you are not signed in at {urls[0]}: run `relay login --url {urls[0]}`")
    chosen = workspace or environ.get("RELAY_WORKSPACE") or None
    if chosen is None and login is not None and not token:
        chosen = login.workspace
    return Place(urls, token or (login.token if login else ""), chosen)


def secret(name: str, environ: Mapping[str, str]) -> str:
    """A secret from the environment, or from the file that `…_FILE` names; empty if neither is set."""
    value = environ.get(name, "").strip()
    path = environ.get(f"{name}_FILE", "").strip()
    if value or not path:
        return value
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{name}_FILE: {path} cannot be read: {error}") from None


def traceparent(environ: Mapping[str, str] = os.environ) -> str:
    """The trace that this command is a step of, if whoever runs it says so in TRACEPARENT, as OpenTelemetry has it."""
    told = environ.get("TRACEPARENT", "").strip()
    if not told:
        return ""
    from relay.traces import trace_of  # for those alone who need it

    return told if trace_of(told) else ""


def note(text: str) -> None:
    """One line of ours for the person, on stderr, whatever its text contains."""
    print(f"relay: {escape(text)}", file=sys.stderr, flush=True)  # noqa: T201


def note_busy(wait_seconds: float) -> None:
    """Say why nothing happens for a while."""
    note(f"the relay is busy; trying again in {wait_seconds:.0f} s")


def _addresses(login: Login | None) -> list[str]:
    return list(dict.fromkeys([login.url, *login.nodes])) if login else []
