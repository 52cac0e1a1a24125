"""Loads a relay with tools that people bring themselves: k6 (`relay.js`) and locust (`locustfile.py`)."""
