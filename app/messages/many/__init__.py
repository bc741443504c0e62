"""Many messages deleted at once."""
