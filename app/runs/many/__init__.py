"""Syncs of many mailboxes at once."""
