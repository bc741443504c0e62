"""How a sync can end before its work is done."""


class LeaseLost(Exception):
    """The sync belongs to another worker by now, or was removed: stop without a trace."""


class SyncCancelled(Exception):
    """Somebody asked for the sync to stop."""
