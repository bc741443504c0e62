"""The project's own measurements: Maildelta beside its peers, on the same Dovecot, in one run (`make bench`)."""
