"""What was retrieved: in bounded batches, recognised by what is stored, and stored with its ledger lines."""
