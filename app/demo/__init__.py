"""``maildelta demo``: the main job before the reader's eyes, beside a sample maildrop on loopback."""
