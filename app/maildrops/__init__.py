"""From a mailbox's row to a session that is logged in; what was learnt about servers; connection checks."""
