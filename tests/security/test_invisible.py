"""Shows that a machine which one may not see is the same as none: in words, and in the work that the answer costs."""

from __future__ import annotations

import re

from sqlalchemy import event

from relay.web.site import CALLS
from tests.web.site import Caller, Site

NOBODY = "8f23c1d2-0000-4000-8000-000000000000"
OF_MACHINES = [call for call in CALLS if call.path.startswith("/api/machines/{")]


class Work:
    """What the registry and Redis are asked for."""

    def __init__(self, site: Site) -> None:
        self.done: list[str] = []
        engine = site.parts.registry._database._engine.sync_engine
        event.listen(engine, "before_cursor_execute", self._statement)

    def _statement(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        self.done.append(re.sub(r"\s+", " ", statement))


async def test_asking_for_what_one_may_not_see_is_answered_by_the_same_steps_as_for_nothing(
    site: Site, owner: Caller
) -> None:
    """How long an answer takes would tell otherwise."""
    hidden = (await owner.machine("hidden", visibility="PRIVATE"))["id"]
    stranger = await site.person("Mo", "member")
    body = {"name": "x", "visibility": "SHARED"}
    work = Work(site)
    for call in OF_MACHINES:
        answers, steps = [], []
        for id in (NOBODY, hidden, NOBODY, hidden):  # the first of each warms what is remembered
            work.done.clear()
            path = re.sub(r"\{\w+\}", id, call.path)
            given = {name: body[name] for name in body if name in str(call.body.__struct_fields__ if call.body else ())}
            response = await stranger.ask(call.method, path, given if call.body else None)
            answers.append((response.status_code, response.content))
            steps.append(list(work.done))
        assert answers[0][0] == 404, call.path
        assert answers[2] == answers[3], call.path
        assert steps[2] == steps[3], call.path
    assert len(OF_MACHINES) >= 5
