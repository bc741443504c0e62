"""What a listing shows: read within a budget, headers asked for, and what of it is to be retrieved."""
