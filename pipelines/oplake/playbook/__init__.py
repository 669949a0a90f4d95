"""Playbooks as they reach agents and people: served with measured controls, shown as a page, exported.

What an entry says and what it is worth is worked out elsewhere (`playbooks.entries`); nothing here judges it. `book`
and `choose` are what a recorder loads to serve entries, `publish` makes the file that they read, `entries` reads the
table, and `formats`, `page` and `export` show it.
"""
