"""Octets and lines: the connection, framing, time-outs, and what may be shown of what was said."""
