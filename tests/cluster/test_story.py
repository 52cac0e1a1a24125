"""Tells the whole story once, in the product's words, on two nodes."""

from __future__ import annotations

from tests.support.cluster import Team
from tests.support.screen import browser, open_shell, watching


async def test_a_browser_types_into_a_real_shell_through_a_node_that_the_machine_is_not_connected_to(
    team: Team,
) -> None:
    """The promise that everything else stands on."""
    agent = team.agent("mac-studio")
    elsewhere = team.cluster.other(agent.node)
    machine = team.machine("mac-studio")

    async with browser(elsewhere, team.owner.token) as connection:
        shell = await open_shell(connection, team.workspace, machine["id"])
        async with watching(connection, shell) as screen:
            await screen.type("echo $((6*7)) | tr 2 Z\n")
            await screen.shows(b"4Z")
