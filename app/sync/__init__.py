"""One pass over a maildrop: list, view, match, triage, record, retrieve, settle."""
