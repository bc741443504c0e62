"""PURE  What header fields say: words, people, dates, parameters, ids."""
