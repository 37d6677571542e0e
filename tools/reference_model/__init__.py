"""Scripts that train the small reference model embedded in the package."""
