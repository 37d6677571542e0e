"""Stored expectations: what they hold, how they are read, and the only way to change them."""
