"""Who runs work later. Knows no feature.

``periodic``: small jobs with a rhythm of their own. ``wakeups``: waking who waits in this process; ``bell``: in all.
"""
