"""A maildrop that is played over many sessions, with the habits of real servers, and the truth beside it."""
