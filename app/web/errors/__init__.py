"""What can go wrong, as problem documents, with one list of codes."""
