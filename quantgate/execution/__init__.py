"""Running: a backend here or in a child process, fed batch by batch; what came is kept."""
