"""Many mailboxes at once: registered, changed, removed."""
