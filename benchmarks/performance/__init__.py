"""The performance page: one command that measures everything on it and writes it."""
