"""What we poll: mailboxes, their settings and their credentials."""
