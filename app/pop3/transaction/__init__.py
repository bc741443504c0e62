"""The TRANSACTION state (RFC 1939 §5): listings, and messages from TOP and RETR."""
