"""Suites: many runs from one file, and the table they make (`python -m unirex.suite`).

`recipe.py` reads the file, `plan.py` makes runs of it, `launch.py` starts them, `table.py` and `plot.py` show them.
"""
