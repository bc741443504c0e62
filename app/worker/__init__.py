"""Runs what is asked for: claims syncs, keeps their leases, and sees to the upkeep."""
