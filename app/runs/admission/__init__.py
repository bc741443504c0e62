"""PURE  Which syncs get a slot, how fast they read, and when one is tried again."""
