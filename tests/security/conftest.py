"""Gives these tests a node in process, and the cluster that a worker shares."""

from __future__ import annotations

from tests.cluster.conftest import cluster, team
from tests.support.valkey import _valkey, valkey
from tests.web.conftest import key, owner, site

__all__ = ["_valkey", "cluster", "key", "owner", "site", "team", "valkey"]
