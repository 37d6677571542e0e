"""`quantgate.toml`: its tables, its reading, and what the command line changes."""
