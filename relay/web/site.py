"""Builds the Starlette application of a node from its parts."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from relay.web.parts import Parts


def create_web(parts: Parts, *, sockets: Sequence[BaseRoute] = (), page: Sequence[BaseRoute] = ()) -> Starlette:
    """The application: REST, documents and health, the given socket routes, and the page's routes last."""
    raise NotImplementedError
