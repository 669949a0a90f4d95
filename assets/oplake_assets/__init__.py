"""What Dagster computes. SQL models need no code here; the tables that Python computes have one function each."""
