"""Where mail is read, and in whose turn: threads and processes that many share and nobody can fill."""
