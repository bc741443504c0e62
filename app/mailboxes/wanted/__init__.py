"""PURE  Criteria: which messages are wanted, and judging one by its headers and size."""
