"""Loses one node of a cluster that holds a large fleet, and watches the fleet come back."""
