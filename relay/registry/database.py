"""Owns the connection pool, transactions, and what an unreachable database looks like to everybody else."""

from __future__ import annotations


class Database:
    """One SQLite file or PostgreSQL database."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def close(self) -> None:
        """Close every connection."""
