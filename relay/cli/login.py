"""Commands signing in and out: `relay login` by device code or token, and `relay logout`."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import click

from relay.cli.place import note
from relay.client.addresses import in_the_clear, usable
from relay.client.profile import Login, Profile, canonical_url, config_folder, split_urls
from relay.client.rest import Rest
from relay.errors import AuthorizationPending, BadToken, Invalid, Misconfigured, SlowDown, Unavailable
from relay.rules.quoting import escape

SLOWER_SECONDS = 5.0  # what RFC 8628 adds to the interval when the relay says to slow down
SECRET_CHARACTERS = 4_096  # a pasted secret or link; more is some other file


@click.command(name="login")
@click.option("--url", metavar="URL", help="The relay's address.  [default: RELAY_URL, else the current one]")
@click.option("--token-stdin", is_flag=True, help="Read a token, or a one-time sign-in link, from standard input.")
def command(url: str | None, token_stdin: bool) -> None:
    """Sign this user in: confirm a code in a browser, or hand in a token."""
    profile = Profile(config_folder())
    urls = _urls(url, profile)
    if in_the_clear(urls[0]):
        note(f"{urls[0]} is not encrypted: whoever is on the way can read your sign-in and what you type")
    token = _from_stdin(urls) if token_stdin else by_device_code(urls)
    me = Rest(urls, token).get("/api/me")
    workspaces = me["workspaces"]
    before = profile.login(urls[0])
    kept = before.workspace if before else None
    active = kept if any(each["id"] == kept for each in workspaces) else None
    if active is None and len(workspaces) == 1:
        active = workspaces[0]["id"]
    nodes = tuple(usable(map(str, me.get("nodes", [])), urls[0]))
    profile.save_login(Login(urls[0], token, me["user"]["name"], active, nodes))
    click.echo(f"signed in at {urls[0]} as {escape(me['user']['name'])}")
    if active is None and workspaces:
        names = ", ".join(escape(each["name"]) for each in workspaces)
        click.echo(f"choose a workspace with `relay workspace use NAME`: {names}")


@click.command(name="logout")
@click.option("--url", metavar="URL", help="The relay's address.  [default: the current one]")
def logout(url: str | None) -> None:
    """Sign this user out here and at the relay."""
    profile = Profile(config_folder())
    login = profile.login(canonical_url(url) if url else None)
    if login is None:
        click.echo("you are not signed in")
        return
    try:
        Rest([login.url, *login.nodes], login.token).request("POST", "/api/sign-out", body={})
    except BadToken:
        pass  # it ended there before
    except Unavailable:
        note("the relay cannot be reached: the sign-in is forgotten here, and ends there when its time is over")
    profile.forget_login(login.url)
    click.echo(f"signed out at {login.url}")


def by_device_code(urls: list[str]) -> str:
    """Show a code, wait until a signed-in person confirms it, and return the token."""
    rest = Rest(urls, None)
    device = rest.request("POST", "/api/device", body={})
    click.echo(f"open {escape(device['verificationUrl'])}", err=True)
    click.echo(f"and confirm the code {escape(device['userCode'])}", err=True)
    interval = float(device["intervalSeconds"])
    while True:
        time.sleep(interval)
        try:
            answer = rest.request("POST", "/api/device/token", body={"deviceCode": device["deviceCode"]})
        except AuthorizationPending:
            continue
        except SlowDown:
            interval += SLOWER_SECONDS
            continue
        return str(answer["token"])


def _from_stdin(urls: list[str]) -> str:
    text = sys.stdin.read(SECRET_CHARACTERS).strip()
    if not text:
        raise Invalid("standard input has no token")
    _, found, fragment = text.partition("#sign-in=")
    link = fragment if found else text if text.startswith("rly_link_") else ""
    if not link:
        return text
    answer: dict[str, Any] = Rest(urls, None).request("POST", "/api/sign-in", body={"secret": link, "cli": True})
    return str(answer["token"])


def _urls(url: str | None, profile: Profile) -> list[str]:
    if url:
        return [canonical_url(url)]
    if os.environ.get("RELAY_URL", "").strip():
        return split_urls(os.environ["RELAY_URL"])
    current = profile.current()
    if current is None:
        raise Misconfigured("say which relay: relay login --url https://relay.example.com")
    return [current]
