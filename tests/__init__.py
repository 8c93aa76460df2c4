"""The tests. A package, so that a stray top-level ``tests`` of a dependency cannot shadow it."""
