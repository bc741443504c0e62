"""Mail in files: mailboxes and feeds out as mbox, zip or Maildir in a tar, and such files in."""
