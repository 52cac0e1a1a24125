"""Tests of the whole product, in its own words."""
