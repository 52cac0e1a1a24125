"""Owns what this computer remembers of each cluster: `credentials.json` and `machine.json`, 0600, keyed by URL.

`credentials.json` is `{"current": URL, URL: {"token", "user", "workspace", "nodes"}}`, and `machine.json` is
`{URL: {"machineId", "machineToken", "instanceId", "generation", "revoked", "nodes", "asked"}}`. Both are replaced whole
and never written in place, so a crash leaves the old file or the new one. Only light modules are imported, because
`relay list` reads these files.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from relay.client.private_files import make_folder, open_own, read_own, replace_file
from relay.errors import Misconfigured

CREDENTIALS = "credentials.json"
MACHINE = "machine.json"
CURRENT = "current"  # a key of credentials.json that no URL can equal

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Login(NamedTuple):
    """One signed-in account on one cluster; `nodes` are the other addresses that the cluster told us."""

    url: str
    token: str
    user: str = ""
    workspace: str | None = None
    nodes: tuple[str, ...] = ()


class Enrolment(NamedTuple):
    """This installation as a machine of one cluster; without a token it is not registered, or not any more."""

    url: str
    instance_id: str
    machine_id: str | None = None
    machine_token: str | None = None
    generation: int = 0
    revoked: bool = False
    nodes: tuple[str, ...] = ()
    asked: str = ""  # the name, visibility and labels it registered with, so that a restart need not ask again


def config_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the files live: RELAY_CONFIG_DIR, else `relay/` in the XDG config folder."""
    chosen = environ.get("RELAY_CONFIG_DIR")
    if chosen:
        return Path(chosen).expanduser()
    base = environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base and os.path.isabs(base) else Path.home() / ".config") / "relay"


def canonical_url(text: str) -> str:
    """A cluster's address as the key under which it is kept: scheme, host and port alone; raises `Misconfigured`."""
    parts = urlsplit(text.strip() if "://" in text else f"https://{text.strip()}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if parts.scheme not in _DEFAULT_PORTS or not host or parts.username or parts.path.strip("/") or parts.query:
        raise Misconfigured(
            f"{text!r} is not the address of a relay; expected something like https://relay.example.com"
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port and port != _DEFAULT_PORTS[parts.scheme] else "")


def split_urls(text: str) -> list[str]:
    """The addresses of RELAY_URL, which may list several nodes; raises `Misconfigured` for a bad or an empty one."""
    urls = [canonical_url(part) for part in text.replace(",", " ").split()]
    if not urls:
        raise Misconfigured("RELAY_URL names no address")
    return list(dict.fromkeys(urls))


class Profile:
    """Reads and replaces both files of one config folder; every method raises `Misconfigured` for a file that is broken
    or cannot be read or written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # --- sign-ins ---------------------------------------------------------------------------------------------------

    def current(self) -> str | None:
        """The URL that commands use when none is named."""
        current = self._read(CREDENTIALS).get(CURRENT)
        return current if isinstance(current, str) else None

    def logins(self) -> list[Login]:
        """Every sign-in that is kept, in the order of their URLs."""
        data = self._read(CREDENTIALS)
        return [_login(url, entry) for url, entry in sorted(data.items()) if url != CURRENT]

    def login(self, url: str | None = None) -> Login | None:
        """The sign-in for this URL, or the current one."""
        data = self._read(CREDENTIALS)
        key = data.get(CURRENT) if url is None else url
        return _login(key, data[key]) if key in data and key != CURRENT else None

    def save_login(self, login: Login, *, make_current: bool = True) -> None:
        """Keep a sign-in, replacing the one of the same URL only; the first one kept becomes current in any case."""
        with self._change(CREDENTIALS) as data:
            data[login.url] = {
                "token": login.token,
                "user": login.user,
                "workspace": login.workspace,
                "nodes": list(login.nodes),
            }
            if make_current or data.get(CURRENT) not in data:
                data[CURRENT] = login.url

    def forget_login(self, url: str) -> bool:
        """Drop a sign-in; says whether there was one. Another one that is kept becomes current."""
        with self._change(CREDENTIALS) as data:
            found = data.pop(url, None) is not None
            if data.get(CURRENT) == url:
                rest = sorted(key for key in data if key != CURRENT)
                data.pop(CURRENT)
                if rest:
                    data[CURRENT] = rest[0]
        return found

    # --- this machine -----------------------------------------------------------------------------------------------

    def enrolment(self, url: str) -> Enrolment | None:
        """This installation's entry for a cluster, if it ever registered there."""
        entry = self._read(MACHINE).get(url)
        return None if entry is None else _enrolment(url, entry)

    def enrolments(self) -> list[Enrolment]:
        """This installation's entries for all clusters."""
        return [_enrolment(url, entry) for url, entry in sorted(self._read(MACHINE).items())]

    def save_enrolment(self, entry: Enrolment) -> None:
        """Keep this installation's entry for one cluster."""
        with self._change(MACHINE) as data:
            data[entry.url] = {
                "machineId": entry.machine_id,
                "machineToken": entry.machine_token,
                "instanceId": entry.instance_id,
                "generation": entry.generation,
                "revoked": entry.revoked,
                "nodes": list(entry.nodes),
                "asked": entry.asked,
            }

    def forget_enrolment(self, url: str) -> bool:
        """Drop this installation's entry for a cluster; says whether there was one."""
        with self._change(MACHINE) as data:
            return data.pop(url, None) is not None

    # --- files ------------------------------------------------------------------------------------------------------

    def _read(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        try:
            data = json.loads(read_own(path))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise Misconfigured(f"{path} cannot be read: {error.strerror}") from None
        except ValueError:
            raise Misconfigured(f"{path} is not JSON; move it away and sign in again") from None
        if not isinstance(data, dict) or not all(isinstance(v, dict) for k, v in data.items() if k != CURRENT):
            raise Misconfigured(f"{path} does not hold one object per URL; move it away and sign in again")
        return data

    @contextmanager
    def _change(self, name: str) -> Iterator[dict[str, Any]]:
        """Lock, read, let the caller change, and replace: two commands at once lose nothing of each other's."""
        try:
            make_folder(self.folder)
            lock = open_own(self.folder / ".lock")
        except OSError as error:
            raise Misconfigured(f"{self.folder} cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            data = self._read(name)
            before = json.dumps(data)
            yield data
            if json.dumps(data) != before:
                replace_file(self.folder / name, json.dumps(data, indent=2).encode() + b"\n")
        finally:
            os.close(lock)


def _login(url: str, entry: dict[str, Any]) -> Login:
    return Login(
        url=url,
        token=str(entry.get("token") or ""),
        user=str(entry.get("user") or ""),
        workspace=entry.get("workspace"),
        nodes=tuple(entry.get("nodes") or ()),
    )


def _enrolment(url: str, entry: dict[str, Any]) -> Enrolment:
    return Enrolment(
        url=url,
        instance_id=str(entry.get("instanceId") or ""),
        machine_id=entry.get("machineId"),
        machine_token=entry.get("machineToken"),
        generation=int(entry.get("generation") or 0),
        revoked=bool(entry.get("revoked")),
        nodes=tuple(entry.get("nodes") or ()),
        asked=str(entry.get("asked") or ""),
    )
