"""The lake: what has landed as Delta tables, and how they are written, read and looked after."""
