"""The first files of a gate around a folder of packages: what is there, and what is written."""
