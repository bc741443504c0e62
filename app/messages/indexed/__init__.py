"""Headers by which the feed can be filtered: which, and what is kept of them."""
