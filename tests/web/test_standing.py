"""Shows what becomes of a machine whose hello fails before Redis hears of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from relay.errors import RegistryUnavailable, Unavailable
from relay.web.standing import settle_first


@pytest.mark.parametrize("fails", ["holds", "locate"])
async def test_who_is_turned_away_since_redis_does_not_say_whether_it_knows_them_is_excused(fails: str) -> None:
    owed: list[int] = []

    async def answers(*_: object) -> None:
        """Nothing is known of the machine."""

    async def does_not(*_: object) -> None:
        raise Unavailable("the relay's memory (Redis) does not answer")

    async def is_away(*_: object) -> None:
        raise RegistryUnavailable("the registry does not answer")

    parts = SimpleNamespace(
        directory=SimpleNamespace(row=is_away),
        revocations=SimpleNamespace(holds=does_not if fails == "holds" else answers),
        presence=SimpleNamespace(locate=does_not, turned_away=owed.append, shard=len),
    )
    with pytest.raises(Unavailable):
        await settle_first(cast(Any, parts), cast(Any, SimpleNamespace(workspace="acme", machine="prod")), 1)
    assert owed == [len("acme")]
