"""Credentials at rest, the keys that open them, and where they may be sent."""
