"""Measured ratios: each module beside this one measures one thing, `python -m benchmarks` runs them all."""
