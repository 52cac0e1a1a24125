"""Holds the steps from one schema to the next, inside the package so that every node can take them."""
