"""Why a sync or a connection check failed, in words for a person: the likely cause, and what to do."""
