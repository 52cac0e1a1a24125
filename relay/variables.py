"""Names the RELAY_* variables that are not a node's settings, and finds what somebody meant who misspelled one."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path

from relay.errors import Misconfigured

PREFIX = "RELAY_"
# Of the agent, the command line and `relay dev`, which a computer may have beside a node's.
ELSEWHERE = frozenset(
    {
        "RELAY_URL",
        "RELAY_TOKEN",
        "RELAY_TOKEN_FILE",
        "RELAY_WORKSPACE",
        "RELAY_CONFIG_DIR",
        "RELAY_VALKEY_BIN",
    }
)
# What Kubernetes tells every container of a Service whose name begins with "relay"; nobody wrote that.
_SERVICE = re.compile(r"RELAY(_[A-Z0-9]+)*_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)")
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://")
_LIKENESS = 0.75  # of two names; with less, a guess is more often wrong than right


def unknown(environ: Mapping[str, str], known: Collection[str]) -> list[str]:
    """A sentence for each RELAY_* variable that nobody reads; a typing error would else be a default that nobody
    wants."""
    found = []
    for name in sorted(environ):
        strange = name.startswith(PREFIX) and name not in known and name not in ELSEWHERE
        if strange and not of_a_service(name, environ[name]):
            near = get_close_matches(name, sorted(known), n=1, cutoff=_LIKENESS)
            meant = f"; did you mean {near[0]}?" if near else " (relay node --help lists every variable)"
            found.append(f"{name} is no setting of Relay{meant}")
    return found


def of_a_service(name: str, value: str) -> bool:
    """Whether Kubernetes set this for a Service called like our variables."""
    return _SERVICE.fullmatch(name) is not None or _SERVICE_URL.match(value) is not None


def content_of(variable: str, path: str) -> str:
    """What a file holds that a variable names; raises `Misconfigured`."""
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise Misconfigured(f"{variable}: cannot read {path}: {reason}") from None
    if not text:
        raise Misconfigured(f"{variable}: {path} is empty")
    return text
