"""Ends a run of locust when everything it was waiting for was called, however long its processor took to get there."""

from __future__ import annotations

import os
from typing import Any

from locust import events

# Locust's own --run-time begins while it still imports, so that on a busy machine nothing is left of a few seconds.
_waiting = set(os.environ["UNTIL_CALLED"].split(","))


def _watch(environment: Any, **_: Any) -> None:
    def called(name: str, **_: Any) -> None:
        _waiting.discard(name)
        if not _waiting and environment.runner is not None:
            environment.runner.quit()

    environment.events.request.add_listener(called)


events.init.add_listener(_watch)  # type: ignore[no-untyped-call]
