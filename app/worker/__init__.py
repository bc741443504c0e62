"""Runs what is asked for: claims syncs, keeps their leases, puts right what wrong clocks leave, and removes by and by."""
