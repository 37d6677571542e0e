"""From a measurement, its policy and what it is held against to a verdict."""
