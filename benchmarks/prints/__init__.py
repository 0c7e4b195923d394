"""How good a feature extractor is, and how fast: `python benchmarks/prints`."""
