"""Questions and text to evaluate on, read without repair and told apart by digests."""
