"""PURE  What octets say: headers and parts found in one pass, transfer encodings undone, charsets read."""
