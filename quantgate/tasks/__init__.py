"""Tasks: each ties a corpus, its requests and its metrics together, from ids to a measurement."""
