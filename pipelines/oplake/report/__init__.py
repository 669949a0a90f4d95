"""Reports as people read them: rows of the tables that authors write, as Markdown, with charts, and as a page.

Nothing here asks a model or works out a figure. Every text is data from outside, and is escaped wherever it goes.
"""
