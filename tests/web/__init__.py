"""Tests of REST, its documents and its guards."""
