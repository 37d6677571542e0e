"""Asking in stages, and stopping once the verdicts are settled."""
