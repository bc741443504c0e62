"""The HTTP server, and the bounds of its connections."""
