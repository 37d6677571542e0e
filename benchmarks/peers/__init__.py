"""quantgate beside lm-eval and Olive, each in a process of its own; see benchmarks/README.md."""
