"""Loads a cluster until something gives, with agents and browsers that check what they are told."""
