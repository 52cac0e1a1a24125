"""Tests of `relay dev`: real processes, a real engine."""
