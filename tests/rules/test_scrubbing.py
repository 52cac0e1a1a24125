"""Says what is taken out of text for other eyes, and what is left in it."""

from __future__ import annotations

import pytest

from relay.rules import tokens
from relay.rules.scrubbing import scrub
from relay.rules.tokens import Secrets

TOKENS = [tokens.make(kind, bytes(range(32))) for kind in tokens.KINDS]
MACHINE = tokens.sign_machine(
    Secrets.parse("a-secret-of-sixteen"),
    "8f23c1d2-0000-4000-8000-000000000000",
    "8f23c1d2-0000-4000-8000-000000000001",
    1,
)


@pytest.mark.parametrize("token", [*TOKENS, MACHINE])
def test_no_token_of_ours_is_left(token: str) -> None:
    for text in (token, f'{{"token":"{token}"}}', f"https://relay.example/#sign-in={token}", f"a {token}, b"):
        assert token.rpartition("_")[2] not in scrub(text)


@pytest.mark.parametrize(
    "text",
    [
        "redis://relay:hunter2@h:6379/0",
        "redis://:hunter2@h",
        "postgresql+asyncpg://u:hun/hunter2@h/db",
        "postgresql+asyncpg://u@h/db?password=hunter2&ssl=true",
        "Authorization: Bearer hunter2",
        '{"authorization": "Basic hunter2"}',
        "Cookie: relay=hunter2; other=hunter2",
        "RELAY_SECRET=hunter2",
        'client_secret: "hunter2"',
        "x-api-key: hunter2",
        "{'token': 'hunter2'}",
        "{'Authorization': 'Basic hunter2', 'x': b'Cookie: hunter2'}",
        "(b'cookie', b'relay=hunter2; other=hunter2')",
        "GET /ws?ticket=hunter2&a=b",
        "Sec-WebSocket-Protocol: relay.v1, hunter2",
        "{'sec-websocket-protocol': 'relay.v1, hunter2'}",
        "(b'sec-websocket-protocol', b'relay.v1, hunter2')",
        "postgresql+asyncpg://u:p@hunter2@h/db",
        "postgresql+asyncpg://u:p@hunter2/hunter2@h/db",
        "RELAY_SECRET=a hunter2",
        "RELAY_SECRET=first, hunter2",
        "password: 'correct hunter2'",
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str) -> None:
    assert "hunter2" not in scrub(text)


def test_values_that_are_known_are_taken_out_wherever_they_are() -> None:
    assert scrub(
        "the pass is correct-horse, longer: correct-horse-battery", ["correct-horse", "correct-horse-battery"]
    ) == ("the pass is ***, longer: ***")
    assert scrub("main is a word", ["main"]) == "main is a word"


def test_what_is_no_secret_is_left() -> None:
    for text in ("node http://n1.internal:8000/readyz is ready", "INFO workspace=8f23c1d2 agents=12", "key=value"):
        assert scrub(text) == text
