"""Runs the steps on the connection that `relay.registry.migrate` has locked."""

from __future__ import annotations

from alembic import context

from relay.registry.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
