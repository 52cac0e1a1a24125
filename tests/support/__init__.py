"""Gathers what tests on several floors share: real servers, processes and clocks."""
