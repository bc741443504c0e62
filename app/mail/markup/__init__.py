"""PURE  HTML of mail: read, made harmless, and told as text."""
