"""The AUTHORIZATION state (RFC 1939 §4): greeting, capabilities, STLS, and the ways to log in."""
