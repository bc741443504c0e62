"""PURE  The reader of mail: raw octets -> what a person sees. Knows nothing of the application.

``mime`` is the entry: ``summarise`` for the feed, ``parse`` and ``attachment_facts``, ``attachment_pieces`` for one
message. All of them walk over the octets once, in pieces: ``scanner`` finds header blocks and delimiter lines,
``parts`` the tree, ``transfer`` and ``decoding`` undo encodings, ``nesting`` reads HTML once for both ``html`` and
``text``. Whatever is read or written counts against one ``budget``, before it is done.
"""
