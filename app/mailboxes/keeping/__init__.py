"""How much is kept here, and for how long."""
