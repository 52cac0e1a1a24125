"""Plays machines and people against a relay at given rates, checks every frame, and sums up what came of it."""
