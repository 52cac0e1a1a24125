"""Founds a cluster: the schema, the first workspace and its owner, and what lets that owner and this machine in."""

from __future__ import annotations

import getpass
import secrets as randomness
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

from relay.client.private_files import replace_file
from relay.client.profile import Login, Profile, canonical_url
from relay.errors import Conflict
from relay.registry.audit import SYSTEM
from relay.registry.credentials import NewSignIn
from relay.registry.migrate import migrate
from relay.registry.registry import Registry
from relay.registry.workspaces import Founded
from relay.rules import timing, tokens
from relay.rules.tokens import Secrets

DAY_MS = 86_400_000
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


class Founder:
    """What a person at this machine may do to a registry they hold the keys of."""

    def __init__(self, registry: Registry, secrets: Secrets) -> None:
        self._registry = registry
        self._secrets = secrets

    @classmethod
    async def open(cls, database_url: str, secret: str) -> Founder:
        """Bring the schema up to date and open the registry; raises `Misconfigured` or `Unavailable`."""
        await migrate(database_url)
        return cls(await Registry.open(database_url), Secrets.parse(secret))

    async def close(self) -> None:
        """Close the registry."""
        await self._registry.close()

    async def found(self, workspace: str | None, owner: str | None) -> Founded:
        """The first workspace and its owner, made if there is none yet."""
        workspaces = self._registry.workspaces
        founded = await workspaces.first()
        if founded is not None:
            return founded
        person = owner or user_name()
        try:
            return await workspaces.bootstrap(workspace or f"{person}'s machines", person, _now_ms())
        except Conflict:
            # Somebody else founded it in this very moment.
            founded = await workspaces.first()
            assert founded is not None
            return founded

    async def sign_in_link(self, url: str, founded: Founded) -> str:
        """A link that signs the owner in, once, within an hour; its secret stands in the fragment."""
        now_ms = _now_ms()
        token = _fresh("link")
        expires_ms = now_ms + int(timing.SIGN_IN_LINK_SECONDS * 1000)
        await self._registry.links.create_sign_in(
            founded.owner.id, self._secrets.hash(token), expires_ms, SYSTEM, now_ms
        )
        return f"{url}/#sign-in={token}"

    async def sign_in_cli(self, profile: Profile, nodes: list[str], founded: Founded) -> str:
        """Sign the user's CLI in at the first of `nodes` unless it is; returns the URL that its commands use now.

        A login at another cluster stays, and stays the current one; only one at another local cluster gives way.
        """
        url = canonical_url(nodes[0])
        kept = profile.login(url)
        current = profile.current()
        if kept is None or not await self._knows(kept.token, founded.owner.id):
            now_ms = _now_ms()
            token = _fresh("cli")
            sign_in = NewSignIn("cli", self._secrets.hash(token), socket.gethostname(), now_ms + _sign_in_ms())
            await self._registry.credentials.sign_in(founded.owner.id, sign_in, now_ms)
            kept = Login(url, token, founded.owner.name, founded.workspace.id)
        local = current is None or urlsplit(current).hostname in LOCAL_HOSTS
        profile.save_login(kept._replace(nodes=tuple(nodes)), make_current=local)
        return profile.current() or url

    async def agent_token(self, path: Path, founded: Founded) -> None:
        """Keep a personal token for this machine's agent in `path`, 0600; a new one only if the old is not known."""
        token = _kept(path)
        if token and await self._knows(token, founded.owner.id):
            return
        token = _fresh("pat")
        name = f"agent of {socket.gethostname()}"
        await self._registry.credentials.create_token(
            founded.owner.id, self._secrets.hash(token), name, None, SYSTEM, _now_ms()
        )
        replace_file(path, token.encode())

    async def _knows(self, token: str, person: str) -> bool:
        identity = await self._registry.credentials.find(self._secrets.hashes(token), _now_ms())
        return identity is not None and identity.person == person


def user_name() -> str:
    """What the operating system calls the person at this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have them
        return "owner"


def _kept(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def _fresh(kind: tokens.Kind) -> str:
    return tokens.make(kind, randomness.token_bytes(tokens.RANDOM_BYTES))


def _sign_in_ms() -> int:
    return timing.SIGN_IN_DAYS * DAY_MS


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
