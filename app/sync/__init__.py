"""How a maildrop becomes messages: list, diff, retrieve, store."""
