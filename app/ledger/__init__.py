"""Every unique-id ever seen: its rows, and (pure) how a listing is compared with them."""
