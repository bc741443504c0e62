"""What is read of a request, and what of an answer is wanted."""
