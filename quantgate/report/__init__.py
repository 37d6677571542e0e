"""Faces of a run: the words of a failure, the table of a terminal, and the results file."""
