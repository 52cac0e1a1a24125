"""Shows that no name, label, title or error of somebody else's steers the terminal of whoever reads it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import structlog

from relay import cli
from relay.client.profile import Login, Profile
from relay.client.rest import Rest
from relay.errors import NotFound
from relay.logs import configure_logs
from relay.settings import Settings

# The clipboard, a colour by an 8-bit control, text that runs backwards, a line of its own, a link to a script.
EVIL = "a\x1b]52;c;ZXZpbA==\x07\x9b31m\u202etxt\r\nroot: faked\x1b]8;;javascript:alert(1)\x07\u2066\x00\x7f"
URL = "http://127.0.0.1:9"
ID = "8f23c1d2-0000-4000-8000-000000000000"
MOMENT = "2026-11-22T10:00:00.000Z"
MACHINE: dict[str, Any] = {
    "id": ID, "name": EVIL, "hostname": EVIL, "workspaceId": ID, "workspaceName": EVIL, "visibility": EVIL,
    "owner": {"id": EVIL, "name": EVIL}, "online": True, "state": EVIL, "version": EVIL, "pid": 1,
    "lastSeenAt": MOMENT, "heartbeatAgeSeconds": 4, "offlineReason": EVIL, "labels": {EVIL: EVIL}, EVIL: EVIL,
    "activeSession": {"sessionId": ID, "startedAt": MOMENT, "operator": {"user": EVIL, "client": EVIL}},
}  # fmt: skip
PERSON = {"id": ID, "name": EVIL}
ANSWERS: dict[str, Any] = {
    "/api/machines": {"machines": [MACHINE], "next": None, "now": MOMENT},
    "/api/resolve": {"machine": MACHINE, "matchedBy": "name", "shadows": [MACHINE]},
    "/api/me": {"user": PERSON, "workspaces": [PERSON], "nodes": [EVIL]},
    "/api/whoami": {"matched": False, "hostname": EVIL, "reason": "not in workspace"},
    "/api/workspaces": {"workspaces": [PERSON | {"role": EVIL}], **PERSON},
    "members": {"members": [{"user": PERSON, "role": EVIL, "joinedAt": EVIL}]},
    "keys": {"keys": [PERSON | {"createdAt": EVIL, "createdBy": EVIL, "expiresAt": EVIL}], **PERSON, "token": EVIL},
    "invitations": {"url": EVIL, "expiresAt": EVIL},
    "audit": {
        "entries": [{"at": EVIL, "actor": PERSON, "action": EVIL, "subject": EVIL, "detail": {EVIL: EVIL}}],
        "next": None,
    },
}
COMMANDS = [
    ["list"],
    ["list", "--json"],
    ["connect", "--list", "--online"],
    ["machines", "show", "x"],
    ["machines", "show", "x", "--json"],
    ["machines", "rename", "x", "y"],
    ["machines", "visibility", "x", "SHARED"],
    ["machines", "kick", "x"],
    ["machines", "revoke", "x", "--yes"],
    ["workspace", "list"],
    ["workspace", "use", ID],
    ["members", "list"],
    ["members", "invite"],
    ["members", "role", ID, "viewer"],
    ["keys", "list"],
    ["keys", "create", "x"],
    ["keys", "create", "x", "--json"],
    ["audit"],
    ["audit", "--json"],
    ["whoami"],
    ["login", "--url", URL, "--token-stdin"],
]


def answer(path: str) -> Any:
    """What a hostile relay says there."""
    found = ANSWERS.get(path) or next((ANSWERS[word] for word in path.split("/") if word in ANSWERS), None)
    return found or MACHINE | {"closedConnections": 1, "unconfirmedNodes": [EVIL], "role": EVIL}


def assert_harmless(text: str, lines: int | None = None) -> None:
    """Nothing but printable characters and line ends, and no line that somebody else began."""
    for line in text.split("\n"):
        assert line.isprintable(), repr(line)
        assert not line.startswith("root:")
    if lines is not None:
        assert len(text.splitlines()) == lines


def values(found: Any) -> list[str]:
    """All texts in some JSON."""
    match found:
        case dict():
            return [text for each in found.values() for text in values(each)]
        case list():
            return [text for each in found for text in values(each)]
    return [found] if isinstance(found, str) else []


@pytest.fixture
def _signed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_CONFIG_DIR", str(tmp_path))
    Profile(tmp_path).save_login(Login(URL, "rly_cli_x", "jane", ID))


@pytest.mark.usefixtures("_signed_in")
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_whatever_a_relay_answers_a_command_prints_it_harmlessly(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Rest, "request", lambda self, method, path, query=None, body=None: answer(path))
    monkeypatch.setattr("sys.stdin.read", lambda size: "rly_pat_x", raising=False)
    code = cli.run(arguments)
    said = capfd.readouterr()
    assert code == 0, said.err
    assert_harmless(said.out)
    assert_harmless(said.err)
    if "--json" in arguments:
        assert EVIL in values(json.loads(said.out)), "programs get what was said, unchanged"


@pytest.mark.usefixtures("_signed_in")
def test_an_error_of_a_relay_is_one_harmless_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise NotFound(EVIL)

    monkeypatch.setattr(Rest, "request", fail)
    assert cli.run(["machines", "show", EVIL]) == 66
    assert_harmless(capfd.readouterr().err, lines=1)


def settings(log_format: str) -> Settings:
    """A node that logs in this way."""
    return Settings.model_validate(
        {"redis_url": "unix:///x", "database_url": "sqlite+aiosqlite:////x", "log_format": log_format}
    )


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_line_of_a_log_is_begun_or_coloured_by_a_peer(
    log_format: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Operators read logs in terminals, and programs read them by lines."""
    kept = structlog.get_config()
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    try:
        configure_logs(settings(log_format))
        structlog.get_logger().warning("a peer left", reason=EVIL)
        try:
            raise ValueError(EVIL)
        except ValueError:
            structlog.get_logger().exception("a request failed", traceback=f"one\n{EVIL}\ntwo")
        logging.getLogger("websockets").warning("said %s", EVIL)
    finally:
        structlog.configure(**kept)
    said = capfd.readouterr().err
    assert "a peer left" in said
    assert_harmless(said)


def test_the_log_of_an_agent_is_as_harmless(capfd: pytest.CaptureFixture[str]) -> None:
    from relay.cli.serve import _log_for_people

    kept = structlog.get_config()
    try:
        _log_for_people()
        structlog.get_logger().info("attached", user=EVIL, client=EVIL)
        try:
            raise ValueError(EVIL)
        except ValueError:
            structlog.get_logger().exception("request failed")
    finally:
        structlog.configure(**kept)
    assert_harmless(capfd.readouterr().err)
