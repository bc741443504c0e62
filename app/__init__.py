"""Maildelta: a REST service that knows which mail on a POP3 server is new."""

__version__ = "0.1.0"
