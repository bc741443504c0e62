"""Runs what is asked for: claims syncs, keeps their leases, repairs what wrong clocks leave, and removes."""
