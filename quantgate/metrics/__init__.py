"""Metrics: scored rows to per-item numbers, in float64 where sums or differences are taken."""
