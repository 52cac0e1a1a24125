"""Tests what the agent does about each way in which a connection can end."""

from __future__ import annotations

import pytest

from relay.agent.verdict import Leave, Park, Return, judge
from relay.client.ends import Unreachable, end_of
from relay.errors import (
    BadToken,
    Close,
    Exit,
    Forbidden,
    MachineRevoked,
    Misconfigured,
    RelayError,
    Unavailable,
    UnsupportedVersion,
)


def test_revoked_leaves_in_peace_and_forgets_the_token() -> None:
    for end in (end_of(Close.MACHINE_REVOKED), MachineRevoked("gone")):
        verdict = judge(end)
        assert isinstance(verdict, Leave)
        assert (verdict.exit, verdict.revoked) == (Exit.OK, True)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (end_of(Close.BAD_TOKEN), Exit.DENIED),
        (end_of(Close.FORBIDDEN), Exit.DENIED),
        (end_of(Close.PROTOCOL_ERROR), Exit.FAILURE),
        (end_of(Close.UNSUPPORTED_VERSION), Exit.CONFIGURATION),
        (end_of(4042), Exit.FAILURE),
        (BadToken("x"), Exit.DENIED),
        (Forbidden("x"), Exit.DENIED),
        (UnsupportedVersion("x"), Exit.CONFIGURATION),
        (Misconfigured("x"), Exit.CONFIGURATION),
    ],
)
def test_what_coming_back_would_only_repeat_ends_the_agent(end: RelayError, code: Exit) -> None:
    verdict = judge(end)
    assert isinstance(verdict, Leave)
    assert (verdict.exit, verdict.revoked) == (code, False)


def test_replaced_parks() -> None:
    assert isinstance(judge(end_of(Close.REPLACED)), Park)


@pytest.mark.parametrize(
    "end",
    [
        *[
            end_of(code)
            for code in (None, 1000, 1001, 1006, 1007, 1009, 1011, 1012, *range(4100, 4104), *range(4200, 4204), 4299)
        ],
        Unreachable("no node"),
        Unavailable("trouble"),
    ],
)
def test_everything_else_comes_back(end: RelayError) -> None:
    assert judge(end) == Return()
