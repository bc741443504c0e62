"""Who runs work later. Knows no feature: a job is a name and something to run.

``port``: what features see. ``demand``: when a run starts (pure). ``engine``: the only file that imports the
job engine.
"""
