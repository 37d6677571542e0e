"""Turns the gate on for this checkout."""

pytest_plugins = ["quantgate.plugin", "fixtures.gate"]
