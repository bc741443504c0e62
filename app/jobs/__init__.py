"""Who runs work later. Knows no feature.

``port``: what features see of background jobs; ``engine``: the only file that imports the job engine. ``periodic``:
small jobs with a rhythm of their own. ``wakeups``: waking who waits in this process; ``bell``: in all.
"""
