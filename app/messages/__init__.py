"""What we stored: messages, their raw contents, and the feed that programs read."""
