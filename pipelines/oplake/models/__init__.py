"""`.sql` files become tables: read, checked and bound (`sql_file`), computed (`build`), looked at (`checks`, `export`).

Dagster knows these models through `sql_assets` alone; nothing else in this package imports it.
"""
