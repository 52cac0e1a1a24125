"""Keeps the times that an operator chose for the cluster, so that they outlive Redis and every node."""

from __future__ import annotations

import msgspec
from sqlalchemy import insert, select

from relay.errors import Conflict
from relay.registry.audit import SYSTEM
from relay.registry.database import Database
from relay.registry.tables import rhythms
from relay.registry.writing import Write, commit
from relay.rules.rhythm import Chosen

_LATEST = select(rhythms).order_by(rhythms.c.revision.desc()).limit(1)  # made once, for every node asks it for ever
_DECODER = msgspec.json.Decoder(dict[str, float])


class Rhythms:
    """What was chosen, newest last."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def latest(self) -> Chosen:
        """The choice that holds, or will."""
        row = await self._database.row(_LATEST)
        if row is None:
            return Chosen()
        return Chosen(revision=row.revision, from_ms=row.from_ms, values=_DECODER.decode(row.chosen))

    async def choose(self, after: Chosen, values: dict[str, float], from_ms: int, now_ms: int) -> Chosen:
        """Choose these from that moment on; raises `Conflict` if somebody chose since `after`."""
        chosen = Chosen(revision=after.revision + 1, from_ms=from_ms, values=values)

        async def work(write: Write) -> None:
            row = (await write.connection.execute(_LATEST)).one_or_none()
            if (0 if row is None else row.revision) != after.revision:
                raise Conflict("somebody else changed the times a moment ago: look at them again")
            text = msgspec.json.encode(values).decode()
            row_of = {"revision": chosen.revision, "from_ms": from_ms, "set_ms": now_ms, "chosen": text}
            await write.connection.execute(insert(rhythms).values(**row_of))
            write.note("timing.set", None, str(chosen.revision), values=values)

        await commit(self._database, SYSTEM, now_ms, work)
        return chosen
