"""PURE  The reader of mail: raw octets -> what a person sees. Knows nothing of the application.

``mime`` is the entry: ``summarise`` for the feed, ``parse`` and ``attachment`` for one message.
"""
