"""Speaks: Starlette's side of a node, with REST, sockets, sign-in, health, metrics and the page."""
