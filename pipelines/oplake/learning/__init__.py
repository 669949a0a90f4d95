"""Statistics that SQL says badly: intervals by resampling, and what is chosen within a cross-validation.

Estimates themselves are models, in sql/. Nothing here writes to the lake or knows the command line.
"""
