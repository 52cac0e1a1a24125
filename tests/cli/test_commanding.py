"""Shows what `relay exec` makes of input that a machine does not take."""

from __future__ import annotations

import pytest

from relay.cli.commanding import Commander, Order
from relay.client.connection import connected
from relay.errors import Unavailable
from tests.client.small_relay import MACHINE, WORKSPACE, Shell, small_relay

ORDER = Order(
    command=["cat"], environment={}, directory=None, timeout=None, capture=True, prefixed=False, forward_input=False
)


@pytest.mark.parametrize("reason", ["not-driver", "too-much-input"])
async def test_a_command_that_did_not_get_all_of_its_input_has_failed(reason: str) -> None:
    """Somebody may take the keyboard of a command, too; what it makes of half its input is no result."""
    machine = {"id": MACHINE, "workspaceId": WORKSPACE, "name": "mac", "online": True}
    async with small_relay() as world, connected(world.urls, "token") as connection:
        opened = world.open

        def open_refusing(kind: str = "exec") -> Shell:
            shell = opened("exec")
            shell.refusing, shell.reason = True, reason
            return shell

        world.open = open_refusing  # type: ignore[method-assign]
        (outcome,) = await Commander(connection, ORDER).run([machine])
    assert isinstance(outcome.error, Unavailable)
    assert reason in outcome.error.message
