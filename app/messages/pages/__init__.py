"""Pages of the feed: which messages are asked for, how far one look goes, and what is shown of each."""
