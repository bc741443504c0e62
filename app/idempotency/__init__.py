"""Requests that are sent again, by their ``Idempotency-Key``: the first one is worked on, the others get its answer."""
