"""Measurements of quantgate itself; see README.md."""
