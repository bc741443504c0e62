"""Stored letters: their octets, and what is read of them."""
