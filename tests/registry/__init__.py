"""Tests the registry, every case on SQLite and on PostgreSQL."""
