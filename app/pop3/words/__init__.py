"""PURE  What servers say in words: how a refusal is understood, and what it says of the account."""
