"""Gives these tests a node in process, and the cluster that a worker shares."""

from __future__ import annotations

from tests.cluster.conftest import cluster, shared_cluster, team
from tests.support.valkey import _valkey, valkey
from tests.web.conftest import key, owner, site

__all__ = ["_valkey", "cluster", "key", "owner", "shared_cluster", "site", "team", "valkey"]
