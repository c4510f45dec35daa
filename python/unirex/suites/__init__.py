"""Suites: many runs from one file, and the table they make (`python -m unirex.suite`).

`recipe.py` reads the file, `plan.py` makes runs of it, `session.py` runs them by `launch.py` and `gather.py` finds what
they left; `table.py` and `plot.py` show it. With a ledger (`ledger.py`), `record.py` adds runs to it, and `results.py`
and `differences.py` show it without torch.
"""
